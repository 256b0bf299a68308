"""Triggers on a real cluster, as a user with the role `edit`: what starts by itself, and what stays of it."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from citadel.core.trigger import execution_name
from citadel.kube.errors import NotFound
from citadel.kube.resources import EXECUTIONS, TRIGGERS, Object
from live import Cluster, User, python

AT = {"type": "object", "properties": {"at": {"type": "string"}}}


def trigger(namespace: str, name: str = "clock", **spec: Any) -> str:
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "Trigger"}
    given = {"workflowRef": {"name": "report"}, **spec}
    return json.dumps({**kind, "metadata": {"name": name, "namespace": namespace}, "spec": given})


async def holds(cluster: Cluster, condition: Any, seconds: float = 20.0) -> Object:
    """The trigger `clock` once its status is as asked for."""
    async with asyncio.timeout(seconds):
        while True:
            found = await cluster.kube.get(TRIGGERS, "clock", cluster.namespace)
            if condition(found.get("status") or {}):
                return found
            await asyncio.sleep(0.3)


async def test_a_trigger_starts_its_workflow_at_the_minute_and_its_history_outlives_it(
    cluster: Cluster, user: User
) -> None:
    step = python("a", "def main(at): return at", **{"with": {"at": "${inputs.at}"}})
    await cluster.workflow("report", [step], inputs=AT, outputs={"at": "${steps.a.output}"})
    inputs = {"at": "${trigger.scheduledTime}"}
    spec = {"inputs": inputs, "cron": {"schedule": "* * * * *", "timeZone": "Asia/Kolkata"}}
    user.kubectl("apply", "-f", "-", stdin=trigger(cluster.namespace, **spec))
    found = await holds(cluster, lambda status: status.get("nextScheduleTime"))
    scheduled = datetime.fromisoformat(found["status"]["nextScheduleTime"].replace("Z", "+00:00"))
    name = execution_name("clock", scheduled)
    async with asyncio.timeout(75):
        while True:
            try:
                await cluster.get(name)
                break
            except NotFound:
                await asyncio.sleep(0.5)
    made = await cluster.get(name)
    created = datetime.fromisoformat(made["metadata"]["creationTimestamp"].replace("Z", "+00:00"))
    assert 0 <= (created - scheduled).total_seconds() <= 5
    done = await cluster.until(name, lambda obj: (obj.get("status") or {}).get("finishedAt"))
    text = done["status"]["outputs"]["at"]
    assert text.endswith("+05:30")
    assert datetime.fromisoformat(text) == scheduled
    await holds(cluster, lambda status: status.get("lastSuccessfulTime"))

    header, row = user.kubectl("get", "triggers").splitlines()
    assert header.split() == ["NAME", "WORKFLOW", "SCHEDULE", "SUSPEND", "LAST", "NEXT", "AGE"]
    assert row.startswith("clock   report     * * * * *   false")
    user.kubectl("delete", "cttr", "clock")
    assert (await cluster.get(name))["status"]["phase"] == "Succeeded"


async def test_what_is_wrong_is_told_and_an_edit_cures_it(cluster: Cluster, user: User) -> None:
    apply = ("apply", "-f", "-")
    user.kubectl(*apply, stdin=trigger(cluster.namespace, cron={"schedule": "0 25 * * *"}))
    status = (await holds(cluster, lambda status: status.get("conditions")))["status"]
    ready, stalled = status["conditions"]
    assert (ready["status"], ready["reason"], stalled["status"]) == ("False", "InvalidSpec", "True")
    assert "spec.cron.schedule: found '25' as hour, expected numbers from 0 to 23" in ready["message"]
    user.kubectl(*apply, stdin=trigger(cluster.namespace, cron={"schedule": "0 2 * * *"}))
    await holds(cluster, lambda status: "WorkflowNotFound" in str(status))
    await cluster.workflow("report", [python("a", "def main(): pass")])
    await holds(cluster, lambda status: status["conditions"][0]["status"] == "True")


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        (
            "clock",
            {"cron": {"schedule": "TZ=UTC 0 * * * *"}},
            "without a time zone, which goes into timeZone",
        ),
        ("clock", {"cron": {}}, "spec.cron.schedule: Required value"),
        ("clock", {}, "spec.cron: Required value"),
        (
            "clock",
            {"cron": {"schedule": "@daily", "concurrencyPolicy": "Never"}},
            'supported values: "Allow"',
        ),
        ("n" * 53, {"cron": {"schedule": "@daily"}}, "expected a name of at most 52 characters"),
    ],
)
def test_the_api_server_refuses_what_cannot_be_meant(
    user: User, name: str, spec: dict[str, Any], message: str
) -> None:
    text = trigger(user.namespace, name, **spec)
    told = user.kubectl("create", "--dry-run=server", "-f", "-", stdin=text, check=False)
    assert message in told


async def test_a_missed_time_is_made_up_for_once_and_history_is_limited(cluster: Cluster, user: User) -> None:
    await cluster.workflow("report", [python("a", "def main(): pass")])
    cron = {"schedule": "* * * * *"}
    spec = {"cron": cron, "suspend": True, "successfulExecutionsHistoryLimit": 0}
    user.kubectl("apply", "-f", "-", stdin=trigger(cluster.namespace, **spec))
    await holds(cluster, lambda status: status.get("conditions"))
    await asyncio.sleep(61 - datetime.now(UTC).second)  # what has to be missed is a minute
    assert not (await cluster.kube.list(EXECUTIONS, cluster.namespace)).items
    spec["suspend"] = False
    user.kubectl("apply", "-f", "-", stdin=trigger(cluster.namespace, **spec))
    await holds(cluster, lambda status: status.get("lastSuccessfulTime"))
    async with asyncio.timeout(20):
        while True:
            if not (await cluster.kube.list(EXECUTIONS, cluster.namespace)).items:
                break
            await asyncio.sleep(0.3)
