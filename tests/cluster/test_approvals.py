"""Approvals and signals in the real cluster: people and other systems, the controller, and what runs on."""

import asyncio
import json
import time
from typing import Any

import pytest

from citadel.kube.errors import NotFound
from citadel.kube.resources import APPROVALS, PODS, Object
from live import Cluster, User, crash, kubectl, python

FORM = {"type": "object", "required": ["limit"], "properties": {"limit": {"type": "integer"}}}
PAY = "def main(limit): return limit * 2"


async def asks(cluster: Cluster, name: str = "order", **fields: Any) -> str:
    """A workflow that asks, and then pays; returns the name of an execution of it."""
    approval = {"approvers": {"users": ["ann"], "groups": ["finance"]}, "form": FORM}
    approval |= fields.pop("approval", {})
    ok = {"name": "ok", "approval": approval, "with": {"total": "${inputs.total}"}, **fields}
    pay = python("pay", PAY, args={"limit": "${steps.ok.output.form.limit}"})
    inputs = {"type": "object", "properties": {"total": {"type": "integer"}}}
    outputs = {"paid": "${steps.pay.output}", "by": "${steps.ok.output.by}"}
    await cluster.workflow(name, [ok, pay], inputs=inputs, outputs=outputs)
    return await cluster.execute(name, inputs={"total": 5})


def reason(execution: Object) -> str:
    """Why an execution is as it is; empty while nothing is said."""
    return str(execution.get("status", {}).get("reason", ""))


async def the_approval(cluster: Cluster, phase: str = "Pending", seconds: float = 20.0) -> Object:
    """The one Approval of the namespace, once it is in a phase."""
    deadline = time.monotonic() + seconds
    while True:
        found = (await cluster.kube.list(APPROVALS, cluster.namespace)).items
        if [item.get("status", {}).get("phase") for item in found] == [phase]:
            return found[0]
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)


def decide(cluster: Cluster, obj: Object, *who: str, **decision: Any) -> str:
    """What kubectl says to a decision of somebody."""
    body = {"approve": True, "reason": "fine", "digest": obj["spec"]["digest"], **decision}
    change = ("--type=merge", "-p", json.dumps({"spec": {"decision": body}}))
    name = obj["metadata"]["name"]
    return kubectl(*who, "patch", "approvals", name, "-n", cluster.namespace, *change, check=False)


def let_decide(cluster: Cluster, *subjects: str) -> None:
    role = "--clusterrole=citadel-approver"
    kubectl("create", "rolebinding", "deciders", role, *subjects, "-n", cluster.namespace)


async def test_an_execution_waits_without_a_sandbox_until_an_approver_decides(cluster: Cluster) -> None:
    let_decide(cluster, "--group=finance")
    name = await asks(cluster, approval={"reasonRequired": True})
    obj = await the_approval(cluster)
    status = (await cluster.until(name, lambda found: reason(found) == "WaitingForApproval"))["status"]
    assert status["phase"] == "Waiting"
    assert "ok" in status["message"]
    pods = (await cluster.kube.list(PODS, "citadel-sandboxes")).items
    mine = f"{cluster.namespace}/{name}"
    assert not [pod for pod in pods if mine in pod["metadata"].get("annotations", {}).values()]
    gus = ("--as=gus", "--as-group=finance", "--as-group=system:authenticated")
    eve = ("--as=eve", "--as-group=finance", "--as-group=system:authenticated")
    assert "nobody decides for somebody else" in decide(cluster, obj, *eve, by="gus", form={"limit": 7})
    assert "patched" in decide(cluster, obj, *gus, by="gus", form={"limit": 7})
    ended = (await cluster.finished(name))["status"]
    assert (ended["phase"], ended["outputs"]) == ("Succeeded", {"paid": 14, "by": "gus"})
    obj = await the_approval(cluster, "Approved")
    assert obj["status"]["conditions"][0]["message"] == "approved by gus: fine"
    assert "a decision is set once" in decide(cluster, obj, *eve, by="eve", form={"limit": 9})


async def test_a_rejection_and_a_deadline_fail_the_step(cluster: Cluster, user: User) -> None:
    me = f"system:serviceaccount:{cluster.namespace}:someone"
    name = await asks(cluster, approval={"approvers": {"users": [me]}})
    await the_approval(cluster)
    said = user.citadel("reject", name, "--reason", "too much")
    assert said == f"step ok of execution {name} rejected by {me}\n"
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Rejected")
    assert "too much" in status["message"]
    kubectl("delete", "execution", name, "-n", cluster.namespace)
    late = await asks(cluster, "late", timeout="2s")
    status = (await cluster.finished(late))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Timeout")


async def test_people_approve_by_the_command_line_as_editors_who_are_approvers(
    cluster: Cluster, user: User
) -> None:
    me = f"system:serviceaccount:{cluster.namespace}:someone"
    name = await asks(cluster, approval={"approvers": {"users": [me]}})
    await the_approval(cluster)
    assert name in user.citadel("approvals")
    assert '"total": 5' in user.citadel("approvals", name)
    assert f"citadel approve {name} 'ok'" in user.citadel("get", name)
    user.citadel("approve", name, "-i", "limit=4")
    assert (await cluster.finished(name))["status"]["outputs"] == {"paid": 8, "by": me}


async def test_a_form_that_does_not_fit_is_asked_for_again(cluster: Cluster) -> None:
    let_decide(cluster, "--user=ann")
    name = await asks(cluster)
    first = await the_approval(cluster)
    ann = ("--as=ann", "--as-group=system:authenticated")
    assert "patched" in decide(cluster, first, *ann, by="ann", form={"limit": "much"})
    second = await the_approval(cluster)
    deadline = time.monotonic() + 20
    while second["metadata"]["uid"] == first["metadata"]["uid"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
        second = await the_approval(cluster)
    assert 'form.limit: found "much", expected integer' in second["status"]["conditions"][0]["message"]
    assert "patched" in decide(cluster, second, *ann, by="ann", form={"limit": 3})
    assert (await cluster.finished(name))["status"]["outputs"]["paid"] == 6


@pytest.mark.alone
async def test_waiting_survives_the_controller_and_a_deleted_approval(cluster: Cluster) -> None:
    let_decide(cluster, "--user=ann")
    name = await asks(cluster)
    first = await the_approval(cluster)
    crash("controller")
    kubectl("delete", "approvals", first["metadata"]["name"], "-n", cluster.namespace)
    again = await the_approval(cluster, seconds=90.0)
    assert again["metadata"]["uid"] != first["metadata"]["uid"]
    ann = ("--as=ann", "--as-group=system:authenticated")
    assert "patched" in decide(cluster, again, *ann, by="ann", form={"limit": 1})
    assert (await cluster.finished(name))["status"]["outputs"]["paid"] == 2


async def test_approvals_go_with_their_execution(cluster: Cluster) -> None:
    name = await asks(cluster)
    obj = await the_approval(cluster)
    kubectl("delete", "execution", name, "-n", cluster.namespace)
    deadline = time.monotonic() + 30
    while True:
        try:
            await cluster.kube.get(APPROVALS, obj["metadata"]["name"], cluster.namespace)
        except NotFound:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def test_a_signal_is_kept_from_the_creation_on_and_taken_once(cluster: Cluster, user: User) -> None:
    paid = {"name": "paid", "wait": {"signal": "payment"}, "timeout": "1h"}
    again = {**paid, "name": "again"}
    outputs = {"first": "${steps.paid.output}", "second": "${steps.again.output}"}
    await cluster.workflow("order", [python("a", "def main(): pass"), paid, again], outputs=outputs)
    name = await cluster.execute("order")
    # Before the step waits, and perhaps before the journal knows the execution.
    user.citadel("signal", name, "payment", "-i", "amount:=12.5", "--key", "k")
    user.citadel("signal", name, "payment", "-i", "amount:=99", "--key", "k")
    found = await cluster.until(name, lambda found: reason(found) == "WaitingForSignal")
    assert found["status"]["message"].startswith("step again waits for signal payment until ")
    user.citadel("signal", name, "payment", "--key", "l")
    ended = (await cluster.finished(name))["status"]
    assert ended["outputs"]["first"] == {"amount": 12.5}
    assert ended["outputs"].get("second") is None
    told = user.refused("signal", name, "payment")
    assert told == f"citadel: Execution {name} has ended (Succeeded): it takes no signals\n"


async def test_who_may_only_look_sends_no_signal(cluster: Cluster, user: User) -> None:
    kubectl("delete", "rolebinding", "someone", "-n", cluster.namespace)
    subject = f"--serviceaccount={cluster.namespace}:someone"
    kubectl("create", "rolebinding", "looks", "--clusterrole=view", subject, "-n", cluster.namespace)
    await cluster.workflow("order", [{"name": "paid", "wait": {"signal": "payment"}}])
    name = await cluster.execute("order")
    told = user.refused("signal", name, "payment")
    assert "may not create executions/signal in namespace" in told
