"""Which programs in Java may run in a JVM that serves others after them: what can leave nothing in it."""

import subprocess
from pathlib import Path

import pytest

from component.runtimes.compiled import prepare

#: A class in the package of the harness, which asks it of each source that is named.
ASK = """
package harness;

import java.nio.file.*;

class Ask {
    public static void main(String[] names) throws Exception {
        for (String name : names) {
            try {
                System.out.println(Plain.holds(Compiler.program("ask", Files.readString(Path.of(name)))));
            } catch (RuntimeException refused) {
                System.out.println(refused.getMessage().replace('\\n', ' '));
            }
        }
    }
}
"""

PLAIN = {
    "values": 'return Map.of("a", List.of(1, 2.5, "x"));',
    "lambdas and streams": 'return Stream.of("b").map(x -> x + "!").collect(Collectors.toList());',
    "records and enums": 'enum C { RED } record R(int a, C c) {} return new R(1, C.valueOf("RED"));',
    "a switch over an enum": "return switch (DayOfWeek.of(1)) { case MONDAY -> 1; default -> 2; };",
    "exceptions": "try { throw new IllegalStateException(); } catch (RuntimeException e) { return 1; }",
    "time and numbers": 'return LocalDate.of(2026, 1, 31) + " " + new java.math.BigDecimal("1.10");',
    "printing": 'System.out.printf("%d%n", 1); System.err.println("x"); return null;',
    "waiting": "Thread.sleep(1); return null;",
    "variables and clocks": 'return System.getenv("A") + System.nanoTime() + System.getProperty("b");',
    "regular expressions": 'return java.util.regex.Pattern.compile("a+").matcher("aa").matches();',
    "text": 'return String.format("%.2f", 1.5) + Base64.getEncoder().encodeToString(new byte[3]);',
    "classes of its own": "interface I {} class B implements I {} return new B() instanceof I;",
    "a dangerous name": "class Thread { void start() {} } new Thread().start(); return 1;",
    "assertions": "assert in != null; return in.getClass().getSimpleName();",
    "a digest": 'return java.security.MessageDigest.getInstance("SHA-256").digest(new byte[1]);',
}
NOT_PLAIN = {
    "a thread": "new Thread(() -> {}).start(); return 1;",
    "a class that is a thread": "class T extends Thread {} new T().start(); return 1;",
    "methods of the thread": "return Thread.currentThread().getClass().getMethods().length;",
    "a pool": "return java.util.concurrent.Executors.newCachedThreadPool();",
    "a future": "return java.util.concurrent.CompletableFuture.supplyAsync(() -> 1).get();",
    "parallel streams": "return Stream.of(1).parallel().count();",
    "a parallel stream of a collection": "return List.of(1).parallelStream().count();",
    "a timer": "new Timer(); return 1;",
    "a value of the thread": "return new ThreadLocal<String>().get();",
    "a property": 'return System.setProperty("a", "b");',
    "all properties": "System.getProperties().clear(); return 1;",
    "the output": "System.setOut(null); return 1;",
    "closing the output": "System.out.close(); return 1;",
    "the locale": "Locale.setDefault(Locale.US); return 1;",
    "the time zone": "TimeZone.setDefault(null); return 1;",
    "exit": "System.exit(0); return 1;",
    "a hook": "Runtime.getRuntime().addShutdownHook(null); return 1;",
    "a process": 'return new ProcessBuilder("true").start();',
    "a process, the old way": 'return Runtime.getRuntime().exec("true");',
    "a file": 'return java.nio.file.Files.list(java.nio.file.Path.of("/proc/self"));',
    "a file by a writer": 'new java.io.PrintWriter("x").close(); return 1;',
    "a file by a formatter": 'new Formatter("x").close(); return 1;',
    "a file by a stream": 'return new java.io.FileInputStream("/proc/self/mem");',
    "a socket": 'return new java.net.Socket("a", 1);',
    "reflection": 'return Class.forName("java.lang.System");',
    "reflection of an object": "return in.getClass().getDeclaredFields();",
    "reflection by a method": 'return "".getClass().getMethod("length").invoke("");',
    "a class loader": "return in.getClass().getClassLoader();",
    "a class loader of the thread": "return Thread.currentThread().getContextClassLoader();",
    "a class that is a loader": "class L extends ClassLoader {} return new L();",
    "method handles": "return java.lang.invoke.MethodHandles.lookup();",
    "unsafe memory": "return sun.misc.Unsafe.class.getName();",
    "services": "return ServiceLoader.load(Runnable.class);",
    "providers": 'java.security.Security.setProperty("a", "b"); return 1;',
    "logging": 'java.util.logging.Logger.getLogger("").setLevel(null); return 1;',
    "management": "return java.lang.management.ManagementFactory.getPlatformMBeanServer();",
    "a signal": 'return sun.misc.Signal.handle(new sun.misc.Signal("TERM"), s -> {});',
    "an object that outlives its use": "class F { protected void finalize() {} } return 1;",
    "references": "return new java.lang.ref.WeakReference<Object>(in);",
    "deserialization": "return new java.io.ObjectInputStream(null).readObject();",
    "a lambda that is serialized": "return (Runnable & java.io.Serializable) () -> {};",
    "stack walking": "return StackWalker.getInstance();",
    "native code": 'System.load("/work/x.so"); return 1;',
    "a cache of bundles": 'return ResourceBundle.getBundle("x");',
    "urls": "java.net.URL.setURLStreamHandlerFactory(null); return 1;",
    "the name of the thread": 'Thread.currentThread().setName("x"); return 1;',
}


@pytest.fixture(scope="module")
def told(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the harness says of each program."""
    prepare("java", binaries)
    directory = tmp_path_factory.mktemp("plain")
    (directory / "Ask.java").write_text(ASK)
    path = ["-cp", f"{binaries}/harness.jar"]
    subprocess.run(["javac", *path, "-d", directory, directory / "Ask.java"], check=True)
    names = [*PLAIN, *NOT_PLAIN]
    for number, name in enumerate(names):
        body = (PLAIN | NOT_PLAIN)[name]
        head = "import java.util.*;\nimport java.util.stream.*;\nimport java.time.*;\n"
        main = f"static Object main(Map<String, Object> in) throws Throwable {{ {body} }}"
        (directory / f"{number}").write_text(f"{head}class A {{ {main} }}")
    path = ["-cp", f"{binaries}/harness.jar:{directory}"]
    sources = [str(directory / str(number)) for number in range(len(names))]
    done = subprocess.run(
        ["java", *path, "harness.Ask", *sources], check=True, capture_output=True, text=True
    )
    return dict(zip(names, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("name", PLAIN)
def test_what_leaves_nothing_shares_a_jvm(name: str, told: dict[str, str]) -> None:
    assert told[name] == "true"


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_might_leave_something_has_a_jvm_of_its_own(name: str, told: dict[str, str]) -> None:
    assert told[name] == "false"
