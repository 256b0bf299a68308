"""Languages on a real cluster: each runs in its own image, and hands its output on to the next."""

from citadel.kube.resources import RUNTIMES
from live import SYSTEM, Cluster, python

LEAVE = """
import fs from "node:fs";
export default async function ({ rows }) {
  fs.writeFileSync("left", "x");
  globalThis.left = true;
  console.log("rows", rows.length);
  return { total: rows.reduce((sum, row) => sum + row, 0), text: "grün 😀" };
}
"""
LOOK = """
import fs from "node:fs";
export default ({ total, text }) => ({
  total, text, node: Number(process.versions.node.split(".")[0]) >= 20,
  left: [fs.readdirSync("."), globalThis.left === undefined], user: process.getuid(),
})
"""


def javascript(name: str, code: str, **fields: object) -> dict[str, object]:
    """A javascript step; `args` become its `with`."""
    step: dict[str, object] = {"name": name, "run": {"runtime": "javascript", "code": code}}
    return step | {"with" if key == "args" else key: value for key, value in fields.items()}


async def test_javascript_has_a_default_runtime_and_runs_beside_python(cluster: Cluster) -> None:
    runtime = await cluster.kube.get(RUNTIMES, "javascript", SYSTEM)
    assert runtime["spec"]["language"] == "javascript"
    given = {"total": "${steps.sum.output.total}", "text": "${steps.sum.output.text}"}
    await cluster.workflow(
        "polyglot",
        [
            python("load", "def main(): return [1, 2, 3.5]"),
            javascript("sum", LEAVE, args={"rows": "${steps.load.output}"}),
            javascript("look", LOOK, args=given),
            python("tell", "def main(found): return found", args={"found": "${steps.look.output}"}),
        ],
        outputs={"found": "${steps.tell.output}"},
    )
    status = await cluster.run("polyglot")
    assert status["phase"] == "Succeeded", status
    assert status["outputs"]["found"] == {
        "total": 6.5,
        "text": "grün 😀",
        "node": True,
        "left": [[], True],
        "user": 65533,
    }


async def test_an_exception_in_javascript_says_where(cluster: Cluster) -> None:
    code = "export default function () {\n  const rows = null\n  return rows.length\n}"
    await cluster.workflow("fails", [javascript("load", code)])
    status = await cluster.run("fails")
    assert (status["phase"], status["reason"]) == ("Failed", "Error")
    assert "TypeError: Cannot read properties of null (reading 'length')" in status["failure"]["message"]
    assert "load.mjs:3:15" in status["failure"]["message"]
