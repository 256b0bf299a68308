"""What every language does: one table. A case is an assignment and how it ends.

Its code stands in the folder of each language, in `cases.md`, under the case's name.

What ends differently in each language (a message, a traceback) is left open here and told there.
"""

from dataclasses import dataclass, field
from typing import Any

Json = Any
MEBIBYTE = 1 << 20
OPEN: Json = "told by each language"
"""An output, message or traceback that a language's folder must tell."""


@dataclass(frozen=True)
class Case:
    """One attempt. It succeeds with `output`, unless it fails with `reason`."""

    name: str
    says: str
    given: dict[str, Json] = field(default_factory=dict)
    output: Json = None
    reason: str = ""
    message: str = ""
    traceback: str = ""
    """A part of one line of the traceback, or of the last lines that a command printed."""
    entrypoint: str = ""
    """A function of the image that is run instead of code."""
    code: str = ""
    """The name of the case whose code this one runs; its own if empty."""
    env: dict[str, str] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    cluster: bool = False
    """Whether it runs on a real cluster, too."""

    @property
    def snippet(self) -> str:
        """The name of the code."""
        return self.code or self.name


def echo(name: str, says: str, value: Json, **fields: Any) -> Case:
    """A case in which the step returns its argument `v`."""
    return Case(name, says, given={"v": value}, **{"code": "echo", "output": value} | fields)


def nested(depth: int) -> Json:
    """So many lists, one in the other."""
    value: Json = []
    for _ in range(depth - 1):
        value = [value]
    return value


UNICODE = [
    "grün",
    "😀 🏳️‍🌈 𝕏",
    "e\u0301 is not é",
    "שלום, \u202eمرحبا\u202c",
    "\u2028\u2029\u0085\u200b\ufeff\uffff",
    '"\\/\b\f\n\r\t\x1f\x7f </script> ${x}',
]
KEYS = {"__proto__": 1, "constructor": {"prototype": 2}, "toString": 3, "a b": 4, "": 5, "ü😀": 6, "0": 7}

VALUES = [
    Case(
        "arguments",
        "a step gets its arguments and returns its output",
        {"a": 40, "b": 2},
        {"sum": 42},
        cluster=True,
    ),
    Case("nothing", "a step that returns nothing has the output null"),
    Case("async", "what is returned later is waited for", {"n": 7}, 7),
    echo("echo", "a value comes back as it went in", {"a": [None, True, {"b": [1.5, "x", False]}]}),
    echo("null", "null is an argument and an output", None),
    echo("empty", "empty lists, maps and texts stay what they are", [[], {}, "", [[]], {"": {}}, [{}]]),
    echo("keys", "keys are texts, whatever they look like", KEYS),
    echo("unicode", "texts keep every character", UNICODE, cluster=True),
    echo("numbers", "numbers keep their values", [0, -1, 1.5, -0.25, 1e300, 5e-324, 2**53, -(2**53)]),
    echo("integers", "integers beyond 2^53", [2**53 + 1, 2**63, 10**30], output=OPEN),
    echo("vast", "a number beyond every double", 10**400),
    echo("mebibyte", "one mebibyte goes in and out", "x" * (MEBIBYTE - 2), cluster=True),
    echo("bytes", "bytes of UTF-8 count, not characters", "ü" * (MEBIBYTE // 2 - 1)),
    echo("deep", "64 levels go in and out", nested(64)),
]

REFUSED = [
    echo(
        "over",
        "one byte over a mebibyte is no output",
        "x" * (MEBIBYTE - 1),
        reason="OutputTooLarge",
        message=f"the output is {MEBIBYTE + 1} bytes of JSON, at most {MEBIBYTE} are allowed",
    ),
    echo(
        "deeper",
        "65 levels are no output",
        nested(65),
        reason="InvalidOutput",
        message="deeper than 64 levels",
    ),
    Case("nan", "a number that is none is no output", reason="InvalidOutput", message=OPEN),
    Case("infinite", "an infinite number is no output", reason="InvalidOutput", message=OPEN),
    Case("nul", "the character NUL is no output", reason="InvalidOutput", message="the character NUL"),
    Case("surrogate", "a lone surrogate is no output", reason="InvalidOutput", message="a lone surrogate"),
    Case("unfit", "what JSON cannot hold is no output", reason="InvalidOutput", message=OPEN),
    Case("cycle", "what contains itself is no output", reason="InvalidOutput", message=OPEN),
]

FAILURES = [
    Case(
        "exception",
        "an exception is told with its message and the line",
        reason="Error",
        message=OPEN,
        traceback=OPEN,
        cluster=True,
    ),
    Case("cause", "what caused an exception is told", reason="Error", message=OPEN, traceback=OPEN),
    Case(
        "library",
        "an exception of a library tells the step's own line",
        reason="Error",
        message=OPEN,
        traceback=OPEN,
    ),
    Case("toplevel", "code outside of the function may fail", reason="Error", message=OPEN, traceback=OPEN),
    Case("recursion", "recursion without end is an error", reason="Error", message=OPEN),
    Case("later", "an exception in the background, after the result", output=OPEN),
    Case("exit", "an exit code is told", reason="Error", message="exit code 3", cluster=True),
    Case("exit0", "the exit code 0", output=OPEN),
    Case("killed", "the signal that ended a step is told", reason="Error", message="killed by SIGKILL"),
    Case("syntax", "code that is none", reason="InvalidCode", message=OPEN, traceback=OPEN, cluster=True),
    Case("entry", "code without the function", reason="InvalidCode", message=OPEN),
    Case(
        "signature",
        "arguments that the function does not take",
        {"row": 1},
        reason="InvalidCode",
        message=OPEN,
    ),
]

ENTRYPOINTS = [
    Case(
        "entrypoint", "a function of the image runs by its name", output=OPEN, entrypoint=OPEN, cluster=True
    ),
    Case(
        "nomodule",
        "a module that the image has not",
        reason="InvalidCode",
        message=OPEN,
        entrypoint="no/such:main",
    ),
    Case(
        "nofunction",
        "a function that the module has not",
        reason="InvalidCode",
        message=OPEN,
        entrypoint=OPEN,
    ),
]

SURROUNDINGS = [
    Case(
        "environment",
        "the environment is the image's and the step's",
        output={"A": "b $(A) ü", "step": "environment", "attempt": "1", "home": True},
        env={"A": "b $(A) ü"},
    ),
    Case(
        "files",
        "files can be written and read in the working directory and in the temporary one",
        output="grün",
        cluster=True,
    ),
    Case("stdin", "there is nothing to read from standard input", output=""),
    Case("children", "children that still run are no failure and hold nothing up", output=7, stdout="done\n"),
    Case("background", "what still runs in the background holds nothing up", output=7),
    Case(
        "prints",
        "both streams arrive whole and in order",
        stdout="".join(f"{number} ü😀\n" for number in range(1000)),
        stderr="first\nlast",
        cluster=True,
    ),
]

CASES = [*VALUES, *REFUSED, *FAILURES, *ENTRYPOINTS, *SURROUNDINGS]

#: Code that has a test of its own in `test_scenes.py`, by name: what it does.
SCENES = {
    "stuck": "prints `begun`, leaves children in sessions of their own, ignores SIGTERM, and never ends",
    "sleepers": "returns how many processes run `sleep`",
    "leave": "leaves what it can when `leave` is true; then returns for each of TRACES whether it is absent",
    "flood": "prints 12 MiB in lines, and returns 1",
    "cleanup": "prints `begun`, waits for ever, and prints `cleaned up` when it is cancelled",
    "deaf": "prints `begun`, ignores SIGTERM, and waits for ever",
    "multiply": "returns n * n",
    "clock": "returns the time in seconds",
}
#: What a step can leave behind, each told by `leave`.
TRACES = (
    "files",
    "temporary files",
    "shared memory",
    "environment",
    "working directory",
    "umask",
    "processes",
    "signal handlers",
    "globals",
    "libraries",
    "threads",
)
