"""The runtime javascript: what is its alone, and that a fork of Node.js is a whole Node.js.

What it has in common with other languages is in tests/conformance.
"""

from typing import Any

import pytest

from component.runtimes.gateway import Gateway

ONE = "export default () => 1"


@pytest.mark.parametrize(
    ("name", "code", "given", "output"),
    [
        ("arrow", "const main = ({a}) => a; export { main as default }", {"a": "b"}, "b"),
        ("date", "export default () => [new Date(0)]", {}, ["1970-01-01T00:00:00.000Z"]),
        ("shared", "const a = [1]; export default () => [a, a]", {}, [[1], [1]]),
        ("builtins", "import os from 'os'; import {sep} from 'node:path'\nexport default () => sep", {}, "/"),
        ("dynamic", "export default async () => (await import('node:path')).sep", {}, "/"),
        ("top", "const v = await Promise.resolve(4)\nexport default () => v", {}, 4),
        ("replaced", "JSON.stringify = setImmediate = null\nexport default () => 1", {}, 1),
        ("exits", "export default () => { process.exit = process.reallyExit = () => {}; return 1 }", {}, 1),
    ],
)
async def test_outputs_keep_their_values(
    javascript: Gateway, name: str, code: str, given: dict[str, Any], output: Any
) -> None:
    assert (await javascript.run(name, code=code, input=given)).output == output


LATER = "setTimeout(() => { throw new TypeError('late') }, 1)\nexport default () => new Promise(() => {})"
DEAF = "process.removeAllListeners()\n" + LATER
LOST = "export default () => {\n  Promise.reject(new Error('lost'))\n  return 1\n}"
FORGED = """
import fs from "fs";
export default () => {
  for (let fd = 3; fd < 64; fd++) try { fs.writeSync(fd, "S[1") } catch {}
  process.exit(0)
}
"""


@pytest.mark.parametrize(
    ("name", "code", "reason", "message", "traceback"),
    [
        (
            "own",
            "class Bad extends Error { name = 'Bad' }\nexport default () => { throw new Bad('no') }",
            "Error",
            "Bad: no",
            ["own.mjs:2:30"],
        ),
        ("text", "export default () => { throw 'x' }", "Error", "'x' was thrown, which is no Error", []),
        ("lost", LOST, "Error", "Error: lost", ["lost.mjs:2:18"]),
        ("later", LATER, "Error", "TypeError: late", ["later.mjs:1:26"]),
        ("deaf", DEAF, "Error", "TypeError: late", ["deaf.mjs:2:26"]),
        ("kind", "export default 3", "InvalidCode", "of type number, expected a function", []),
        (
            "imports",
            "import x from 'nosuch'\nexport default () => 1",
            "InvalidCode",
            "'nosuch' imported from imports.mjs",
            [],
        ),
        ("name", "import {nope} from 'fs'\nexport default () => 1", "InvalidCode", "named 'nope'", []),
        ("stuck", "export default () => new Promise(() => {})", "Error", "could settle its promise", []),
        ("abort", "export default () => process.abort()", "Error", "killed by SIGABRT", []),
        ("big", "export default () => ({a: [1, 10n]})", "InvalidOutput", "output.a[1] is a BigInt", []),
        ("undef", "export default () => ({a: undefined})", "InvalidOutput", "output.a is undefined", []),
        ("call", "export default () => ({'a b': x=>x})", "InvalidOutput", 'output["a b"] is a function', []),
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


#: A module of WebAssembly whose f() is 42.
ANSWER = "0061736d010000000105016000017f03020100070501016600000a06010400412a0b"
THREADS = """
import { Worker } from "node:worker_threads";
const work = (code, workerData) => new Promise((resolve, reject) => {
  const worker = new Worker(code, { eval: true, workerData });
  worker.on("message", (value) => worker.terminate().then(() => resolve(value)));
  worker.on("error", reject);
});
"""


@pytest.mark.parametrize(
    ("name", "code", "output"),
    [
        (
            "wasm",
            f"const code = Buffer.from('{ANSWER}', 'hex')\n"
            "export default async () => (await WebAssembly.instantiate(code)).instance.exports.f()",
            42,
        ),
        (
            "threads",
            THREADS + "export default () => work('require(\"worker_threads\").parentPort.postMessage(7)')",
            7,
        ),
        (
            "garbage",
            "export default () => { let n = 0; for (let i = 0; i < 500; i++) "
            "n += new Array(10000).fill(i).map(x => ({x})).length; return n }",
            5000000,
        ),
        (
            "hot",
            "export default () => { let s = 0; for (let i = 0; i < 3e7; i++) s = (s + i * i) | 0; return s }",
            163982144,
        ),
        (
            "network",
            "import http from 'node:http'\nexport default async () => {\n"
            " const server = http.createServer((_, answer) => answer.end('yes'))\n"
            " await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))\n"
            " return (await fetch('http://127.0.0.1:' + server.address().port)).text() }",
            "yes",
        ),
        (
            "packed",
            "import zlib from 'node:zlib'; import {promisify} from 'node:util'\nexport default async () => "
            "(await promisify(zlib.gunzip)(await promisify(zlib.gzip)('x'.repeat(1e5)))).length",
            100000,
        ),
        (
            "programs",
            "import {execFileSync, exec} from 'node:child_process'; import {promisify} from 'node:util'\n"
            "export default async () => [String(execFileSync('echo', ['a'])), "
            "(await promisify(exec)('echo b')).stdout]",
            ["a\n", "b\n"],
        ),
        (
            "files",
            "import fs from 'node:fs/promises'\nexport default async () => {\n"
            " await fs.writeFile('x.mjs', 'export const v = 5'); return (await import('./x.mjs')).v }",
            5,
        ),
        (
            "pid",
            "import fs from 'fs'\nexport default () => +fs.readlinkSync('/proc/self') === process.pid",
            True,
        ),
    ],
)
async def test_a_fork_is_a_whole_nodejs(javascript: Gateway, name: str, code: str, output: Any) -> None:
    assert (await javascript.run(name, code=code)).output == output


async def test_a_function_of_the_image_is_told_with_its_own_lines(site: Any) -> None:
    (site.binaries / "load.mjs").write_text(
        "export async function load({ text }) {\n  return JSON.parse(text)\n}\n"
    )
    await site.language("javascript")
    run = {"code": None, "entrypoint": f"{site.binaries}/load.mjs:load"}
    assert (await site.gateway.run("good", **run, input={"text": "[1]"})).output == [1]
    failure = (await site.gateway.run("bad", **run, input={"text": "x"})).failure
    assert failure["message"].startswith("SyntaxError: Unexpected token")
    assert any("/load.mjs:2:15)" in line for line in failure["traceback"]), failure
    assert not any("harness" in line or "node:" in line for line in failure["traceback"])


async def test_no_two_forks_draw_the_same_random_numbers(javascript: Gateway) -> None:
    code = "import crypto from 'node:crypto'\n" + THREADS
    code += "const draw = 'require(\"worker_threads\").parentPort.postMessage(Math.random())'\n"
    code += "export default async () => [Math.random(), crypto.randomUUID(), ...await Promise.all("
    code += "[work(draw), work(draw)])]"
    drawn = [(await javascript.run(f"draw{number}", code=code)).output for number in range(3)]
    assert len({str(value) for values in drawn for value in values}) == 12


async def test_timers_count_from_when_they_are_set(javascript: Gateway) -> None:
    code = "export default async () => { const t = Date.now(); await new Promise(r => setTimeout(r, 400)); "
    code += "return Date.now() - t }"
    for step in ("first", "second"):  # the second fork was there before the first timer had run
        assert (await javascript.run(step, code=code)).output >= 399


async def test_a_full_heap_is_out_of_memory(site: Any) -> None:
    node, *words = site.command("javascript")
    await site.start(node, "--max-old-space-size=64", *words)
    code = "export default () => { const all = []; for (;;) all.push(new Array(1000).fill({})) }"
    failure = (await site.gateway.run("full", code=code, timeoutSeconds=60)).failure
    assert failure["reason"] == "OOMKilled"
    assert failure["message"] == "out of memory: the heap of JavaScript is full"
    assert (await site.gateway.run("after", code=ONE)).output == 1


async def test_the_harness_cannot_be_looked_into_and_its_end_is_the_sandboxs(site: Any) -> None:
    sandbox = await site.language("javascript")
    code = """
import fs from "node:fs";
export default () => {
  const found = [];
  for (const pid of [1, process.ppid]) for (const name of ["mem", "environ", "fd/0", "maps"])
    try { fs.closeSync(fs.openSync(`/proc/${pid}/${name}`)); found.push(name) } catch {}
  fs.closeSync(fs.openSync("/proc/self/mem"));
  return found;
}
"""
    assert (await site.gateway.run("spy", code=code)).output == []
    code = "export default () => { process.kill(process.ppid, 9); for (;;); }"
    result = await site.gateway.run("murder", code=code)
    assert result.failure["message"] == "the interpreter that ran the step has ended"
    assert not result.next
    assert await sandbox.main.wait() != 0
