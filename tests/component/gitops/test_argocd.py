"""What Argo CD shows and does, in its own language: Lua 5.1, with the few libraries that it gives scripts."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from citadel.api.kinds import KINDS
from component.gitops import statuses

ROOT = Path(__file__).parents[3]
PATCH = yaml.safe_load((ROOT / "gitops/argocd/argocd-cm.yaml").read_text())["data"]
HEALTH, ACTIONS = (
    {
        key.removeprefix(prefix): text
        for key, text in PATCH.items()
        if key.startswith(prefix := f"resource.customizations.{what}.citadel.dev_")
    }
    for what in ("health", "actions")
)
#: Of the standard library Argo CD opens base, package and table, and of os what tells the time.
_CONFINED = """
local time, date = os.time, os.date
getmetatable("").__index = nil
for _, name in ipairs({"string", "math", "io", "debug", "coroutine", "python", "dofile", "loadfile"}) do
  _G[name], package.loaded[name] = nil, nil
end
os = {time = time, date = date}
package.loaded.os = os
"""


def run(script: str, obj: dict[str, Any]) -> Any:
    """What a script returns for an object."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
    lua.execute(_CONFINED)
    lua.globals().obj = lua.table_from(deepcopy(obj), recursive=True)
    return _plain(lua.execute(script))


def _plain(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    entries = dict(value.items())
    if set(entries) == set(range(1, len(entries) + 1)):
        return [_plain(entries[index]) for index in sorted(entries)]
    return {key: _plain(item) for key, item in entries.items()}


def health(obj: dict[str, Any]) -> tuple[str, str]:
    found = run(HEALTH[obj["kind"]], obj)
    return found["status"], found["message"]


def actions(obj: dict[str, Any]) -> set[str]:
    """The buttons that can be pressed."""
    found = run(yaml.safe_load(ACTIONS[obj["kind"]])["discovery.lua"], obj)
    return {name for name, action in found.items() if not action["disabled"]}


def pressed(name: str, obj: dict[str, Any]) -> Any:
    (script,) = (
        item["action.lua"]
        for item in yaml.safe_load(ACTIONS[obj["kind"]])["definitions"]
        if item["name"] == name
    )
    return run(script, obj)


def test_every_kind_has_a_health_check() -> None:
    assert {kind.name for kind in KINDS} <= set(HEALTH)


@pytest.mark.parametrize(
    "kind", ["Workflow", "Runtime", "ExecutionPolicy", "Trigger", "Model", "Agent", "Tool"]
)
@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (None, ("Healthy", "")),
        (statuses.MISSING, ("Progressing", "Runtime python does not exist")),
        (statuses.WRONG, ("Degraded", "spec.steps[0]: found no action")),
    ],
    ids=["valid", "waits", "wrong"],
)
def test_a_definition_is_as_healthy_as_its_conditions_say(
    kind: str, problem: Any, expected: tuple[str, str]
) -> None:
    assert health(statuses.definition(problem, kind)) == expected


@pytest.mark.parametrize(
    "obj",
    [
        statuses.unseen("Workflow"),
        statuses.definition(None, edited=True),
        {key: value for key, value in statuses.definition(None).items() if key != "status"},
        {**statuses.definition(None), "status": {"observedGeneration": 2}},
        statuses.unseen("Execution"),
    ],
    ids=["new", "edited", "without a status", "without conditions", "a new execution"],
)
def test_what_nobody_has_looked_at_is_progressing(obj: dict[str, Any]) -> None:
    assert health(obj) == ("Progressing", "Citadel has not looked at it yet")


@pytest.mark.parametrize(
    ("state", "expected", "says"),
    [
        ("pending", "Progressing", "Accepted (0/2)"),
        ("without its workflow", "Progressing", "no Workflow flow"),
        ("running", "Progressing", "Running (0/2)"),
        ("suspended", "Suspended", "spec.suspend is true"),
        ("succeeded", "Healthy", "Completed (2/2)"),
        ("failed", "Degraded", "boom"),
        ("timed out", "Degraded", "1m"),
        ("cancelled", "Healthy", "spec.stop is Terminate"),
    ],
)
def test_an_execution_is_as_healthy_as_its_state(state: str, expected: str, says: str) -> None:
    status, message = health(statuses.execution(state))
    assert status == expected
    assert says in message


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (None, "Suspended"),
        ("Pending", "Suspended"),
        ("Approved", "Healthy"),
        ("Rejected", "Degraded"),
        ("Expired", "Degraded"),
        ("Cancelled", "Healthy"),
    ],
)
def test_an_approval_waits_until_it_is_decided(phase: str | None, expected: str) -> None:
    assert health({"kind": "Approval", "status": {"phase": phase} if phase else {}})[0] == expected


def test_an_execution_can_be_created_of_a_workflow_that_can_be_used() -> None:
    assert actions(statuses.definition(None)) == {"create-execution"}
    assert actions(statuses.definition(statuses.WRONG)) == set()
    assert actions(statuses.unseen("Workflow")) == set()
    (made,) = pressed("create-execution", statuses.definition(None))
    name = made["resource"]["metadata"].pop("name")
    assert name.startswith("flow-20")
    assert name.removeprefix("flow-").isdigit()
    assert made == {
        "operation": "create",
        "resource": {
            "apiVersion": "citadel.dev/v1alpha1",
            "kind": "Execution",
            "metadata": {"namespace": "team"},
            "spec": {"workflowRef": {"name": "flow"}},
        },
    }


@pytest.mark.parametrize(
    ("state", "spec", "expected"),
    [
        ("running", {}, {"cancel", "terminate", "suspend"}),
        ("running", {"stop": "Cancel"}, {"terminate"}),
        ("suspended", {"suspend": True}, {"cancel", "terminate", "resume"}),
        ("failed", {}, set()),
    ],
    ids=["running", "being cancelled", "suspended", "ended"],
)
def test_an_execution_has_the_buttons_that_can_do_something(
    state: str, spec: dict[str, Any], expected: set[str]
) -> None:
    assert actions({**statuses.execution(state), "spec": spec}) == expected


def test_a_trigger_is_suspended_and_resumed_by_a_button() -> None:
    runs = statuses.definition(None, "Trigger")
    assert actions(runs) == {"suspend"}
    suspended = pressed("suspend", runs)
    assert suspended == {**runs, "spec": {**runs["spec"], "suspend": True}}
    assert health(suspended)[0] == "Suspended"
    assert actions(suspended) == {"resume"}
    assert health(pressed("resume", suspended))[0] == "Healthy"


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("cancel", {"stop": "Cancel"}),
        ("terminate", {"stop": "Terminate"}),
        ("suspend", {"suspend": True}),
        ("resume", {"suspend": False}),
    ],
)
def test_a_button_of_an_execution_changes_its_spec_alone(name: str, changed: dict[str, Any]) -> None:
    spec = {"workflowRef": {"name": "flow"}}
    before = {**statuses.execution("running"), "spec": spec}
    assert pressed(name, before) == {**before, "spec": {**spec, **changed}}
