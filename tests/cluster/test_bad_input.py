"""Whatever a user gets wrong ends in one clear message, and the neighbours go on."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from citadel.kube.resources import EXECUTIONS, PODS, RUNTIMES, WORKFLOWS
from live import SANDBOXES, SYSTEM, Cluster, citadel, policy, python

OK = "def main(): return 1"
MINUTE = 60.0


@dataclass(frozen=True)
class Bad:
    """A workflow that fails, and how it must say so."""

    steps: list[dict[str, Any]]
    reason: str
    says: tuple[str, ...]
    spec: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)


SCHEMA = {
    "type": "object",
    "required": ["region"],
    "properties": {"region": {"type": "string", "pattern": "^[a-z]+$"}, "limit": {"type": "integer"}},
}
HOSTILE = {"type": "object", "properties": {"s": {"type": "string", "pattern": "^(a+)+$"}}}

CASES = {
    "a runtime that does not exist": Bad(
        [{"name": "a", "run": {"runtime": "cobol", "code": OK}}],
        "RuntimeNotFound",
        ("cobol", "citadel-system"),
    ),
    "a cycle": Bad(
        [python("a", OK, needs=["b"]), python("b", OK, needs=["a"])],
        "InvalidSpec",
        ("cycle", "a needs b needs a"),
    ),
    "a reference to a step that does not exist": Bad(
        [python("a", "def main(x): return x", args={"x": "${steps.lod.output}"})],
        "InvalidSpec",
        ("lod", "spec.steps[0]"),
    ),
    "an expression that does not parse": Bad(
        [python("a", OK, when="1 +")], "InvalidSpec", ("spec.steps[0].when",)
    ),
    "an expression that fails": Bad(
        [python("a", "def main(): return {}"), python("b", OK, when="steps.a.output.rows > 1")],
        "ExpressionError",
        ("step b", "when"),
    ),
    "a quadratic expression": Bad(
        [
            python("a", "def main(): return list(range(20000))"),
            python("b", OK, when="steps.a.output.all(x, steps.a.output.exists(y, y == x))"),
        ],
        "ExpressionError",
        ("step b", "when"),
    ),
    "an input of the wrong type": Bad(
        [python("a", OK)], "InvalidInputs", ("region", "7"), {"inputs": SCHEMA}, {"region": 7}
    ),
    "a missing input": Bad([python("a", OK)], "InvalidInputs", ("region",), {"inputs": SCHEMA}),
    "an undeclared input": Bad(
        [python("a", OK)],
        "InvalidInputs",
        ("colour",),
        {"inputs": SCHEMA},
        {"region": "emea", "colour": "red"},
    ),
    "a hostile regex": Bad(
        [python("a", OK)], "InvalidInputs", ("s",), {"inputs": HOSTILE}, {"s": "a" * 5000 + "!"}
    ),
    "an output that is too large": Bad(
        [python("a", "def main(): return 'x' * (2 << 20)")], "OutputTooLarge", ("step a", "1048576")
    ),
    "an output that is not JSON": Bad(
        [python("a", "def main(): return {'when': object()}")], "InvalidOutput", ("step a", "object")
    ),
    "code that does not parse": Bad([python("a", "def main(:\n  pass")], "InvalidCode", ("step a", "line 1")),
    "code without main": Bad([python("a", "x = 1")], "InvalidCode", ("step a", "main")),
    "code that exits 1": Bad([python("a", "import sys\ndef main(): sys.exit(1)")], "Error", ("step a", "1")),
    "code that sleeps past its timeout": Bad(
        [python("a", "import time\ndef main(): time.sleep(60)", timeout="1s")], "Timeout", ("step a", "1s")
    ),
    "code that takes more memory than it may": Bad(
        [
            python(
                "a",
                "def main():\n    return len(bytearray(400 << 20))",
                run={"resources": {"limits": {"memory": "96Mi"}}},
            )
        ],
        "OOMKilled",
        ("step a",),
    ),
    "an image that cannot be pulled": Bad(
        [{"name": "a", "container": {"image": "localhost/none:1", "command": ["true"]}}],
        "ImagePullFailed",
        ("step a", "localhost/none:1"),
    ),
}


@pytest.mark.parametrize("bad", CASES.values(), ids=CASES.keys())
async def test_a_bad_workflow_says_what_is_wrong(cluster: Cluster, bad: Bad) -> None:
    await cluster.workflow("bad", bad.steps, **bad.spec)
    status = await cluster.run("bad", MINUTE, inputs=bad.inputs)
    assert (status["phase"], status["reason"]) == ("Failed", bad.reason), status
    condition = next(item for item in status["conditions"] if item["type"] == "Succeeded")
    assert (condition["status"], condition["reason"]) == ("False", bad.reason)
    for words in bad.says:
        assert words in condition["message"], condition["message"]


async def test_an_execution_whose_workflow_does_not_exist_waits_then_fails(cluster: Cluster) -> None:
    name = await cluster.execute("nowhere")
    pending = await cluster.until(name, lambda obj: "phase" in obj.get("status", {}))
    assert (pending["status"]["phase"], pending["status"]["reason"]) == ("Pending", "WorkflowNotFound")
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "WorkflowNotFound")
    assert "nowhere" in status["message"]


async def test_an_execution_that_comes_before_its_workflow_runs(cluster: Cluster) -> None:
    name = await cluster.execute("late")
    await cluster.until(name, lambda obj: "phase" in obj.get("status", {}))
    await cluster.workflow("late", [python("a", OK)])
    assert (await cluster.finished(name))["status"]["phase"] == "Succeeded"


async def test_code_that_leaves_children_and_deletes_files_hurts_nobody(cluster: Cluster) -> None:
    wild = """
import os, shutil, subprocess
def main():
    for _ in range(5):
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    for top in ("/work", "/tmp", "/usr", "/citadel", "/etc"):
        shutil.rmtree(top, ignore_errors=True)
    return sorted(os.listdir("/"))[:1]
"""
    look = """
import os
def main():
    mine = [p for p in os.listdir("/proc") if p.isdigit()]
    names = [open(f"/proc/{p}/comm").read().strip() for p in mine]
    return names.count("sleep")
"""
    await cluster.workflow(
        "wild", [python("wild", wild), python("look", look)], outputs={"left": "${steps.look.output}"}
    )
    status = await cluster.run("wild")
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"left": 0}), status


async def test_code_that_prints_50_megabytes_succeeds_and_its_log_is_cut_with_a_mark(
    cluster: Cluster,
) -> None:
    code = """
def main():
    for _ in range(50 * 1024):
        print("x" * 1023)
"""
    await cluster.workflow("loud", [python("loud", code)])
    name = await cluster.execute("loud")
    assert (await cluster.finished(name, 120.0))["status"]["phase"] == "Succeeded"
    printed = citadel("logs", "-n", cluster.namespace, name)
    assert 9 << 20 < len(printed) < 12 << 20
    assert "the log is cut here: an attempt keeps at most 10485760 bytes" in printed


async def test_a_workflow_edited_while_it_runs_does_not_change_what_runs(cluster: Cluster) -> None:
    slow = "import time\ndef main():\n    time.sleep(3)\n    return 'old'"
    await cluster.workflow(
        "edited",
        [python("a", slow), python("b", "def main(x): return x", args={"x": "${steps.a.output}"})],
        outputs={"x": "${steps.b.output}"},
    )
    name = await cluster.execute("edited")
    await cluster.until(name, lambda obj: obj.get("status", {}).get("startedAt"))
    changed = {
        "spec": {
            "steps": [python("only", "def main(): return 'new'")],
            "outputs": {"x": "${steps.only.output}"},
        }
    }
    await cluster.kube.patch(WORKFLOWS, "edited", changed, cluster.namespace)
    assert (await cluster.finished(name))["status"]["outputs"] == {"x": "old"}
    assert (await cluster.run("edited"))["outputs"] == {"x": "new"}


async def test_poison_objects_of_every_kind_say_what_is_wrong_and_stop_nobody(cluster: Cluster) -> None:
    schema = {"type": "object", "properties": {"s": {"$ref": "https://example.invalid/schema.json"}}}
    await cluster.workflow("poison", [python("a", OK)], inputs=schema)
    await cluster.workflow("healthy", [python("a", OK)])
    runtime = {
        "apiVersion": RUNTIMES.api_version,
        "kind": "Runtime",
        "metadata": {"name": "broken", "namespace": cluster.namespace},
        "spec": {"image": "NOT//an::image", "runtimeClassName": "no-such-class"},
    }
    await cluster.kube.create(RUNTIMES, runtime)
    await cluster.workflow("on-broken", [{"name": "a", "run": {"runtime": "broken", "code": OK}}])
    hostile = {"nul": "a\x00b", "deep": json.loads("[" * 40 + "]" * 40), "ü" * 60: [1e308, -0.0, 2**62]}
    await cluster.workflow("any", [python("a", OK)], inputs={"type": "object", "additionalProperties": True})
    names = {
        "poison": await cluster.execute("poison"),
        "broken": await cluster.execute("on-broken"),
        "hostile": await cluster.execute("any", inputs=hostile),
        "healthy": await cluster.execute("healthy"),
    }
    statuses = {key: (await cluster.finished(name))["status"] for key, name in names.items()}
    assert statuses["healthy"]["phase"] == "Succeeded"
    assert (statuses["poison"]["phase"], statuses["poison"]["reason"]) == ("Failed", "InvalidSpec")
    assert "$ref" in statuses["poison"]["message"]
    assert statuses["broken"]["phase"] == "Failed", statuses["broken"]
    assert (statuses["hostile"]["phase"], statuses["hostile"]["reason"]) == ("Failed", "InvalidInputs")
    workflow = await cluster.kube.get(WORKFLOWS, "poison", cluster.namespace)
    conditions = {item["type"]: item for item in workflow["status"]["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Stalled"]["status"]) == ("False", "True")


async def test_a_child_that_takes_too_much_memory_is_told_from_one_that_fails(cluster: Cluster) -> None:
    code = """
import subprocess
def main():
    subprocess.run(["python3", "-c", "bytearray(400 << 20)"], check=True)
"""
    limits = {"resources": {"limits": {"memory": "96Mi"}}}
    await cluster.workflow("child", [python("a", code, run=limits)])
    status = await cluster.run("child")
    assert (status["phase"], status["reason"]) == ("Failed", "OOMKilled"), status


async def test_an_evicted_sandbox_is_the_reason_of_its_attempt(cluster: Cluster) -> None:
    await cluster.workflow("slow", [python("a", "import time\ndef main(): time.sleep(300)")])
    name = await cluster.execute("slow")
    await cluster.until(
        name, lambda obj: obj.get("status", {}).get("steps", [{}])[0].get("status") == "Running"
    )
    mine = f"{cluster.namespace}/{name}"
    pods = (await cluster.kube.list(PODS, SANDBOXES)).items
    pod = next(p for p in pods if p["metadata"]["annotations"]["citadel.dev/execution"] == mine)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["metadata"]["name"], "namespace": SANDBOXES},
    }
    await cluster.kube.create(PODS, eviction, SANDBOXES, name=pod["metadata"]["name"], subresource="eviction")
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted"), status


async def test_a_sandbox_that_no_node_takes_waits_and_says_why(cluster: Cluster) -> None:
    image = (await cluster.kube.get(RUNTIMES, "python", SYSTEM))["spec"]["image"]
    runtime = {
        "apiVersion": RUNTIMES.api_version,
        "kind": "Runtime",
        "metadata": {"name": "elsewhere", "namespace": cluster.namespace},
        "spec": {"image": image, "nodeSelector": {"example.com/none": "such"}},
    }
    await cluster.kube.create(RUNTIMES, runtime)
    await cluster.workflow("waits", [{"name": "a", "run": {"runtime": "elsewhere", "code": OK}}])
    async with policy(cluster, nodeSelector={"example.com/none": ["such"]}):
        name = await cluster.execute("waits")
        waiting = await cluster.until(name, lambda obj: obj.get("status", {}).get("phase") == "Waiting")
    assert waiting["status"]["reason"] == "Unschedulable"
    assert "node" in waiting["status"]["message"]
    await cluster.kube.patch(EXECUTIONS, name, {"spec": {"stop": "Cancel"}}, cluster.namespace)
    assert (await cluster.finished(name))["status"]["phase"] == "Cancelled"
