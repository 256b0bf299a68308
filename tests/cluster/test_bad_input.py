"""Whatever a user gets wrong ends in one clear message, and the neighbours go on."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from live import Cluster, python

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
        [python("a", "def main(): return 'x' * (2 << 20)")], "InvalidOutput", ("step a", "1048576")
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
    pending = await cluster.until(name, lambda obj: "status" in obj)
    assert (pending["status"]["phase"], pending["status"]["reason"]) == ("Pending", "WorkflowNotFound")
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "WorkflowNotFound")
    assert "nowhere" in status["message"]


async def test_an_execution_that_comes_before_its_workflow_runs(cluster: Cluster) -> None:
    name = await cluster.execute("late")
    await cluster.until(name, lambda obj: "status" in obj)
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


async def test_code_that_prints_50_megabytes_still_succeeds(cluster: Cluster) -> None:
    code = "def main():\n    line = 'x' * 1023\n    for _ in range(50 * 1024):\n        print(line)\n    return 'done'"
    await cluster.workflow("loud", [python("loud", code)])
    assert (await cluster.run("loud", 120.0))["phase"] == "Succeeded"


async def test_a_workflow_edited_while_it_runs_does_not_change_what_runs(cluster: Cluster) -> None:
    from citadel.kube.resources import WORKFLOWS

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
