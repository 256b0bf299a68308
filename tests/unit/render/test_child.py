"""Executions of steps as objects: whose they are, and what is passed down to them."""

from dataclasses import replace
from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.children import Child, inputs_of, wanted
from citadel.core.values import Values
from citadel.render.child import execution_for, is_as_wanted, is_of, origin_of, passed_down
from engine import Run, plan

CALL = {"name": "call", "workflow": {"name": "other"}, "with": {"x": 1}}
PARENT = {"metadata": {"name": "run", "namespace": "default", "uid": "uid-1"}}


def begun(*facts: ev.Event) -> tuple[Run, Child, dict[str, Any]]:
    """An execution whose step waits for another, which has this object; then come `facts`."""
    run = Run(plan(CALL))
    (child,) = wanted(run.state)
    payload = Values().get(child.payload)
    obj = execution_for(child, PARENT, inputs_of(payload, Values()))
    for fact in facts:
        run.post(fact)
    return run, child, obj


def test_the_object_is_what_is_asked_for() -> None:
    _, child, obj = begun()
    assert obj["spec"] == {"workflowRef": {"name": "other"}, "inputs": {"x": 1}}
    assert origin_of(obj) == ("uid-1", "call", 1)
    assert is_of(obj, "uid-1", child)
    kept = {"suspend": True, "stop": "Cancel", "ttlSecondsAfterFinished": 604800}
    assert is_as_wanted({**obj, "spec": {**obj["spec"], **kept}}, child, {"x": 1})


def test_the_object_names_the_revision_that_the_step_names() -> None:
    run = Run(plan({**CALL, "workflow": {"name": "other", "revision": "1f7be03d55c2"}}))
    (child,) = wanted(run.state)
    obj = execution_for(child, PARENT, {"x": 1})
    assert obj["spec"]["workflowRef"] == {"name": "other", "revision": "1f7be03d55c2"}
    assert is_as_wanted(obj, child, {"x": 1})
    assert not is_as_wanted(begun()[2], child, {"x": 1})


def test_the_object_wants_no_cache_where_the_one_that_wants_it_does() -> None:
    _, child, obj = begun()
    assert "noCache" not in obj["spec"]
    obj = execution_for(replace(child, no_cache=True), PARENT, {"x": 1})
    assert obj["spec"]["noCache"] is True
    assert is_as_wanted(obj, replace(child, no_cache=True), {"x": 1})
    assert not is_as_wanted(obj, child, {"x": 1})


@pytest.mark.parametrize(
    "spec",
    [
        {"inputs": {"x": 2}},
        {"inputs": {}},
        {"workflowRef": {"name": "mine"}},
        {"workflowRef": {"name": "other", "revision": "01234567"}},
        {"rerunOf": {"name": "old"}},
        {"unheardOf": True},
    ],
)
def test_an_object_that_asks_for_anything_else_is_not(spec: dict[str, Any]) -> None:
    _, child, obj = begun()
    assert not is_as_wanted({**obj, "spec": {**obj["spec"], **spec}}, child, {"x": 1})


def test_integers_that_the_api_server_cannot_keep_are_compared_as_it_keeps_them() -> None:
    _, child, obj = begun()
    kept = {**obj, "spec": {**obj["spec"], "inputs": {"x": float(2**70 + 1)}}}
    assert is_as_wanted(kept, child, {"x": 2**70 + 1})
    assert not is_as_wanted(
        {**kept, "spec": {**kept["spec"], "inputs": {"x": 2**60}}}, child, {"x": 2**60 + 1}
    )


@pytest.mark.parametrize(
    ("labels", "annotations"),
    [
        ({}, {}),
        ({"citadel.dev/parent": "u"}, {}),
        ({"citadel.dev/parent": "u"}, {"citadel.dev/parent-attempt": "x"}),
        ({"citadel.dev/parent": "u"}, {"citadel.dev/parent-attempt": "9" * 5000}),
    ],
)
def test_what_does_not_say_whose_it_is_is_nobodys(
    labels: dict[str, str], annotations: dict[str, str]
) -> None:
    assert origin_of({"metadata": {"name": "a", "labels": labels, "annotations": annotations}}) is None


CANCEL = ev.StopRequested("Cancel", "Cancelled", "enough")
TERMINATE = ev.StopRequested("Terminate", "Terminated", "enough")
END = ev.ChildFinished("call", 1, "Succeeded")


@pytest.mark.parametrize(
    ("facts", "spec", "patch"),
    [
        ([], {}, None),
        ([CANCEL], {}, {"stop": "Cancel"}),
        ([CANCEL], {"stop": "Cancel"}, None),
        ([TERMINATE], {"stop": "Cancel"}, {"stop": "Terminate"}),
        ([CANCEL], {"stop": "Terminate"}, None),
        ([END], {}, {"stop": "Cancel"}),
        ([ev.SuspendChanged(True, 2)], {}, {"suspend": True}),
        ([ev.SuspendChanged(True, 2)], {"suspend": True}, None),
        ([], {"suspend": True}, None),
    ],
)
def test_what_is_passed_down(
    facts: list[ev.Event], spec: dict[str, Any], patch: dict[str, Any] | None
) -> None:
    run, _, obj = begun(*facts)
    found = passed_down({**obj, "spec": {**obj["spec"], **spec}}, run.state)
    assert (found and found["spec"]) == patch


def test_what_was_suspended_with_it_goes_on_with_it() -> None:
    run, _, obj = begun(ev.SuspendChanged(True, 2))
    patch = passed_down(obj, run.state)
    assert patch is not None
    annotations = obj["metadata"]["annotations"] | patch["metadata"]["annotations"]
    obj = {
        "metadata": {**obj["metadata"], "annotations": annotations},
        "spec": {**obj["spec"], **patch["spec"]},
    }
    assert passed_down(obj, run.state) is None
    run.post(ev.SuspendChanged(False, 3))
    assert passed_down(obj, run.state) == {
        "metadata": {"annotations": {"citadel.dev/suspended-by-parent": None}},
        "spec": {"suspend": False},
    }
