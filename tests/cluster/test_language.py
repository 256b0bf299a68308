"""The control flow of workflows on a real cluster: code in loops, handlers, compensations and finally."""

import asyncio
from typing import Any

from live import Cluster, citadel, python

DOUBLE = "def main(x): return x * 2"


def looped(name: str, code: str, **for_each: Any) -> dict[str, Any]:
    return {**python(name, code, args={"x": "${item}"}), "forEach": {"items": "${inputs.list}", **for_each}}


async def test_a_step_runs_for_each_item_in_several_sandboxes(cluster: Cluster) -> None:
    inputs = {"type": "object", "properties": {"list": {"type": "array"}}}
    await cluster.workflow(
        "flow", [looped("double", DOUBLE)], inputs=inputs, outputs={"all": "${steps.double.output}"}
    )
    name = await cluster.execute("flow", inputs={"list": list(range(30))})
    status = (await cluster.finished(name))["status"]
    assert status.get("outputs") == {"all": [n * 2 for n in range(30)]}, status
    assert status["progress"]["text"] == "31/31"
    shown = await asyncio.to_thread(citadel, "logs", name, "-n", cluster.namespace)
    assert "not found" not in shown


async def test_it_writes_and_tests_until_the_test_passes(cluster: Cluster) -> None:
    group = {
        "name": "fix",
        "repeat": {"until": "output.passed", "max": 10},
        "steps": [
            python(
                "write", "def main(count): return f'answer = {count * 10}'", args={"count": "${iteration}"}
            ),
            python(
                "test",
                "def main(text):\n    print(text)\n    return {'passed': text.endswith('30')}",
                args={"text": "${steps.write.output}"},
            ),
        ],
        "output": "${steps.test.output}",
    }
    await cluster.workflow("flow", [group], outputs={"it": "${steps.fix.output}"})
    name = await cluster.execute("flow")
    status = (await cluster.finished(name))["status"]
    assert status.get("outputs") == {"it": {"passed": True}}, status
    log = await asyncio.to_thread(citadel, "logs", name, "-n", cluster.namespace)
    assert "answer = 30" in log
    one = await asyncio.to_thread(citadel, "logs", name, "--step", "fix[2].test", "-n", cluster.namespace)
    assert "answer = 20" in one
    assert "answer = 30" not in one


async def test_what_was_booked_is_undone_then_finally_runs(cluster: Cluster) -> None:
    undo = {
        "run": {"runtime": "python", "code": "def main(id): print('undone', id)"},
        "with": {"id": "${output.id}"},
    }
    book = [
        {**python(name, f"def main(): return {{'id': '{name}'}}"), "compensate": undo}
        for name in ("hotel", "flight")
    ]
    last = python("last", "def main(phase): print('ended', phase)", args={"phase": "${execution.phase}"})
    await cluster.workflow(
        "flow", [*book, python("pay", "def main(): raise ValueError('no money')")], **{"finally": [last]}
    )
    name = await cluster.execute("flow")
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Error"), status
    log = await asyncio.to_thread(citadel, "logs", name, "-n", cluster.namespace)
    told = [line.rpartition("undone ")[2] for line in log.splitlines() if "undone " in line]
    assert told == ["flight", "hotel"]
    assert "ended Failed" in log


async def test_a_failure_is_handled_and_a_choice_is_made_without_a_sandbox(cluster: Cluster) -> None:
    steps = [
        {
            **python("load", "def main(): raise ValueError('gone')"),
            "onError": {"output": {"why": "${error.message}"}},
        },
        {
            "name": "route",
            "switch": {
                "cases": [{"when": "steps.load.output.why.contains('gone')", "value": "again"}],
                "default": "on",
            },
        },
        {"name": "pause", "wait": {"for": "500ms"}},
    ]
    await cluster.workflow("flow", steps, outputs={"route": "${steps.route.output}"})
    status = await cluster.run("flow")
    assert status.get("outputs") == {"route": "again"}, status
