"""Steps of the runtime javascript: through runner, shim and a Node.js started ahead, as in a pod."""

import json
from typing import Any

import pytest

from component.runtimes.gateway import Gateway

ONE = "export default () => 1"


async def test_a_step_gets_its_arguments_by_name_and_returns_its_output(javascript: Gateway) -> None:
    code = "export default function ({rows, more = 2}) { return {sum: rows.length + more} }"
    result = await javascript.run("load", code=code, input={"rows": [1, 2, 3]})
    assert result.output == {"sum": 5}
    assert result.chunks == 0
    assert result.next


@pytest.mark.parametrize(
    ("name", "code", "given", "output"),
    [
        ("async", "export default async ({n}) => { await null; return n }", {"n": 1}, 1),
        ("nothing", "export default () => {}", {}, None),
        ("arrow", "const main = ({a}) => a; export { main as default }", {"a": "b"}, "b"),
        ("unicode", "export default ({s}) => [...s].reverse().join('')", {"s": "grün 😀"}, "😀 nürg"),
        ("same", "export default ({v}) => v", {"v": {"a": [None, True, {"b": [1.5, []]}]}}, "v"),
        ("large", "export default ({v}) => v", {"v": "x" * ((1 << 20) - 2)}, "v"),
        ("big-number", "export default ({n}) => n", {"n": 2**53 + 1}, 2**53),
        ("proto", "export default ({v}) => v", {"v": {"__proto__": 1, "toString": 2}}, "v"),
        ("date", "export default () => [new Date(0)]", {}, ["1970-01-01T00:00:00.000Z"]),
        ("shared", "const a = [1]; export default () => [a, a]", {}, [[1], [1]]),
        ("builtins", "import os from 'os'; import {sep} from 'node:path'\nexport default () => sep", {}, "/"),
        ("later", "export default async () => (await import('node:path')).sep", {}, "/"),
        ("top", "const v = await Promise.resolve(4)\nexport default () => v", {}, 4),
        ("replaced", "JSON.stringify = setImmediate = null\nexport default () => 1", {}, 1),
    ],
)
async def test_outputs_keep_their_values(
    javascript: Gateway, name: str, code: str, given: dict[str, Any], output: Any
) -> None:
    expected = given["v"] if output == "v" else output
    assert (await javascript.run(name, code=code, input=given)).output == expected


CYCLE = "export default () => { const a = {}; a.x = [a]; return a }"
DEEP = "export default () => { let a = []; for (let i = 0; i < 64; i++) a = [a]; return a }"
LATER = "setTimeout(() => { throw new TypeError('late') }, 1)\nexport default () => new Promise(() => {})"
LOST = "export default () => {\n  Promise.reject(new Error('lost'))\n  return 1\n}"
CAUSE = "export default () => {\n  throw new Error('a', {\n    cause: new TypeError('b')\n  })\n}"
FORGED = "import fs from 'fs'\nexport default () => { fs.writeSync(4, 'S[1'); process.exit(0) }"


@pytest.mark.parametrize(
    ("name", "code", "reason", "message", "traceback"),
    [
        (
            "load",
            "export default function () {\n  const a = null\n  return a.b\n}",
            "Error",
            "TypeError: Cannot read properties of null (reading 'b')",
            ["    at default (load.mjs:3:12)"],
        ),
        (
            "own",
            "class Bad extends Error { name = 'Bad' }\nexport default () => { throw new Bad('no') }",
            "Error",
            "Bad: no",
            ["own.mjs:2:30"],
        ),
        ("cause", CAUSE, "Error", "Error: a", ["cause.mjs:2:9", "Caused by TypeError: b", "cause.mjs:3:12"]),
        ("text", "export default () => { throw 'x' }", "Error", "'x' was thrown, which is no Error", []),
        ("top", "\nthrow new RangeError('top')", "Error", "RangeError: top", ["    at top.mjs:2:7"]),
        ("lost", LOST, "Error", "Error: lost", ["lost.mjs:2:18"]),
        ("later", LATER, "Error", "TypeError: late", ["later.mjs:1:26"]),
        (
            "syntax",
            "export default () => {\n  return (1\n}",
            "InvalidCode",
            "step syntax, line 3, column 1: Unexpected token '}': }",
            ["syntax.mjs:3:1", "^"],
        ),
        ("none", "const x = 1", "InvalidCode", "step none has no default export", []),
        ("kind", "export default 3", "InvalidCode", "of type number, expected a function", []),
        (
            "imports",
            "import x from 'nosuch'\nexport default () => 1",
            "InvalidCode",
            "'nosuch' imported from imports.mjs",
            [],
        ),
        ("name", "import {nope} from 'fs'\nexport default () => 1", "InvalidCode", "named 'nope'", []),
        ("exit3", "export default () => process.exit(3)", "Error", "exit code 3", []),
        ("exit0", "export default () => process.exit(0)", "Error", "process.exit(0) was called", []),
        ("stuck", "export default () => new Promise(() => {})", "Error", "could settle its promise", []),
        ("killed", "export default () => process.kill(process.pid, 9)", "Error", "killed by SIGKILL", []),
        ("big", "export default () => ({a: [1, 10n]})", "InvalidOutput", "output.a[1] is a BigInt", []),
        ("nan", "export default () => [NaN]", "InvalidOutput", "output[0] is NaN", []),
        ("undef", "export default () => ({a: undefined})", "InvalidOutput", "output.a is undefined", []),
        ("call", "export default () => ({'a b': x=>x})", "InvalidOutput", 'output["a b"] is a function', []),
        ("map", "export default () => [new Map()]", "InvalidOutput", "output[0] is a Map", []),
        ("cycle", CYCLE, "InvalidOutput", "output.x[0] contains itself", []),
        ("deep", DEEP, "InvalidOutput", "deeper than 64 levels", []),
        ("nul", "export default () => 'a\\0'", "InvalidOutput", "output holds the character NUL", []),
        ("half", "export default () => ['\\ud83d']", "InvalidOutput", "output[0] holds a lone surrogate", []),
        (
            "much",
            "export default () => 'x'.repeat(2_000_000)",
            "InvalidOutput",
            "2000002 bytes of JSON, at most 1048576 are allowed",
            [],
        ),
        ("forged", FORGED, "InvalidOutput", "the output is not valid JSON", []),
    ],
)
async def test_failures_say_what_is_wrong_and_where(
    javascript: Gateway, name: str, code: str, reason: str, message: str, traceback: list[str]
) -> None:
    failure = (await javascript.run(name, code=code)).failure
    shown = "\n".join(failure.get("traceback") or [])
    assert failure["reason"] == reason
    assert message in failure["message"]
    assert all(line in shown for line in traceback), shown
    assert "harness.mjs" not in shown
    assert (await javascript.run("after", code=ONE)).output == 1


async def test_prints_arrive_in_order_and_apart_from_the_output(javascript: Gateway) -> None:
    code = "export default () => { for (let i = 0; i < 1000; i++) console.log(i, 'ü'); console.error('bad') }"
    await javascript.run("talk", code=code)
    assert await javascript.log("talk") == "".join(f"{i} ü\n" for i in range(1000))
    assert await javascript.log("talk", stream="stderr") == "bad\n"


async def test_prints_are_live_and_a_timeout_ends_the_whole_process_tree(javascript: Gateway) -> None:
    code = """
import { spawn } from "node:child_process";
export default () => {
  process.on("SIGTERM", () => {});
  spawn("sh", ["-c", "setsid sleep 61 & sleep 61"], { detached: true });
  console.log("begun");
  for (;;);
}
"""
    await javascript.assign("stuck", code=code, timeoutSeconds=3)
    await javascript.until(lambda: javascript.logs.get(("stuck", 1)))
    assert ("stuck", 1) not in javascript.results
    failure = (await javascript.result("stuck")).failure
    assert failure["reason"] == "Timeout"
    assert await processes(javascript) == 2


async def processes(gateway: Gateway) -> int:
    """How many there are while a step looks: the shim, and the step."""
    code = "import fs from 'fs'\nexport default () => fs.readdirSync('/proc').filter(n => +n).length"
    output = (await gateway.run(f"look{len(gateway.results)}", code=code)).output
    assert isinstance(output, int)
    return output


async def test_nothing_is_left_for_the_next_step(javascript: Gateway) -> None:
    leave = """
import { spawn } from "node:child_process";
import fs from "node:fs";
export default () => {
  fs.writeFileSync("mine", "x");
  fs.writeFileSync("/dev/shm/left", "x");
  process.env.LEFT = "x";
  globalThis.left = Object.prototype.left = fs.left = "x";
  process.umask(0o777);
  process.chdir("/");
  spawn("sleep", ["62"], { detached: true });
  return process.env.A;
}
"""
    look = """
import fs from "node:fs";
export default () => ({
  files: [...fs.readdirSync("."), ...fs.readdirSync("/dev/shm")],
  home: process.cwd() === process.env.HOME, umask: process.umask(),
  env: ["LEFT", "A"].filter((name) => name in process.env),
  names: [globalThis.left === undefined, {}.left === undefined, fs.left === undefined],
  step: [process.env.CITADEL_STEP, process.env.CITADEL_ATTEMPT, process.env.FROM_IMAGE],
})
"""
    result = await javascript.run("leave", code=leave, env=[{"name": "A", "value": "b"}])
    assert result.output == "b"
    assert (await javascript.run("look", 3, code=look)).output == {
        "files": [],
        "home": True,
        "umask": 0o22,
        "env": [],
        "names": [True, True, True],
        "step": ["look", "3", "yes"],
    }
    assert await processes(javascript) == 2


async def test_children_left_behind_are_no_failure_and_hold_nothing_open(javascript: Gateway) -> None:
    code = """
import { spawn } from "node:child_process";
export default () => { spawn("sleep", ["63"], { stdio: "inherit" }); console.log("done"); return 7 }
"""
    assert (await javascript.run("parent", code=code)).output == 7
    assert await javascript.log("parent") == "done\n"


async def test_cancel_lets_the_code_clean_up_and_kills_after_its_grace(javascript: Gateway) -> None:
    code = """
process.on("SIGTERM", () => { console.log("cleaned up"); if (process.env.END) process.exit(1) });
export default () => { console.log("begun"); setInterval(() => {}, 1000); return new Promise(() => {}) }
"""
    for name, grace, end in (("kind", 10, "x"), ("stubborn", 0.2, "")):
        await javascript.assign(name, code=code, env=[{"name": "END", "value": end}])
        await javascript.until(lambda name=name: javascript.logs.get((name, 1)))
        await javascript.change(cancel=[{"step": name, "attempt": 1, "graceSeconds": grace}])
        failure = (await javascript.result(name)).failure
        assert failure["reason"] == "Cancelled"
        assert ("exit code 1" if end else "SIGKILL") in failure["message"]
        assert await javascript.log(name) == "begun\ncleaned up\n"
    assert (await javascript.run("after", code=ONE)).output == 1


async def test_many_steps_run_in_one_sandbox(javascript: Gateway) -> None:
    for number in range(20):
        await javascript.assign(f"s{number}", code="export default ({n}) => n * n", input={"n": number})
    for number in range(20):
        assert (await javascript.result(f"s{number}")).output == number * number
    assert json.dumps(javascript.deliveries) == json.dumps([[f"s{n}", 1] for n in range(20)])
