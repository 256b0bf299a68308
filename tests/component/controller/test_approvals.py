"""Approvals and signals around the controller: what is asked becomes an object, what is answered a fact."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from citadel.kube.resources import Object
from citadel.render.approval import approval_name
from citadel.store.signals import SignalRow
from component.controller.cluster import Cluster, Controller
from component.controller.clusterapi import path_of

FORM = {
    "type": "object",
    "properties": {"limit": {"type": "integer"}, "currency": {"type": "string", "default": "EUR"}},
    "required": ["limit"],
}
APPROVERS = {"users": ["ann"], "groups": ["finance"]}


def asks(name: str = "ok", form: Any = None, **fields: Any) -> dict[str, Any]:
    approval = {"approvers": APPROVERS, **({"form": form} if form else {})}
    return {"name": name, "approval": approval, "with": {"total": "${inputs.total}"}, **fields}


async def started(cluster: Cluster, *steps: dict[str, Any], **metadata: Any) -> str:
    """The uid of an execution of these steps, which gives what the first one gave."""
    inputs = {"type": "object", "properties": {"total": {"type": "integer"}}}
    await cluster.define(*steps, inputs=inputs, outputs={"said": f"${{steps.{steps[0]['name']}.output}}"})
    spec = {"workflowRef": {"name": "flow"}, "inputs": {"total": 5}}
    return str((await cluster.apply("executions", "run", spec, metadata=metadata))["metadata"]["uid"])


def asked(cluster: Cluster) -> list[Object]:
    """The Approvals there are, by step."""
    prefix = path_of("approvals", "")
    found = [obj for path, obj in cluster.api.objects.items() if path.startswith(prefix)]
    return sorted(found, key=lambda obj: str(obj["spec"]["step"]))


async def the_approval(cluster: Cluster, phase: str = "Pending") -> Object:
    """The one Approval, once its status says this phase."""
    await cluster.until(
        lambda: [item["status"]["phase"] for item in asked(cluster) if "status" in item] == [phase]
    )
    return asked(cluster)[0]


async def decide(cluster: Cluster, obj: Object, **decision: Any) -> None:
    """Writes the decision, as the API server would let an approver."""
    answer = {"by": "ann", "approve": True, "reason": "", "digest": obj["spec"]["digest"], **decision}
    spec = {**obj["spec"], "decision": answer}
    await cluster.api.change("MODIFIED", path_of("approvals", obj["metadata"]["name"]), {**obj, "spec": spec})


async def eventually(holds: Callable[[], Awaitable[object]]) -> None:
    """Returns once something holds that only asking tells."""
    deadline = time.monotonic() + 8
    while not await holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def none_waits(cluster: Cluster) -> bool:
    """Whether every signal is delivered, or dropped."""
    return not await cluster.database.signals.waiting()


def condition(obj: Object) -> tuple[str, str, str]:
    (found,) = obj["status"]["conditions"]
    assert found["type"] == "Decided"
    return found["status"], found["reason"], found["message"]


async def test_a_step_that_asks_waits_for_an_approval_and_goes_on_with_the_answer(cluster: Cluster) -> None:
    await cluster.lead()
    uid = await started(cluster, asks(form=FORM, timeout="1h"))
    obj = await the_approval(cluster)
    spec, metadata = obj["spec"], obj["metadata"]
    assert spec["executionRef"] == {"name": "run", "uid": uid}
    assert (spec["step"], spec["shown"], spec["form"]) == ("ok", {"total": 5}, FORM)
    assert spec["approvers"] == APPROVERS
    assert spec["deadline"].endswith("Z")
    assert metadata["name"] == approval_name("run", uid, "ok")
    assert metadata["labels"] == {"citadel.dev/execution": "run", "citadel.dev/step": "ok"}
    assert metadata["ownerReferences"][0]["uid"] == uid
    assert condition(obj) == ("Unknown", "WaitingForApproval", "")
    waiting = await cluster.phase("Waiting")
    assert waiting["reason"] == "WaitingForApproval"
    assert "ok" in waiting["message"]
    await decide(cluster, obj, reason="within the budget", form={"limit": 7})
    ended = await cluster.phase("Succeeded")
    said = ended["outputs"]["said"]
    assert (said["approved"], said["by"], said["reason"]) == (True, "ann", "within the budget")
    assert said["form"] == {"limit": 7, "currency": "EUR"}
    obj = await the_approval(cluster, "Approved")
    assert condition(obj) == ("True", "Approved", "approved by ann: within the budget")


async def test_a_rejection_fails_the_step_and_says_who_and_why(cluster: Cluster) -> None:
    await cluster.lead()
    await started(cluster, asks(form=FORM))
    # Whoever rejects need not fill in anything.
    await decide(cluster, await the_approval(cluster), approve=False, reason="too much")
    ended = await cluster.phase("Failed")
    assert ended["reason"] == "Rejected"
    assert "ann" in ended["message"]
    assert "too much" in ended["message"]
    assert condition(await the_approval(cluster, "Rejected"))[2] == "rejected by ann: too much"


async def test_an_approval_that_somebody_deletes_is_made_again(cluster: Cluster) -> None:
    await cluster.lead()
    await started(cluster, asks())
    first = await the_approval(cluster)
    await cluster.remove("approvals", first["metadata"]["name"])
    second = await the_approval(cluster)
    assert second["metadata"]["name"] == first["metadata"]["name"]
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    await decide(cluster, second)
    await cluster.phase("Succeeded")


async def test_an_approval_that_the_controller_did_not_make_is_not_believed(cluster: Cluster) -> None:
    uid = "uid-of-run"
    name = approval_name("run", uid, "ok")
    forged = {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": name, "namespace": "team", "uid": "forged"},
        "spec": {
            "executionRef": {"name": "run", "uid": uid},
            "step": "ok",
            "approvers": {"users": ["eve"]},
            "digest": "sha256:0",
            "decision": {"by": "eve", "approve": True, "reason": "", "digest": "sha256:0"},
        },
    }
    await cluster.api.change("ADDED", path_of("approvals", name), forged)
    await cluster.lead()
    await started(cluster, asks(), uid=uid)
    obj = await the_approval(cluster)
    assert obj["metadata"]["uid"] != "forged"
    assert "decision" not in obj["spec"]
    assert obj["spec"]["approvers"] == APPROVERS
    await cluster.phase("Waiting")


async def test_a_form_that_does_not_fit_is_asked_for_again(cluster: Cluster) -> None:
    await cluster.lead()
    await started(cluster, asks(form=FORM))
    first = await the_approval(cluster)
    await decide(cluster, first, form={"limit": "much"})
    await cluster.until(
        lambda: [item["metadata"]["uid"] for item in asked(cluster)] not in ([], [first["metadata"]["uid"]])
    )
    second = await the_approval(cluster)
    assert "decision" not in second["spec"]
    assert second["spec"]["digest"] == first["spec"]["digest"]
    assert condition(second)[2] == (
        'step ok: the decision cannot be taken, decide again: form.limit: found "much", expected integer'
    )
    await cluster.until(lambda: cluster.status().get("phase") == "Waiting")
    await decide(cluster, second, form={"limit": 7})
    assert (await cluster.phase("Succeeded"))["outputs"]["said"]["form"]["limit"] == 7


async def test_what_no_database_takes_neither_stops_a_decision_nor_gets_through(cluster: Cluster) -> None:
    await cluster.lead()
    await started(cluster, asks(form={"type": "object", "additionalProperties": True}))
    first = await the_approval(cluster)
    await decide(cluster, first, form={"note": "a\0b"})
    await cluster.until(
        lambda: [item["metadata"]["uid"] for item in asked(cluster)] not in ([], [first["metadata"]["uid"]])
    )
    second = await the_approval(cluster)
    assert "form.note: holds the character U+0000" in condition(second)[2]
    await decide(cluster, second, approve=False, reason="too\0much", form={"x": "\0"})
    await cluster.until(
        lambda: [item["metadata"]["uid"] for item in asked(cluster)] != [second["metadata"]["uid"]]
    )
    third = await the_approval(cluster)
    assert "form: x: holds the character U+0000" in condition(third)[2]
    await decide(cluster, third, approve=False, reason="too\0much")
    ended = await cluster.phase("Failed")
    assert (ended["reason"], ended["message"]) == ("Rejected", "step ok: ann rejected it: too\ufffdmuch")


async def test_an_approval_ends_with_its_execution(cluster: Cluster) -> None:
    await cluster.lead()
    await started(cluster, asks())
    await the_approval(cluster)
    await cluster.apply("executions", "run", {"workflowRef": {"name": "flow"}, "stop": "Cancel"})
    await cluster.phase("Cancelled")
    obj = await the_approval(cluster, "Cancelled")
    assert condition(obj) == ("False", "Cancelled", "the execution went on without it")


async def test_an_approval_that_nobody_decides_expires(cluster: Cluster) -> None:
    await cluster.lead()
    uid = await started(cluster, asks(timeout="1s"))
    await the_approval(cluster)
    await eventually(lambda: cluster.database.journal.due(10))
    assert (await cluster.phase("Failed"))["reason"] == "Timeout"
    obj = await the_approval(cluster, "Expired")
    assert condition(obj)[2].startswith("nobody decided until ")
    assert uid == obj["spec"]["executionRef"]["uid"]


async def test_a_decision_counts_that_was_made_while_nobody_led(cluster: Cluster) -> None:
    async with Controller(cluster).running(cluster):
        await started(cluster, asks(), asks("also", needs=[]))
        await cluster.until(lambda: [bool(item.get("status")) for item in asked(cluster)] == [True, True])
    also, ok = asked(cluster)
    await decide(cluster, ok)
    await cluster.remove("approvals", also["metadata"]["name"])
    controller = await cluster.lead()
    sweeping = asyncio.create_task(controller.reconciler.sweep())
    await cluster.until(lambda: [item["spec"]["step"] for item in asked(cluster)] == ["also", "ok"])
    await cluster.until(lambda: asked(cluster)[1]["status"]["phase"] == "Approved")
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_one_approval_costs_one_object_and_two_statuses(cluster: Cluster) -> None:
    await cluster.lead()
    await started(cluster, asks())
    await decide(cluster, await the_approval(cluster))
    await the_approval(cluster, "Approved")
    await cluster.phase("Succeeded")
    writes = [(method, path) for method, path in cluster.api.writes() if "/approvals" in path]
    assert sorted(method for method, _ in writes) == ["PATCH", "PATCH", "POST"]


# ---- signals


@pytest.mark.parametrize("early", [True, False], ids=["before the step waits", "while it waits"])
async def test_a_signal_is_the_output_of_the_step_that_waits_for_it(cluster: Cluster, early: bool) -> None:
    await cluster.lead()
    uid = await started(
        cluster, {"name": "paid", "wait": {"signal": "payment"}, "needs": ["ok"]}, asks(needs=[])
    )
    obj = await the_approval(cluster)
    payload = {"amount": 12.5, "note": "x" * 5000}
    if early:
        await cluster.database.signals.send(SignalRow(uid, "payment", "k", payload))
        await cluster.state(uid, lambda state: state.signals)
    await decide(cluster, obj)
    if not early:
        await cluster.until(lambda: cluster.status().get("reason") == "WaitingForSignal")
        await cluster.database.signals.send(SignalRow(uid, "payment", "k", payload))
    assert (await cluster.phase("Succeeded"))["outputs"]["said"] == payload
    await eventually(lambda: none_waits(cluster))


async def test_a_signal_that_came_while_nobody_led_is_delivered(cluster: Cluster) -> None:
    async with Controller(cluster).running(cluster):
        uid = await started(cluster, {"name": "paid", "wait": {"signal": "payment"}})
        await cluster.phase("Waiting")
    await cluster.database.signals.send(SignalRow(uid, "payment", "k", 1))
    controller = await cluster.lead()
    sweeping = asyncio.create_task(controller.reconciler.sweep())
    assert (await cluster.phase("Succeeded"))["outputs"] == {"said": 1}
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_a_signal_after_the_end_is_dropped(cluster: Cluster) -> None:
    await cluster.lead()
    uid = await started(cluster, {"name": "paid", "wait": {"signal": "payment"}})
    await cluster.phase("Waiting")
    for key in ("k", "l"):
        await cluster.database.signals.send(SignalRow(uid, "payment", key, key))
    assert (await cluster.phase("Succeeded"))["outputs"] == {"said": "k"}
    await eventually(lambda: none_waits(cluster))
