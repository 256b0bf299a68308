"""Executions from the object to the journal and back: few writes, quick ends, nothing that runs twice."""

import asyncio
import time

import pytest

from build import python_step
from citadel.core import events as ev
from citadel.core.failures import Failure
from component.controller.cluster import Cluster
from component.controller.clusterapi import path_of, since_epoch

STATUS = ("PATCH", path_of("executions", "run") + "/status")


@pytest.mark.parametrize(
    ("pause", "statuses"), [pytest.param(60, 1, id="that is over soon"), pytest.param(0, 2, id="that lasts")]
)
async def test_an_execution_of_one_step_costs_at_most_five_writes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, pause: float, statuses: int
) -> None:
    monkeypatch.setattr("citadel.controller.executions.FIRST_PAUSE", pause)
    await cluster.lead()
    await cluster.define(python_step("a"), outputs={"x": "${steps.a.output}"})
    cluster.api.requests.clear()
    uid = await cluster.submit()
    row = await cluster.register(uid)
    await cluster.succeed(row, "a", 7)
    status = await cluster.phase("Succeeded")
    assert (status["outputs"], status["progress"]["text"]) == ({"x": 7}, "1/1")
    await cluster.until(lambda: not cluster.pods())
    await cluster.until(lambda: any("/events" in path for _, path in cluster.api.writes()))
    await cluster.rows(lambda rows: not rows)
    assert sorted(cluster.api.writes()) == sorted(
        [
            *[STATUS] * statuses,
            ("POST", path_of("pods", row.name).rpartition("/")[0]),
            ("DELETE", path_of("pods", row.name)),
            ("POST", "/api/v1/namespaces/team/events"),
        ]
    )


async def test_while_it_runs_the_status_is_written_once_a_second(cluster: Cluster) -> None:
    await cluster.lead()
    names = [f"s{number}" for number in range(24)]
    await cluster.define(*(python_step(name) for name in names))
    uid = await cluster.submit()
    row = await cluster.register(uid)
    cluster.api.requests.clear()
    began = time.monotonic()
    for name in names[:-1]:
        await cluster.succeed(row, name)
        await asyncio.sleep(0.1)
    written, seconds = cluster.api.writes().count(STATUS), time.monotonic() - began
    assert 1 <= written <= seconds + 1.5


async def test_its_end_is_written_at_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("citadel.controller.executions.STATUS_PAUSE", 3600.0)
    await cluster.lead()
    await cluster.define(python_step("a"), python_step("b"))
    uid = await cluster.submit()
    row = await cluster.register(uid)
    await cluster.phase("Running")
    await cluster.succeed(row, "a")
    await cluster.succeed(row, "b")
    await cluster.phase("Succeeded")


async def test_an_unknown_workflow_is_waited_for(cluster: Cluster) -> None:
    await cluster.lead()
    uid = await cluster.submit()
    status = await cluster.phase("Pending")
    assert status["reason"] == "WorkflowNotFound"
    assert status["message"] == "Workflow flow does not exist in namespace team"
    assert "startedAt" not in status
    await cluster.define(python_step("a"))
    assert (await cluster.sandbox(uid)).status == "wanted"


async def test_an_execution_runs_by_the_revision_that_it_names(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("before"))
    await cluster.submit()
    old = (await cluster.phase("Pending"))["definition"]
    await cluster.define(python_step("after"))
    ref = {"name": "flow", "revision": old.removeprefix("sha256:")[:12]}
    again = await cluster.submit("again", workflowRef=ref)
    assert (await cluster.phase("Pending", "again"))["definition"] == old
    assert list((await cluster.database.journal.read(again)).steps) == ["before"]
    now = await cluster.submit("now")
    await cluster.phase("Pending", "now")
    assert list((await cluster.database.journal.read(now)).steps) == ["after"]


async def test_a_revision_that_nothing_ran_by_is_told_at_once(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    await cluster.submit(workflowRef={"name": "flow", "revision": "0123456789ab"})
    status = await cluster.phase("Failed")
    assert (status["reason"], status["message"]) == (
        "RevisionNotFound",
        "Workflow flow: found no execution that ran by revision 0123456789ab",
    )


@pytest.mark.parametrize("age", [9.0, 11.0])
async def test_an_unknown_workflow_is_waited_for_ten_seconds(cluster: Cluster, age: float) -> None:
    await cluster.lead()
    cluster.still = time.time()
    created = since_epoch(cluster.still - age)
    spec = {"workflowRef": {"name": "flow"}}
    await cluster.apply("executions", "run", spec, metadata={"creationTimestamp": created})
    status = await cluster.phase("Pending" if age < 10 else "Failed")
    assert status["reason"] == "WorkflowNotFound"
    if age < 10:
        cluster.ahead = 5.0
        status = await cluster.phase("Failed")
    finished = {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}
    assert finished == {
        "Finished": ("True", "WorkflowNotFound"),
        "Succeeded": ("False", "WorkflowNotFound"),
        "Stalled": ("True", "WorkflowNotFound"),
        "NetworkIsolated": ("Unknown", "NotProven"),
    }


async def test_an_execution_that_had_started_but_is_not_in_the_journal_never_runs_again(
    cluster: Cluster,
) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    old = {"startedAt": "2026-01-01T00:00:00Z", "phase": "Running", "conditions": []}
    await cluster.apply("executions", "run", {"workflowRef": {"name": "flow"}}, status=old)
    status = await cluster.phase("Failed")
    assert status["reason"] == "JournalLost"
    await cluster.until(lambda: any("/events" in path for _, path in cluster.api.writes()))
    assert await cluster.database.sandboxes.open() == []
    assert await cluster.database.journal.unfinished() == []


async def test_invalid_inputs_fail_it_and_say_which(cluster: Cluster) -> None:
    await cluster.lead()
    schema = {"type": "object", "properties": {"region": {"type": "string"}}}
    await cluster.define(python_step("a"), inputs=schema)
    await cluster.submit(inputs={"region": 7})
    status = await cluster.phase("Failed")
    assert status["reason"] == "InvalidInputs"
    assert "region" in status["message"]


async def test_a_deleted_execution_is_ended_at_once(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit()
    row = await cluster.register(uid)
    await cluster.remove("executions", "run")
    await cluster.until(lambda: row.name not in cluster.pods())
    state = await cluster.database.journal.read(uid)
    assert state.finished is not None
    assert (state.finished.phase, state.finished.reason) == ("Cancelled", "Deleted")


async def test_another_execution_of_the_same_name_is_another_execution(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    first = await cluster.submit()
    await cluster.register(first)
    await cluster.remove("executions", "run")
    second = await cluster.submit()
    row = await cluster.register(second)
    await cluster.succeed(row, "a")
    await cluster.phase("Succeeded")
    assert (await cluster.database.journal.read(first)).finished is not None


async def test_stop_and_suspend_reach_the_journal(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit(suspend=True)
    assert (await cluster.phase("Suspended"))["reason"] == "Suspended"
    assert await cluster.database.sandboxes.open() == []
    await cluster.apply("executions", "run", {"workflowRef": {"name": "flow"}})
    row = await cluster.register(uid)
    await cluster.apply("executions", "run", {"workflowRef": {"name": "flow"}, "stop": "Cancel"})
    await cluster.state(uid, lambda state: state.stop is not None)
    cancelled = Failure("Cancelled", "cancelled")
    await cluster.database.journal.advance(uid, [ev.AttemptFailed("a", 1, row.name, cancelled)])
    assert (await cluster.phase("Cancelled"))["reason"] == "Cancelled"


async def test_a_finished_execution_is_deleted_when_its_time_is_over(cluster: Cluster) -> None:
    await cluster.lead()
    status = {
        "finishedAt": since_epoch(time.time() - 100),
        "conditions": [{"type": "Finished", "status": "True"}],
    }
    for name, ttl in (("old", 99), ("new", 3600)):
        spec = {"workflowRef": {"name": "flow"}, "ttlSecondsAfterFinished": ttl}
        await cluster.apply("executions", name, spec, status=status)
    await cluster.until(lambda: path_of("executions", "old") not in cluster.api.objects)
    assert path_of("executions", "new") in cluster.api.objects


async def test_a_status_that_somebody_else_overwrote_is_written_again(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    await cluster.submit()
    await cluster.phase("Pending")
    await cluster.apply("executions", "run", {"workflowRef": {"name": "flow"}}, status={"phase": "Succeeded"})
    status = await cluster.phase("Pending")
    assert status["conditions"]


async def test_an_execution_whose_object_goes_is_of_the_archive(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit()
    await cluster.succeed(await cluster.register(uid), "a")
    await cluster.phase("Succeeded")
    assert await cluster.archived() == []
    await cluster.remove("executions", "run")
    await cluster.archived_once(lambda uids: uids == [uid])


async def test_a_deletion_that_no_watch_told_is_found_by_the_next_list(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit()
    kept = await cluster.submit("kept")
    for one in (uid, kept):
        await cluster.succeed(await cluster.register(one), "a")
    await cluster.phase("Succeeded")
    await cluster.phase("Succeeded", "kept")
    del cluster.api.objects[path_of("executions", "run")]
    monkeypatch.setattr("citadel.controller.reconciler.RELIST_SECONDS", 0.0)
    await controller.reconciler.relist()
    assert await cluster.archived() == [uid]


async def test_what_is_left_empty_within_a_group_counts_as_absent(cluster: Cluster) -> None:
    inner = {
        "name": "b",
        "with": None,
        "join": None,
        "needs": None,
        "switch": {"cases": [{"when": "true", "value": 1}]},
    }
    await cluster.lead()
    await cluster.define(
        {"name": "a", "steps": [inner], "output": "${steps.b.output}"}, outputs={"x": "${steps.a.output}"}
    )
    await cluster.submit()
    assert (await cluster.phase("Succeeded"))["outputs"] == {"x": 1}
