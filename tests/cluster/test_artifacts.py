"""Files and trees between steps on a real cluster, whatever the steps are written in."""

import json
from typing import Any

from live import Cluster, citadel, foreign_image, kubectl, python

MAKE = """
set -e
mkdir -p /data/src/deep
for number in 1 2 3 4 5; do head -c 1048576 /dev/urandom > /data/src/deep/$number; done
ln -s deep/1 /data/src/first
cp given.txt /data/src/given.txt
cat /data/src/deep/* | sha256sum | cut -c1-64 > sum
printf '"%s"' "$(cat sum)" > $CITADEL_OUTPUT
"""
PYTHON = """
import hashlib, os, pathlib
def main():
    data = b"".join(path.read_bytes() for path in sorted(pathlib.Path("/data/src/deep").iterdir()))
    pathlib.Path("out").mkdir()
    pathlib.Path("out/sum").write_text(hashlib.sha256(data).hexdigest())
    return [os.readlink("/data/src/first"), pathlib.Path("/data/src/given.txt").read_text(), len(data)]
"""
JAVASCRIPT = """
import fs from "node:fs";
import { createHash } from "node:crypto";
export default () => {
  const hash = createHash("sha256");
  for (const name of fs.readdirSync("src/deep").sort()) hash.update(fs.readFileSync(`src/deep/${name}`));
  return [hash.digest("hex"), fs.readFileSync("from-python/sum", "utf8")];
};
"""


async def test_a_tree_goes_from_a_container_to_python_and_javascript(cluster: Cluster) -> None:
    await cluster.config_map("words", text="from a ConfigMap\n")
    reference = {"valueFrom": {"configMapKeyRef": {"name": "words", "key": "text"}}}
    steps: list[dict[str, Any]] = [
        {
            "name": "make",
            "container": {"image": foreign_image(), "command": ["sh", "-c", MAKE]},
            "files": {"given.txt": reference},
            "artifacts": {"out": {"src": "/data/src"}},
        },
        {
            **python("check", PYTHON),
            "artifacts": {"in": {"/data/src": "steps.make.artifacts.src"}, "out": {"sum": "./out"}},
        },
        {
            "name": "compare",
            "run": {"runtime": "javascript", "code": JAVASCRIPT},
            "artifacts": {
                "in": {"src": "steps.make.artifacts.src", "from-python": "steps.check.artifacts.sum"}
            },
        },
    ]
    outputs = {name: f"${{steps.{name}.output}}" for name in ("make", "check", "compare")}
    await cluster.workflow("handing-on", steps, outputs=outputs)
    status = await cluster.run("handing-on", seconds=90)
    assert status["phase"] == "Succeeded", status
    made = status["outputs"]["make"]
    assert status["outputs"]["check"] == ["deep/1", "from a ConfigMap\n", 5 * 2**20]
    assert status["outputs"]["compare"] == [made, made]


async def test_artifacts_are_shown_and_one_that_is_not_there_fails_its_step(cluster: Cluster) -> None:
    code = "def main(ok):\n  if ok: open('a', 'w').write('text')"
    step = {**python("make", code, args={"ok": "${inputs.ok}"}), "artifacts": {"out": {"a": "a"}}}
    inputs = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    await cluster.workflow("leaves", [step], inputs=inputs)
    name = await cluster.execute("leaves", inputs={"ok": True})
    assert (await cluster.finished(name))["status"]["phase"] == "Succeeded"
    found = json.loads(citadel("get", name, "-n", cluster.namespace, "-o", "json"))
    (shown,) = found["status"]["steps"]
    assert shown["artifacts"]["a"]["digest"].startswith("sha256:")
    status = await cluster.run("leaves", inputs={"ok": False})
    assert (status["phase"], status["reason"]) == ("Failed", "InvalidOutput")
    assert "artifact a: /work/a: no such file or directory" in status["failure"]["message"]


async def test_a_wrong_reference_is_refused_before_anything_runs(cluster: Cluster) -> None:
    steps = [python("a", "def main(): pass"), {**python("b", "def main(): pass")}]
    steps[1]["artifacts"] = {"in": {"x": "steps.a.artifacts.src"}}
    await cluster.workflow("wrong", steps)
    status = await cluster.run("wrong")
    assert status["reason"] == "InvalidSpec"
    assert "found artifact 'src' of step a, expected one that it leaves: none" in status["message"]
    told = kubectl("-n", cluster.namespace, "get", "workflow", "wrong", "-o", "jsonpath={.status.conditions}")
    assert "expected one that it leaves" in told
