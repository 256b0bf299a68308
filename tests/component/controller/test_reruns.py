"""Reruns from the object to the journal: what is taken over, and every way in which there is nothing to."""

import pytest

from build import python_step
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.values import Stored
from component.controller.cluster import Cluster

INPUTS = {"type": "object", "properties": {"n": {"type": "integer"}}}
LARGE = "x" * 5000


async def failed(cluster: Cluster, **fields) -> str:
    """An execution of `a`, which gave much, and `b`, which failed."""
    await cluster.lead()
    reads = python_step("b", **{"with": {"x": "${steps.a.output}"}})
    await cluster.define(python_step("a"), reads, inputs=INPUTS, outputs={"x": "${steps.a.output}"})
    uid = await cluster.submit(inputs={"n": 1}, **fields)
    row = await cluster.register(uid)
    await cluster.succeed(row, "a", LARGE)
    await cluster.database.journal.advance(
        uid, [ev.AttemptFailed("b", 1, row.name, Failure("Error", "boom"))]
    )
    await cluster.phase("Failed")
    return uid


async def test_a_rerun_takes_over_what_succeeded_and_runs_the_rest(cluster: Cluster) -> None:
    before = await failed(cluster)
    again = await cluster.submit("again", rerunOf={"name": "run", "failed": True})
    row = await cluster.register(again)
    state = await cluster.database.journal.read(again)
    assert (state.steps["a"].status, state.steps["a"].message) == ("Succeeded", "from execution run")
    assert isinstance(state.steps["a"].output, Stored)
    assert row.uid == again
    await cluster.succeed(row, "b", 1)
    status = await cluster.phase("Succeeded", "again")
    assert status["outputs"] == {"x": LARGE}
    # The new one has all of its own.
    await cluster.database.journal.forget([before])
    values = await cluster.database.journal.values(again, [state.steps["a"].output.digest])
    assert list(values.values()) == [LARGE]


async def test_without_a_point_everything_runs_again_on_the_same_inputs_and_definition(
    cluster: Cluster,
) -> None:
    await failed(cluster)
    old = cluster.status()["definition"]
    await cluster.define(python_step("other"))
    again = await cluster.submit("again", rerunOf={"name": "run"})
    state = await cluster.state(again, lambda state: state.created)
    assert (state.created.inputs.value, state.created.definition) == ({"n": 1}, old)
    assert state.steps["a"].status == "Ready"


async def test_inputs_are_those_of_before_but_for_those_given(cluster: Cluster) -> None:
    await failed(cluster)
    again = await cluster.submit("again", rerunOf={"name": "run", "from": "b"}, inputs={"n": 2})
    state = await cluster.state(again, lambda state: state.created)
    assert state.created.inputs.value == {"n": 2}
    assert state.steps["a"].reason == "Recalled"
    await cluster.submit("wrong", rerunOf={"name": "run"}, inputs={"n": "many"})
    status = await cluster.phase("Failed", "wrong")
    assert status["reason"] == "InvalidInputs"


async def test_by_the_current_definition_what_has_changed_runs_again(cluster: Cluster) -> None:
    await failed(cluster)
    await cluster.define(python_step("a"), python_step("b", timeout="1m"), inputs=INPUTS)
    of = {"name": "run", "failed": True, "definition": "current"}
    again = await cluster.submit("again", rerunOf=of)
    state = await cluster.state(again, lambda state: state.created)
    assert state.created.definition != cluster.status()["definition"]
    assert [state.steps[name].status for name in "ab"] == ["Succeeded", "Ready"]


async def test_one_of_the_archive_is_named_by_its_uid(cluster: Cluster) -> None:
    uid = await failed(cluster)
    await cluster.remove("executions", "run")
    await cluster.submit("lost", rerunOf={"name": "run", "failed": True})
    status = await cluster.phase("Failed", "lost")
    told = "does not exist in namespace team; one of the archive is named by its uid, too"
    assert status["message"] == f"rerunOf: Execution run {told}"
    again = await cluster.submit("again", rerunOf={"name": "run", "uid": uid, "failed": True})
    state = await cluster.state(again, lambda state: state.created)
    assert state.steps["a"].reason == "Recalled"


@pytest.mark.parametrize(
    ("of", "ref", "told"),
    [
        (
            {"name": "run", "from": "c"},
            "flow",
            "cannot run again from there: found no step c, expected one of a, b",
        ),
        ({"name": "run", "uid": "u"}, "flow", "is not in the journal any more"),
        ({"name": "run"}, "other", "is one of Workflow flow, found workflowRef.name other"),
        ({"name": "other"}, "flow", "does not exist in namespace team; one of the archive is"),
    ],
)
async def test_what_cannot_be_run_again_says_why(cluster: Cluster, of, ref: str, told: str) -> None:
    await failed(cluster)
    await cluster.submit("again", workflowRef={"name": ref}, rerunOf=of)
    status = await cluster.phase("Failed", "again")
    assert status["reason"] == "CannotRerun"
    assert status["message"].startswith(f"rerunOf: Execution {of['name']} {told}")


async def test_one_that_has_not_ended_is_not_run_again(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit()
    await cluster.register(uid)
    await cluster.submit("again", rerunOf={"name": "run", "failed": True})
    status = await cluster.phase("Failed", "again")
    assert status["message"] == "rerunOf: Execution run has not ended"
