"""Steps of the runtime python: through runner, shim and harness, as in a pod."""

import json
from typing import Any

import pytest

from component.runtimes.gateway import Gateway

SLEEP = "import time\ndef main(): time.sleep(60)"


async def test_a_step_gets_its_arguments_and_returns_its_output(python: Gateway) -> None:
    result = await python.run("load", code="def main(a, b=2):\n    return {'sum': a + b}", input={"a": 40})
    assert result.output == {"sum": 42}
    assert result.chunks == 0
    assert result.next


@pytest.mark.parametrize(
    ("name", "code", "given", "output"),
    [
        ("async", "import asyncio\nasync def main(n):\n await asyncio.sleep(0)\n return n", {"n": 1}, 1),
        ("nothing", "def main(): pass", {}, None),
        ("exit0", "import sys\ndef main(): sys.exit(0)", {}, None),
        ("unicode", "def main(s): return s[::-1]", {"s": "grün 😀"}, "😀 nürg"),
        ("bignumber", "def main(n): return n + 1", {"n": 10**400}, 10**400 + 1),
        ("nested", "def main(v): return v", {"v": {"a": [None, True, {"b": [1.5, []]}]}}, None),
        ("large", "def main(v): return v", {"v": "x" * ((1 << 20) - 2)}, None),
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
    expected = given.get("v", output)
    assert (await python.run(name, code=code, input=given)).output == expected


@pytest.mark.parametrize(
    ("name", "code", "given", "reason", "message", "traceback"),
    [
        (
            "load",
            "def main():\n    rows = []\n    return rows[5]",
            {},
            "Error",
            "IndexError: list index out of range",
            ['  File "load.py", line 3, in main', "    return rows[5]"],
        ),
        (
            "own",
            "class Bad(Exception): pass\ndef main(): raise Bad('no')",
            {},
            "Error",
            "Bad: no",
            ["own.py"],
        ),
        (
            "chained",
            "def main():\n try:\n  {}['k']\n except KeyError as e:\n  raise ValueError('no rows') from e",
            {},
            "Error",
            "ValueError: no rows",
            ["KeyError: 'k'", "The above exception was the direct cause"],
        ),
        (
            "library",
            "import json\ndef main(): json.loads('{')",
            {},
            "Error",
            "JSONDecodeError",
            ["line 2, in main"],
        ),
        (
            "syntax",
            "def main():\n  return (1",
            {},
            "InvalidCode",
            "line 2, column 10: '(' was never closed",
            ["^"],
        ),
        ("none", "x = 1", {}, "InvalidCode", "step none defines no function main", []),
        (
            "wrong",
            "def main(rows, limit=3): pass",
            {"row": 1},
            "InvalidCode",
            "main() of step wrong takes (rows, limit=3), got (row)",
            [],
        ),
        (
            "imports",
            "import nosuchthing\ndef main(): pass",
            {},
            "Error",
            "No module named 'nosuchthing'",
            ["line 1"],
        ),
        ("exit3", "import sys\ndef main(): sys.exit(3)", {}, "Error", "exit code 3", []),
        ("hard", "import os\ndef main(): os._exit(0)", {}, "Error", "ended before main returned", []),
        ("killed", "import os\ndef main(): os.kill(os.getpid(), 9)", {}, "Error", "killed by SIGKILL", []),
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
        ("nan", "def main(): return [float('nan')]", {}, "InvalidOutput", "output[0] is nan", []),
        ("nul", "def main(): return 'a\\0'", {}, "InvalidOutput", "output holds the character NUL", []),
        (
            "half",
            "def main(): return ['\\ud83d']",
            {},
            "InvalidOutput",
            "output[0] holds a lone surrogate",
            [],
        ),
        (
            "deep",
            "def main():\n a = []\n a.append(a)\n return a",
            {},
            "InvalidOutput",
            "deeper than 64 levels",
            [],
        ),
        (
            "big",
            "def main(): return 'x' * 2_000_000",
            {},
            "InvalidOutput",
            "2000002 bytes of JSON, at most 1048576 are allowed",
            [],
        ),
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


async def test_prints_arrive_in_order_and_apart_from_the_output(python: Gateway) -> None:
    code = "import sys\ndef main():\n for i in range(1000): print(i, 'ü')\n print('warning', file=sys.stderr)"
    await python.run("talk", code=code)
    assert await python.log("talk") == "".join(f"{i} ü\n" for i in range(1000))
    assert await python.log("talk", stream="stderr") == "warning\n"
    assert python.log_requests <= 3


async def test_prints_are_live(python: Gateway) -> None:
    await python.assign(
        "slow", code="import time\ndef main():\n print('begun')\n time.sleep(60)", timeoutSeconds=20
    )
    await python.until(lambda: python.logs.get(("slow", 1)), 5)
    assert ("slow", 1) not in python.results


async def test_printing_50_mb_cuts_the_log_and_stalls_nothing(python: Gateway) -> None:
    code = "def main():\n line = 'x' * 1023\n for _ in range(50 * 1024): print(line)\n return 1"
    assert (await python.run("flood", code=code)).output == 1
    assert len(await python.log("flood")) == 10 << 20
    assert (await python.log("flood", stream="system")).count("the log is cut here") == 1
    result = await python.run("fails", code="def main():\n print('before')\n raise ValueError('x')")
    assert result.failure["logTail"] == "before"


async def test_a_timeout_ends_the_whole_process_tree(python: Gateway) -> None:
    code = (
        "import os, signal, subprocess, time\n"
        "def main():\n"
        " signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        " subprocess.Popen(['sh', '-c', 'setsid sleep 61 & sleep 61'], start_new_session=True)\n"
        " while True: time.sleep(1)"
    )
    failure = (await python.run("stuck", code=code, timeoutSeconds=0.5)).failure
    assert failure["reason"] == "Timeout"
    assert failure["message"] == "ran longer than its timeout of 0.5s"
    assert await processes(python) == ["harness", "shim", "step"]


async def processes(gateway: Gateway) -> list[str]:
    """What runs in the sandbox while a step looks."""
    code = (
        "import os\n"
        "def main():\n"
        " pids = sorted(int(n) for n in os.listdir('/proc') if n.isdigit())\n"
        " return [pids.index(1), len(pids)]"
    )
    first, count = (await gateway.run(f"look{len(gateway.results)}", code=code)).output
    assert first == 0
    return ["harness", "shim", "step"][: max(count, 0)] if count <= 3 else ["too many"] * count


async def test_nothing_is_left_for_the_next_step(python: Gateway) -> None:
    leave = """
import asyncio, builtins, json, multiprocessing.shared_memory, os, pathlib, subprocess, sys
def main():
    pathlib.Path('mine').write_text('x')
    os.makedirs('locked/inner'); pathlib.Path('locked/inner/f').write_text('x'); os.chmod('locked', 0)
    os.symlink('/', 'link')
    os.mkfifo(os.environ['TMPDIR_UNDER_TEST'] + '/fifo')
    pathlib.Path('/dev/shm/left').write_text('x')
    os.environ['LEFT'] = 'x'
    builtins.left = json.left = sys.left = 'x'
    os.umask(0o777)
    os.chdir('/')
    subprocess.Popen(['sleep', '62'], start_new_session=True)
    return os.environ['A']
"""
    look = """
import builtins, json, os, sys
def main():
    return {
        'cwd': os.listdir('.') + os.listdir('/dev/shm') + os.listdir(os.environ['TMPDIR_UNDER_TEST']),
        'home': os.getcwd() == os.environ['HOME'], 'umask': os.umask(0o22),
        'env': [n for n in ('LEFT', 'A') if n in os.environ],
        'names': [hasattr(m, 'left') for m in (builtins, json, sys)],
        'step': [os.environ['CITADEL_STEP'], os.environ['CITADEL_ATTEMPT'], os.environ['FROM_IMAGE']],
    }
"""
    place = {"name": "TMPDIR_UNDER_TEST", "value": (await python.run("where", code=TMP)).output}
    assert (await python.run("leave", code=leave, env=[place, {"name": "A", "value": "b"}])).output == "b"
    found = (await python.run("look", 3, code=look, env=[place])).output
    assert found == {
        "cwd": [],
        "home": True,
        "umask": 0o22,
        "env": [],
        "names": [False, False, False],
        "step": ["look", "3", "yes"],
    }
    assert await processes(python) == ["harness", "shim", "step"]


TMP = "import os\ndef main(): return os.path.join(os.path.dirname(os.getcwd()), 'tmp')"


async def test_children_left_behind_are_no_failure_and_hold_nothing_open(python: Gateway) -> None:
    code = "import subprocess\ndef main():\n subprocess.Popen(['sleep', '63'])\n print('done')\n return 7"
    result = await python.run("parent", code=code)
    assert result.output == 7
    assert await python.log("parent") == "done\n"


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


async def test_cancel_lets_the_code_clean_up(python: Gateway) -> None:
    code = "import time\ndef main():\n print('begun')\n try: time.sleep(60)\n finally: print('cleaned up')"
    await python.assign("long", code=code)
    await python.until(lambda: python.logs.get(("long", 1)))
    await python.change(cancel=[{"step": "long", "attempt": 1, "graceSeconds": 10}])
    failure = (await python.result("long")).failure
    assert failure["reason"] == "Cancelled"
    assert await python.log("long") == "begun\ncleaned up\n"
    assert (await python.run("after", code="def main(): return 1")).output == 1


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


async def test_many_steps_run_in_one_sandbox(python: Gateway) -> None:
    for number in range(50):
        await python.assign(f"s{number}", code="def main(n): return n * n", input={"n": number})
    for number in range(50):
        assert (await python.result(f"s{number}")).output == number * number
    assert json.dumps(python.deliveries) == json.dumps([[f"s{n}", 1] for n in range(50)])
