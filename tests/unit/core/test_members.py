"""Sandboxes that come from a pool: claimed, handed their attempt, lost."""

import pytest

from citadel.api.runtime import RuntimeSpec
from citadel.core import events as ev
from citadel.core.decide import TAKE_LIMIT
from citadel.core.placing import runtime_template, template_key
from citadel.core.records import from_json
from citadel.core.state import MAX_PLACINGS
from engine import Run, plan, step

REFERENCE = {"valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}


def kinds(run: Run) -> list[str]:
    return [type(event).__name__ for event, _ in run.log]


def test_a_member_is_claimed_and_has_its_attempt_in_the_advance_that_wants_a_sandbox() -> None:
    run = Run(plan(step("a"), step("b")), pool=["cp-1", "cp-2"])
    assert kinds(run) == ["Created", "StepReady", "SandboxWanted", "Assigned"]
    assert list(run.state.sandboxes) == ["cp-1"]
    assert run.pool == ["cp-2"]
    assert run.state.steps["a"].delivered_at is None
    assert run.finish().phase() == "Succeeded"
    assert list(run.state.sandboxes) == ["cp-1"]


def test_its_first_poll_delivers_the_attempt_and_later_ones_write_nothing() -> None:
    run = Run(plan(step("a")), pool=["cp-1"])
    outcome = run.post(claim="cp-1")
    assert (outcome.step, [type(event).__name__ for event in outcome.events]) == ("a", ["Delivered"])
    again = run.post(claim="cp-1")
    assert (again.step, again.events) == ("a", ())


def test_what_is_sealed_first_is_not_delivered_by_a_poll() -> None:
    run = Run(plan(step("a", arguments={"x": REFERENCE})), pool=["cp-1"])
    assert run.post(claim="cp-1").events == ()
    run.sleep(10 * TAKE_LIMIT)
    assert run.running() == ["a"]


def test_without_a_member_a_sandbox_is_started() -> None:
    run = Run(plan(step("a")))
    assert kinds(run)[-1] == "SandboxWanted"
    assert run.finish().phase() == "Succeeded"


def test_a_member_that_is_lost_before_it_asked_has_its_attempt_placed_again() -> None:
    run = Run(plan(step("a")), pool=["cp-1", "cp-2"])
    run.lose("cp-1")
    assert (run.state.steps["a"].attempt, run.state.steps["a"].placing) == (1, 2)
    assert run.state.steps["a"].sandbox == "cp-2"
    assert run.finish().phase() == "Succeeded"


def test_a_member_that_is_lost_after_it_asked_has_failed_its_attempt() -> None:
    run = Run(plan(step("a")), pool=["cp-1", "cp-2"])
    run.post(claim="cp-1")
    run.lose("cp-1")
    assert run.phase() == "Failed"


def test_a_member_that_does_not_ask_in_time_is_given_up() -> None:
    run = Run(plan(step("a")), pool=["cp-1"])
    run.sleep(TAKE_LIMIT - 0.01)
    assert run.usable() == ["cp-1"]
    run.wake()
    assert run.usable() != ["cp-1"]
    assert run.finish().phase() == "Succeeded"


def test_members_are_not_lost_for_ever() -> None:
    run = Run(plan(step("a")), pool=[f"cp-{number}" for number in range(MAX_PLACINGS + 3)])
    for number in range(MAX_PLACINGS):
        run.lose(f"cp-{number}")
    assert run.phase() == "Failed"


def test_more_members_are_claimed_when_attempts_wait_and_parallelism_allows() -> None:
    steps = [step(f"s{number}", needs=[]) for number in range(5)]
    run = Run(plan(*steps, parallelism=3), pool=[f"cp-{number}" for number in range(9)])
    run.wake()
    assert run.usable() == ["cp-0", "cp-1", "cp-2"]
    assert len(run.running()) == 3


def test_steps_that_share_with_nobody_come_from_the_pool_too() -> None:
    steps = [step(name, isolation="step") for name in "abc"]
    run = Run(plan(*steps), pool=["cp-1", "cp-2"]).finish()
    assert [sandbox.claimed for sandbox in run.state.sandboxes.values()] == [True, True, False]
    assert all(sandbox.served == 1 for sandbox in run.state.sandboxes.values())


def test_a_container_never_comes_from_a_pool() -> None:
    run = Run(plan(step("a", container={"image": "busybox", "command": ["true"]})), pool=["cp-1"])
    assert run.pool == ["cp-1"]


def test_a_log_with_claims_is_folded_alike_everywhere() -> None:
    run = Run(plan(step("a"), step("b", isolation="step")), pool=["cp-1", "cp-2"]).finish()
    assert run.replayed() == run.state


def test_a_log_of_a_version_without_pools_is_read() -> None:
    found = from_json("SandboxWanted", {"sandbox": "cx-1", "placement": "p"})
    assert found == ev.SandboxWanted("cx-1", "p", claimed=False)


def spec(**fields: object) -> RuntimeSpec:
    return RuntimeSpec.model_validate({"image": "python", **fields})


@pytest.mark.parametrize(
    "changed",
    [{"image": "python:2"}, {"resources": {"limits": {"memory": "1Gi"}}}, {"nodeSelector": {"a": "b"}}],
)
def test_a_change_of_what_pods_are_made_of_is_another_pool(changed: dict[str, object]) -> None:
    assert template_key(runtime_template(spec(**changed))) != template_key(runtime_template(spec()))


@pytest.mark.parametrize("changed", [{"pool": {"max": 3}}, {"env": [{"name": "A", "value": "b"}]}])
def test_a_change_of_anything_else_keeps_the_pool(changed: dict[str, object]) -> None:
    assert template_key(runtime_template(spec(**changed))) == template_key(runtime_template(spec()))


def test_steps_use_the_pool_of_their_runtime_unless_they_ask_for_other_resources() -> None:
    big = {"runtime": "python", "code": "x", "resources": {"limits": {"memory": "1Gi"}}}
    placements = plan(step("a"), step("b", isolation="step"), step("c", run=big)).placements
    pool = template_key(runtime_template(spec()))
    assert [placements[name].pool == pool for name in "abc"] == [True, True, False]
