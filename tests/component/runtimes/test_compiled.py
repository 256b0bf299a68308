"""Languages that are compiled: builds of hostile sources, and what only their programs and processes do."""

from typing import Any

import pytest

from component.runtimes.compiled import Builds
from component.runtimes.conftest import Site
from component.runtimes.gateway import Gateway

ONE = {
    "go": "package main\n\nfunc Main() int { return 1 }\n",
    "java": "class One { static Object main() { return 1; } }",
}
BOTH = pytest.mark.parametrize("language", ["go", "java"])


def java(body: str, head: str = "") -> str:
    """A class whose main has this body."""
    main = "static Object main(Map<String, Object> in) throws Exception"
    return f"import java.util.*;\n{head}class Step {{\n {main} {{\n{body}\n }}\n}}\n"


def go(body: str, head: str = "") -> str:
    """A program whose Main has this body."""
    return f"package main\n{head}\nfunc Main() (any, error) {{\n{body}\n}}\n"


@BOTH
async def test_a_program_is_fetched_once(language: str, site: Site) -> None:
    await site.language(language)
    for number in range(3):
        result = await site.gateway.run(f"one{number}", language=language, code=ONE[language])
        assert (result.output, result.next) == (1, True)
    assert site.gateway.blob_requests == 1


@BOTH
async def test_the_same_source_makes_the_same_program(language: str, site: Site, builds: Builds) -> None:
    made = []
    for step in ("load.build", "other.build"):
        builds.known.pop((language, ONE[language]), None)
        made.append(await builds.build(language, step, ONE[language]))
    assert made[0] == made[1]
    assert len(made[0]) > 100


@BOTH
async def test_a_program_that_did_not_come_is_said(language: str, site: Site) -> None:
    site.gateway.build = None
    await site.language(language)
    failure = (await site.gateway.run("load", language=language, code=ONE[language])).failure
    assert failure["message"] == "the program of the step did not come to its sandbox"


async def test_a_sandbox_of_another_language_cannot_build(python: Gateway) -> None:
    failure = (await python.run("load", action="build", language="go", code=ONE["go"])).failure
    assert failure["message"] == "this sandbox has no compiled language, so it cannot build"


LINKNAME = 'import _ "unsafe"\n\n//go:linkname now runtime.nanotime\nfunc now() int64\n'
EMBED = 'import _ "embed"\n\n//go:embed /etc/passwd\nvar users string\n'
FLAGS = '/*\n#cgo LDFLAGS: -Wl,-o/tmp/x\n*/\nimport "C"\n'
DOUBLES = "".join(f"static final String s{n + 1} = s{n} + s{n};" for n in range(24))


@pytest.mark.parametrize(
    ("language", "code", "message", "line"),
    [
        pytest.param(
            "go", go("return users, nil", EMBED), "//go:embed", "load.go:4:1", id="a file of the host"
        ),
        pytest.param("go", go("return now(), nil", LINKNAME), "//go:linkname", "load.go:4:1", id="linkname"),
        pytest.param("go", go("return 1, nil", FLAGS), 'import "C"', "load.go:5:8", id="cgo and flags"),
        pytest.param(
            "go", go("return 1, nil", "func f()\n"), "missing function body", "load.go:2:6", id="assembly"
        ),
        pytest.param(
            "go", go("return 1, nil", 'import "../x"\n'), "a step is one file", "load.go:2:8", id="a path"
        ),
        pytest.param(
            "go", go("return 1, nil", 'import "internal/abi"\n'), "internal/abi", "load.go:2:8", id="internal"
        ),
        pytest.param(
            "go",
            go("return 1, nil", 'import "citadel.dev/go/step"\n'),
            "citadel.dev/go/step",
            "load.go:2:8",
            id="ours",
        ),
        pytest.param(
            "go",
            go("const c = 1 << 1000\nreturn c, nil"),
            "constant shift overflow",
            "load.go:4",
            id="a huge constant",
        ),
        pytest.param(
            "go",
            go("return x[0], nil", "var x [1 << 40]byte\n"),
            "symbol too large",
            "",
            id="a huge variable",
        ),
        pytest.param(
            "go", "package main\n\nfunc main() {}\n", "found func main", "load.go:3:1", id="func main"
        ),
        pytest.param(
            "go",
            "package load\n\nfunc Main() {}\n",
            "found package load",
            "load.go:1:9",
            id="another package",
        ),
        pytest.param(
            "go",
            "package main\n\nfunc Main(a, b int) {}\n",
            "expected func Main(",
            "",
            id="another signature",
        ),
        pytest.param(
            "java",
            java(" return s24;", "").replace(
                "class Step {", f'class Step {{ static final String s0 = "{"x" * 65000}";{DOUBLES}'
            ),
            "out of memory",
            "",
            id="constants that double",
        ),
        pytest.param(
            "java",
            java(" return 1;").replace("class Step", "@Missing class Step"),
            "cannot find symbol",
            "Load.java:2:2",
            id="an annotation",
        ),
        pytest.param(
            "java",
            java(' return 1;\n}\n static void f() {\n int x = "";'),
            "incompatible types",
            "Load.java:7:10",
            id="types",
        ),
        pytest.param(
            "java",
            "class A { public static void main(String[] args) {} }",
            "has another main, expected static Object main(",
            "",
            id="main of a program",
        ),
        pytest.param("java", "class A {}", "found no class with main", "", id="no main"),
        pytest.param(
            "java",
            "package java.lang; class A { static Object main() { return 1; } }",
            "package exists in another module: java.base",
            "Load.java:1:1",
            id="a class of Java's own",
        ),
        pytest.param(
            "java",
            "import sun.misc.Nothing; class A { static Object main() { return 1; } }",
            "cannot find symbol",
            "Load.java:1:16",
            id="an import",
        ),
    ],
)
async def test_a_hostile_or_wrong_source_is_refused_with_its_line(
    language: str, code: str, message: str, line: str, site: Site, builds: Builds
) -> None:
    built = await builds.build(language, "load.build", code)
    if isinstance(built, bytes):  # what only the program itself can tell
        await site.language(language)
        built = (await site.gateway.run("load", language=language, code=code)).failure
    assert built["reason"] == ("OOMKilled" if message == "out of memory" else "InvalidCode"), built
    assert message in built["message"]
    shown = "\n".join(built.get("traceback") or [])
    assert line in shown
    assert "step.go" not in shown
    assert "Step.java" not in shown


@BOTH
async def test_a_build_ends_at_its_timeout(language: str, site: Site) -> None:
    wide = " + ".join(["(1 + 2.5)"] * 100_000)
    code = {
        "go": go(f"x := 1\nreturn x + {wide.replace('.5', '')}, nil"),
        "java": java(f" double x = 1; return x + {wide};"),
    }
    await site.language(language)
    fields = {"action": "build", "language": language, "code": code[language]}
    failure = (await site.gateway.run("load.build", **fields, timeoutSeconds=0.05)).failure
    assert failure["reason"] == "Timeout"


@BOTH
async def test_twenty_errors_are_shown_and_the_others_counted(language: str, builds: Builds) -> None:
    code = {
        "go": go("\n".join(f"x{n}()" for n in range(25)) + "\nreturn 1, nil"),
        "java": java("\n".join(f" x{n}();" for n in range(25))),
    }
    failure = await builds.build(language, "load", code[language])
    assert sum(" at " in line for line in failure["traceback"]) == 20
    assert failure["traceback"][-1] == "and 5 more"


@pytest.mark.parametrize(
    ("body", "message", "line"),
    [
        pytest.param(
            'go func() {\n var m map[string]int\n m["a"] = 1\n}()\nselect {}',
            "panic: assignment to entry in nil map",
            "(crash.go:6)",
            id="a panic elsewhere",
        ),
        pytest.param(
            "ch := make(chan int)\nclose(ch)\nclose(ch)\nreturn 1, nil",
            "panic: close of closed channel",
            "(crash.go:6)",
            id="a panic",
        ),
    ],
)
async def test_a_crash_of_a_program_in_go_says_where(body: str, message: str, line: str, site: Site) -> None:
    await site.language("go")
    failure = (await site.gateway.run("crash", language="go", code=go(body))).failure
    assert (failure["reason"], failure["message"]) == ("Error", message)
    assert line in failure["traceback"][0]


async def test_a_heap_that_is_full_is_out_of_memory(site: Site) -> None:
    await site.language("java")
    body = " List<long[]> all = new ArrayList<>(); while (true) all.add(new long[Integer.MAX_VALUE / 8]);"
    failure = (await site.gateway.run("full", language="java", code=java(body))).failure
    assert failure["reason"] == "OOMKilled"
    assert (await site.gateway.run("exit", language="java", code=java(" System.exit(3); return 1;"))).failure[
        "exitCode"
    ] == 3


LEFT = {
    "a property": """
  Object was = System.setProperty("x", "y");
  return was;""",
    "a locale": """
  Object was = Locale.getDefault().toString();
  Locale.setDefault(Locale.JAPAN);
  return was;""",
    "a thread": """
  Object count = Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().equals("mine")).count();
  Thread mine = new Thread(() -> { while (true); }, "mine");
  mine.setDaemon(true);
  mine.start();
  return count;""",
    "what Java hides": """
  var field = Class.forName("java.lang.ProcessEnvironment").getDeclaredField("theEnvironment");
  field.setAccessible(true);
  Object size = System.getenv().size();
  ((Map<?, ?>) field.get(null)).clear();
  return size;""",
    "a hook": """
  Object was = System.getProperty("hook");
  Runtime.getRuntime().addShutdownHook(new Thread());
  System.setProperty("hook", "1");
  return was;""",
}


@pytest.mark.parametrize("body", LEFT.values(), ids=LEFT)
async def test_what_could_be_left_in_a_jvm_is_gone_with_it(body: str, site: Site) -> None:
    await site.language("java")
    plain = java(" return 1;")
    code = java(body)
    assert (await site.gateway.run("plain", language="java", code=plain)).output == 1
    first = (await site.gateway.run("first", language="java", code=code)).output
    second = (await site.gateway.run("second", language="java", code=code)).output
    assert first == second
    assert (await site.gateway.run("after", language="java", code=plain)).output == 1


async def test_statics_of_a_step_are_its_own(site: Site) -> None:
    await site.language("java")
    code = java(" return count++;").replace("class Step {", "class Step { static int count = 5;")
    outputs: list[Any] = [
        (await site.gateway.run(f"count{n}", language="java", code=code)).output for n in range(3)
    ]
    assert outputs == [5, 5, 5]
