"""The runtime python: what is its alone. What all languages have in common is in tests/conformance."""

from typing import Any

import pytest

from component.runtimes.gateway import Gateway


@pytest.mark.parametrize(
    ("name", "code", "given", "output"),
    [
        ("tuple", "def main(): return (1, (2,))", {}, [1, [2]]),
        (
            "decorated",
            "from dataclasses import dataclass\n@dataclass\nclass P:\n a: int\ndef main(): return P(3).a",
            {},
            3,
        ),
        ("libraries", "import sqlite3, zoneinfo, multiprocessing\ndef main(): return 1", {}, 1),
    ],
)
async def test_outputs_keep_their_values(
    python: Gateway, name: str, code: str, given: dict[str, Any], output: Any
) -> None:
    assert (await python.run(name, code=code, input=given)).output == output


@pytest.mark.parametrize(
    ("name", "code", "given", "reason", "message", "traceback"),
    [
        (
            "own",
            "class Bad(Exception): pass\ndef main(): raise Bad('no')",
            {},
            "Error",
            "Bad: no",
            ["own.py"],
        ),
        (
            "imports",
            "import nosuchthing\ndef main(): pass",
            {},
            "Error",
            "No module named 'nosuchthing'",
            ["line 1"],
        ),
        ("hard", "import os\ndef main(): os._exit(0)", {}, "Error", "ended before main returned", []),
        ("segv", "import os\ndef main(): os.kill(os.getpid(), 11)", {}, "Error", "killed by SIGSEGV", []),
        (
            "object",
            "def main(): return {'a': [1, object()]}",
            {},
            "InvalidOutput",
            "output.a[1] is a object",
            [],
        ),
        ("key", "def main(): return {'a': {1: 2}}", {}, "InvalidOutput", "output.a has the key 1 (int)", []),
        (
            "forged",
            "import contextlib, os\ndef main():\n for fd in range(3, 20):\n"
            "  with contextlib.suppress(OSError): os.write(fd, b'S[1')\n os._exit(0)",
            {},
            "InvalidOutput",
            "the output is not valid JSON",
            [],
        ),
    ],
)
async def test_failures_say_what_is_wrong_and_where(
    python: Gateway,
    name: str,
    code: str,
    given: dict[str, Any],
    reason: str,
    message: str,
    traceback: list[str],
) -> None:
    failure = (await python.run(name, code=code, input=given)).failure
    shown = "\n".join(failure.get("traceback") or [])
    assert failure["reason"] == reason
    assert message in failure["message"]
    assert all(line in shown for line in traceback), shown
    assert "harness.py" not in shown
    assert (await python.run("after", code="def main(): return 1")).output == 1


async def test_a_function_of_the_image_is_told_with_its_own_lines(site: Any) -> None:
    package = site.binaries / "jobs"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(
        "import json\n\nasync def load(text):\n    return json.loads(text)\n"
    )
    await site.start(
        "env", f"PYTHONPATH={site.binaries}", *[word for word in site.command("python") if word != "-I"]
    )
    run = {"code": None, "entrypoint": "jobs:load"}
    assert (await site.gateway.run("good", **run, input={"text": "[1]"})).output == [1]
    failure = (await site.gateway.run("bad", **run, input={"text": "x"})).failure
    assert failure["message"].startswith("json.decoder.JSONDecodeError: Expecting value")
    assert f'  File "{package}/__init__.py", line 4, in load' in failure["traceback"]
    assert not any("decoder.py" in line or "harness" in line for line in failure["traceback"])
    failure = (await site.gateway.run("wrong", **run, input={"path": "x"})).failure
    assert failure["message"] == "load() of step wrong takes (text), got (path)"


async def test_prints_arrive_in_order_and_apart_from_the_output(python: Gateway) -> None:
    code = "import sys\ndef main():\n for i in range(1000): print(i, 'ü')\n print('warning', file=sys.stderr)"
    await python.run("talk", code=code)
    assert await python.log("talk") == "".join(f"{i} ü\n" for i in range(1000))
    assert await python.log("talk", stream="stderr") == "warning\n"
    assert python.log_requests <= 3


async def test_the_harness_and_the_shim_cannot_be_looked_into(python: Gateway) -> None:
    code = """
import os
def main():
    found = []
    for pid in (1, os.getppid()):
        for name in ('mem', 'environ', 'fd/0', 'maps'):
            try:
                open(f'/proc/{pid}/{name}').close()
                found.append(f'{pid} {name}')
            except OSError:
                pass
    open('/proc/self/mem').close()
    return found
"""
    assert (await python.run("spy", code=code)).output == []


async def test_a_step_that_ends_the_interpreter_loses_only_its_own_sandbox(site: Any) -> None:
    sandbox = await site.python()
    code = "import os, signal, time\ndef main():\n os.kill(os.getppid(), signal.SIGKILL)\n time.sleep(60)"
    result = await site.gateway.run("murder", code=code)
    assert result.failure["message"] == "the interpreter that ran the step has ended"
    assert not result.next
    assert await sandbox.runner.wait() == 0
    assert await sandbox.main.wait() != 0


async def test_cancel_kills_after_its_grace(python: Gateway) -> None:
    code = (
        "import signal, time\ndef main():\n signal.signal(signal.SIGTERM, signal.SIG_IGN)\n print('begun')\n"
        " while True: time.sleep(1)"
    )
    await python.assign("stubborn", code=code)
    await python.until(lambda: python.logs.get(("stubborn", 1)))
    await python.change(cancel=[{"step": "stubborn", "attempt": 1, "graceSeconds": 0.2}])
    failure = (await python.result("stubborn")).failure
    assert failure["reason"] == "Cancelled"
    assert "SIGKILL" in failure["message"]
    assert {"step": "stubborn", "attempt": 1, "cancelling": 0.2} in python.heartbeats or len(
        python.heartbeats
    ) < 3
