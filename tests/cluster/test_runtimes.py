"""Languages on a real cluster: each runs in its own image, and hands its output on to the next."""

import json

from citadel.kube.client import KubeClient
from citadel.kube.resources import RUNTIMES
from live import SYSTEM, Cluster, citadel, kubectl, python

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


GO = """
package main

import (
	"fmt"
	"os"
)

type In struct {
	Rows  []float64
	Token string
}

func Main(in In) (map[string]any, error) {
	total := 0.0
	for _, row := range in.Rows {
		total += row
	}
	fmt.Println("the token is", in.Token)
	directory, err := os.ReadDir(".")
	return map[string]any{"total": total, "left": len(directory), "user": os.Getuid(), "token": in.Token}, err
}
"""
JAVA = """
import java.util.*;

class Tell {
    record Found(Object total, boolean home) {}

    static Object main(Map<String, Object> in) {
        System.out.println("grün 😀");
        return new Found(in.get("total"), System.getProperty("user.dir").equals(System.getenv("HOME")));
    }
}
"""


def run(name: str, runtime: str, code: str, **fields: object) -> dict[str, object]:
    """A step of a runtime; `args` become its `with`."""
    step: dict[str, object] = {"name": name, "run": {"runtime": runtime, "code": code}}
    return step | {"with" if key == "args" else key: value for key, value in fields.items()}


def javascript(name: str, code: str, **fields: object) -> dict[str, object]:
    """A javascript step; `args` become its `with`."""
    return run(name, "javascript", code, **fields)


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


def builds(cluster: Cluster, execution: str) -> dict[str, bool]:
    """Which hidden steps an execution had, and whether each of them ran."""
    found = json.loads(citadel("get", execution, "-n", cluster.namespace, "-o", "json"))
    steps = {step["name"]: "sandbox" in step for step in found["status"]["steps"]}
    return {name: ran for name, ran in steps.items() if name.endswith(".build")}


async def test_go_and_java_are_compiled_once_in_a_namespace(cluster: Cluster, kube: KubeClient) -> None:
    kubectl(
        "-n", cluster.namespace, "create", "secret", "generic", "token", "--from-literal=key=s3cr3t-of-go"
    )
    token = {"valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}}
    steps = [
        python("load", "def main(): return [1, 2, 3.5]"),
        run("sum", "go", GO, args={"rows": "${steps.load.output}", "token": token}),
        run("tell", "java", JAVA, args={"total": "${steps.sum.output.total}"}),
    ]
    outputs = {"sum": "${steps.sum.output}", "found": "${steps.tell.output}"}
    await cluster.workflow("compiled", steps, outputs=outputs)
    refused = await cluster.run("compiled")
    for command in refused["message"].partition("To grant it: ")[2].split(" && "):
        kubectl(*command.split()[1:])
    expected = {
        "sum": {"total": 6.5, "left": 0, "user": 65533, "token": "***"},
        "found": {"total": 6.5, "home": True},
    }
    for name in ("first", "second"):
        await cluster.execute("compiled", name)
        status = (await cluster.finished(name))["status"]
        assert status["phase"] == "Succeeded", status
        assert status["outputs"] == expected
        logs = citadel("logs", name, "-n", cluster.namespace)
        assert "the token is ***" in logs
        assert "grün 😀" in logs
    assert builds(cluster, "second") == {"sum.build": False, "tell.build": False}

    other = Cluster(kube, f"{cluster.namespace}-b")
    kubectl("create", "namespace", other.namespace)
    try:
        await other.workflow("compiled", [run("tell", "java", JAVA, args={"total": 1})])
        await other.execute("compiled", "third")
        assert (await other.finished("third"))["status"]["phase"] == "Succeeded"
        assert builds(other, "third") == {"tell.build": True}
    finally:
        kubectl("delete", "namespace", other.namespace, "--wait=false")


async def test_code_that_cannot_be_compiled_says_where(cluster: Cluster) -> None:
    await cluster.workflow("go", [run("load", "go", "package main\n\nfunc Main() int {\n\treturn rows\n}\n")])
    await cluster.workflow("java", [run("load", "java", "class A {\n static int main() { return rows; }\n}")])
    expected = {"go": "line 4, column 9: undefined: rows", "java": "line 2, column 29: cannot find symbol"}
    for name, message in expected.items():
        status = await cluster.run(name)
        assert (status["phase"], status["reason"]) == ("Failed", "InvalidCode"), status
        assert status["failure"]["step"] == "load.build"
        assert message in status["failure"]["message"]
