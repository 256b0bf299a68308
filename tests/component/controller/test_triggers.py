"""Triggers at work: executions at the times of a schedule, once each, and as many kept as the limits say."""

from datetime import UTC, datetime, timedelta
from typing import Any

from build import python_step
from citadel.controller.watching import Key
from citadel.core.trigger import execution_name
from citadel.kube.resources import TRIGGERS
from component.controller.cluster import Cluster, Controller
from component.controller.clusterapi import path_of, since_epoch

AT = {"type": "object", "properties": {"at": {}}}
LABEL = {"citadel.dev/trigger": "clock"}


async def trigger(cluster: Cluster, age: float = 0.0, status: Any = None, **spec: Any) -> None:
    """The trigger `clock` of the workflow `flow`, of this age in seconds."""
    cron = {"schedule": "* * * * *", **spec.pop("cron", {})}
    fields = {"metadata": {"creationTimestamp": since_epoch(cluster.now() - age)}}
    extra = {} if status is None else {"status": status}
    given = {"workflowRef": {"name": "flow"}, "cron": cron, **spec}
    await cluster.apply("triggers", "clock", given, **fields, **extra)


def executions(cluster: Cluster) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in cluster.api.objects if "/team/executions/" in path)


def minute(cluster: Cluster) -> datetime:
    """The minute that the controller's clock shows."""
    return datetime.fromtimestamp(cluster.now(), UTC).replace(second=0, microsecond=0)


async def started(cluster: Cluster, count: int) -> list[str]:
    await cluster.until(lambda: len(executions(cluster)) == count)
    return executions(cluster)


def a_minute_passes(cluster: Cluster, controller: Controller) -> None:
    """The controller's timers go by the real clock, which stays behind."""
    cluster.ahead += 60
    controller.reconciler.queue.add(Key("trigger", "team", "clock"))


async def test_an_execution_starts_at_its_time_with_what_the_trigger_says(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"), inputs={"type": "object", "properties": {"at": {}, "by": {}}})
    given = {"at": "${trigger.scheduledTime}", "by": "${trigger.name} $${x}"}
    await trigger(cluster, age=60.0, inputs=given, cron={"timeZone": "Asia/Kolkata"})
    (name,) = await started(cluster, 1)
    obj = cluster.api.objects[path_of("executions", name)]
    scheduled = datetime.fromisoformat(obj["metadata"]["annotations"]["citadel.dev/scheduled-time"])
    assert scheduled.utcoffset() == timedelta(hours=5, minutes=30)
    assert (name, obj["metadata"]["labels"]) == (execution_name("clock", scheduled), LABEL)
    assert "ownerReferences" not in obj["metadata"]
    assert obj["spec"]["inputs"] == {"at": scheduled.isoformat(), "by": "clock ${x}"}
    await cluster.until(lambda: cluster.status("clock", "triggers").get("lastScheduleTime"))
    status = cluster.status("clock", "triggers")
    assert datetime.fromisoformat(status["lastScheduleTime"]) == scheduled
    assert datetime.fromisoformat(status["nextScheduleTime"]) > scheduled
    assert [item["name"] for item in status["active"]] == [name]
    assert cluster.ready("clock", "triggers") == "True"
    await cluster.until(lambda: cluster.status(name).get("startedAt"))


async def test_a_controller_that_died_after_the_start_does_not_start_it_again(cluster: Cluster) -> None:
    await cluster.define_unled(python_step("a"))
    name = execution_name("clock", minute(cluster))
    mine = {"metadata": {"labels": LABEL}}
    await cluster.apply("executions", name, {"workflowRef": {"name": "flow"}}, **mine)
    uid = cluster.api.objects[path_of("executions", name)]["metadata"]["uid"]
    await trigger(cluster, age=59.0)
    await cluster.lead()
    await cluster.until(lambda: cluster.status("clock", "triggers").get("lastScheduleTime"))
    assert uid in [item["uid"] for item in cluster.status("clock", "triggers")["active"]]
    assert cluster.api.objects[path_of("executions", name)]["metadata"]["uid"] == uid


async def test_a_name_that_somebody_else_has_is_left_alone_and_told(cluster: Cluster) -> None:
    controller = await cluster.lead()
    await cluster.define(python_step("a"))
    for ahead in (0, 1):
        name = execution_name("clock", minute(cluster) + timedelta(minutes=ahead))
        await cluster.submit(name)
    await trigger(cluster, age=60.0)
    await cluster.until(lambda: cluster.status("clock", "triggers").get("lastScheduleTime"))
    await controller.poster.flush()
    assert "active" not in cluster.status("clock", "triggers")
    assert "NameTaken" in cluster.events()


async def test_forbid_waits_for_the_end_and_replace_cancels(cluster: Cluster) -> None:
    controller = await cluster.lead()
    await cluster.define(python_step("a"))
    await trigger(cluster, age=60.0, cron={"concurrencyPolicy": "Forbid"})
    (first,) = await started(cluster, 1)
    a_minute_passes(cluster, controller)
    await cluster.until(lambda: "AlreadyActive" in cluster.events())
    assert executions(cluster) == [first]

    uid = cluster.api.objects[path_of("executions", first)]["metadata"]["uid"]
    await cluster.succeed(await cluster.register(uid), "a")
    second = next(name for name in await started(cluster, 2) if name != first)
    await cluster.until(lambda: cluster.status("clock", "triggers").get("lastSuccessfulTime"))

    await trigger(cluster, cron={"concurrencyPolicy": "Replace"})
    a_minute_passes(cluster, controller)
    await started(cluster, 3)
    replaced = cluster.api.objects[path_of("executions", second)]
    assert replaced["spec"]["stop"] == "Cancel"
    await cluster.phase("Cancelled", second)


async def test_a_new_controller_sees_what_runs_before_it_starts_anything(cluster: Cluster) -> None:
    await cluster.define_unled(python_step("a"))
    before = execution_name("clock", minute(cluster) - timedelta(minutes=9))
    await cluster.apply("executions", before, {"workflowRef": {"name": "flow"}}, metadata={"labels": LABEL})
    await trigger(cluster, age=300.0, cron={"concurrencyPolicy": "Forbid"})
    controller = Controller(cluster)  # whose watches have told it of nothing but the trigger
    controller.cache.put(TRIGGERS, cluster.api.objects[path_of("triggers", "clock")])
    async with controller.poster:
        await controller.triggers.reconcile("team", "clock")
        await controller.poster.flush()
    assert executions(cluster) == [before]
    assert cluster.events() == ["AlreadyActive"]


async def test_a_trigger_that_is_being_deleted_starts_nothing(cluster: Cluster) -> None:
    await cluster.define_unled(python_step("a"))
    await trigger(cluster, age=300.0)
    obj = cluster.api.objects[path_of("triggers", "clock")]
    going = {**obj["metadata"], "deletionTimestamp": since_epoch(cluster.now())}
    controller = Controller(cluster)
    controller.cache.put(TRIGGERS, {**obj, "metadata": going})
    assert await controller.triggers.reconcile("team", "clock") is None
    assert executions(cluster) == []


async def test_suspended_it_starts_nothing_and_says_no_next_time(cluster: Cluster) -> None:
    controller = await cluster.lead()
    await cluster.define(python_step("a"))
    await trigger(cluster, age=60.0, suspend=True)
    await cluster.until(lambda: cluster.ready("clock", "triggers") == "True")
    a_minute_passes(cluster, controller)
    await trigger(cluster, age=60.0, suspend=True, inputs={})
    await cluster.until(lambda: cluster.status("clock", "triggers")["observedGeneration"] == 2)
    assert executions(cluster) == []
    assert "nextScheduleTime" not in cluster.status("clock", "triggers")


async def test_what_is_wrong_with_it_is_a_condition_and_heals(cluster: Cluster) -> None:
    await cluster.lead()
    await trigger(cluster, cron={"schedule": "61 * * * *"})
    await cluster.until(lambda: cluster.ready("clock", "triggers") == "False")
    ready, stalled = cluster.status("clock", "triggers")["conditions"]
    assert (ready["reason"], stalled["status"]) == ("InvalidSpec", "True")
    assert ready["message"] == (
        "Trigger clock: spec.cron.schedule: found '61' as minute, expected numbers from 0 to 59"
    )
    await trigger(cluster, cron={"schedule": "0 0 1 1 *"})
    await cluster.until(lambda: "WorkflowNotFound" in str(cluster.status("clock", "triggers")))
    assert cluster.status("clock", "triggers")["conditions"][1]["status"] == "False"
    await cluster.define(python_step("a"), inputs={**AT, "required": ["at"]})
    await cluster.until(lambda: "InvalidInputs" in str(cluster.status("clock", "triggers")))
    await trigger(cluster, cron={"schedule": "0 0 1 1 *"}, inputs={"at": 1})
    await cluster.until(lambda: cluster.ready("clock", "triggers") == "True")


def finished(name: str, minutes: int, phase: str = "Succeeded") -> dict[str, Any]:
    at = since_epoch(datetime.now(UTC).timestamp() - minutes * 60)
    condition = {
        "type": "Finished", "status": "True", "reason": "Completed", "lastTransitionTime": at
    }  # fmt: skip
    return {
        "metadata": {"name": name, "labels": LABEL, "creationTimestamp": at},
        "status": {"phase": phase, "finishedAt": at, "conditions": [condition]},
    }


async def test_as_many_executions_are_kept_as_the_trigger_says(cluster: Cluster) -> None:
    await cluster.define_unled(python_step("a"))
    for n, phase in enumerate(["Succeeded"] * 3 + ["Failed", "TimedOut"], start=1):
        await cluster.apply(
            "executions", f"e{n}", {"workflowRef": {"name": "flow"}}, **finished(f"e{n}", n, phase)
        )
    await trigger(cluster, cron={"schedule": "0 0 1 1 *"}, successfulExecutionsHistoryLimit=2)
    await cluster.lead()
    await cluster.until(lambda: executions(cluster) == ["e1", "e2", "e4"])


async def test_a_workflow_limits_its_executions_whoever_started_them(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"), successfulExecutionsHistoryLimit=1)
    for n in (3, 2):
        await cluster.apply("executions", f"e{n}", {"workflowRef": {"name": "flow"}}, **finished(f"e{n}", n))
    child = finished("child", 9)
    child["metadata"]["ownerReferences"] = [{"kind": "Execution", "name": "parent", "uid": "1"}]
    await cluster.apply("executions", "child", {"workflowRef": {"name": "flow"}}, **child)
    await cluster.until(lambda: executions(cluster) == ["child", "e2"])
    uid = await cluster.submit("run")
    await cluster.succeed(await cluster.register(uid), "a")
    await cluster.until(lambda: executions(cluster) == ["child", "run"])
