"""Whatever the order, repetition and loss of facts, and wherever a process restarts: the same end.

Random workflows are driven by a random world. Every event is checked by engine.Run; here stand the laws
between whole runs.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.decide import wake_at
from citadel.core.plan import Plan
from engine import Run, failure, plan, step

REFERENCE = {"valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}
GO = {"runtime": "go", "code": "package main"}
BIG = {"runtime": "python", "code": "x", "resources": {"limits": {"memory": "1Gi"}}}
DONE = (StepStatus.SUCCEEDED, StepStatus.SKIPPED)
COMMON = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@dataclass(frozen=True)
class Case:
    """A workflow, and what its attempts give."""

    spec: dict[str, Any]
    plan: Plan = field(repr=False)
    failures: dict[str, int]
    """How many attempts of a step fail before one succeeds."""
    reason: str

    def answer(self, name: str, attempt: int) -> Any:
        if attempt <= self.failures.get(name, 0):
            return failure(self.reason, f"{name} {attempt}")
        return "x" * 2000 if self.plan.steps[name].index % 3 == 2 else {"n": self.plan.steps[name].index}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Steps may need, read and test only those before them in a random order; so there is no cycle."""
    count = draw(st.integers(1, 7))
    order = draw(st.permutations([f"s{number}" for number in range(count)]))
    steps = [_step(draw, name, order[:position]) for position, name in enumerate(order)]
    if draw(st.booleans()):
        steps.sort(key=lambda item: item["name"])
    elif draw(st.booleans()):
        for item in steps[1:]:
            if item["join"] != "any" and draw(st.booleans()):
                del item["needs"]
    outputs = {name: f"${{steps.{name}.?output.orValue('none')}}" for name in order}
    spec = {"steps": steps, "outputs": outputs, "parallelism": draw(st.integers(1, 3))}
    failures = {name: draw(st.sampled_from((0, 0, 0, 1, 2))) for name in order}
    return Case(spec, plan(**spec), failures, draw(st.sampled_from(("Error", "Timeout", "InvalidCode"))))


def _step(draw: st.DrawFn, name: str, before: list[str]) -> dict[str, Any]:
    some = st.lists(st.sampled_from(before), unique=True, max_size=3) if before else st.just([])
    needs, join = draw(some), draw(st.sampled_from(("all", "all", "any", "finished")))
    # Under `join: any`, whether a needed step has ended yet is a race by design: only others are looked at.
    visible = [other for other in before if join != "any" or other not in needs]
    arguments: dict[str, Any] = {other: f"${{steps.{other}.output}}" for other in draw(some)}
    for other in visible:
        if other not in arguments and draw(st.integers(0, 3)) == 0:
            arguments[other] = f"${{steps.{other}.?output.orValue(0)}}"
    if draw(st.integers(0, 3)) == 0:
        arguments["reference"] = REFERENCE
    fields: dict[str, Any] = {"needs": needs, "join": join, "arguments": arguments}
    conditions = ["true", "false"] + [f"steps.{other}.status == 'Succeeded'" for other in visible]
    if draw(st.integers(0, 2)) == 0:
        fields["when"] = draw(st.sampled_from(conditions))
    if draw(st.booleans()):
        fields["retry"] = {
            "attempts": draw(st.integers(1, 3)),
            "backoff": {"initial": draw(st.sampled_from(("10ms", "30s")))},
        }
    if draw(st.integers(0, 3)) == 0:
        fields["isolation"] = "step"
    if draw(st.integers(0, 2)) == 0:
        fields["timeout"] = "10s"
    taken = draw(some) if draw(st.booleans()) else []
    source = {f"in/{other}": f"steps.{other}.artifacts.all" for other in taken}
    fields["artifacts"] = {"in": source, "out": {"all": "./"}}
    if draw(st.integers(0, 3)) == 0:
        fields["run"] = draw(st.sampled_from((BIG, GO)))
    return step(name, **fields)


class World:
    """What happens to one execution, in an order that a seed decides."""

    def __init__(
        self, case: Case, seed: int, losses: int = 0, lose_running: bool = False, hang: int = 0
    ) -> None:
        self.case, self.random = case, random.Random(seed)
        self.losses, self.lose_running, self.hang = losses, lose_running, hang
        self.hung: set[tuple[str, int]] = set()
        self.run = Run(case.plan)
        self.facts: list[ev.Event] = [event for event, _ in self.run.log if event.key]

    def post(self, *facts: ev.Event, claim: str | None = None) -> None:
        before = self.run.state
        for event in self.run.post(*facts, claim=claim).events:
            if isinstance(event, ev.StepReady):
                self.check_order(event.step)
        self.facts += facts
        if self.random.random() < 0.1:
            self.run.state = self.restarted()
        if self.random.random() < 0.1 and self.run.state.finished is None:
            assert self.run.post(*facts).accepted == (False,) * len(facts), (before, facts)

    def restarted(self) -> Any:
        state = self.run.replayed()
        assert state == self.run.state
        return state

    def check_order(self, name: str) -> None:
        """Nothing becomes ready before what it waits for; said independently of the engine's own words."""
        compiled, states = self.case.plan.steps[name], self.run.state.steps
        for other in compiled.hard_reads:
            assert states[other].status is StepStatus.SUCCEEDED
        for other in (*compiled.needs, *compiled.references):
            if compiled.spec.join == "all":
                assert states[other].status in DONE
            elif compiled.spec.join == "finished" and self.run.state.top.failed is None:
                assert states[other].status.terminal
        if compiled.spec.join == "any" and compiled.needs:
            ended = [states[other].status for other in compiled.needs]
            assert StepStatus.SUCCEEDED in ended or all(status.terminal for status in ended)

    def tick(self) -> None:
        """One thing happens."""
        state, run, choose = self.run.state, self.run, self.random
        actions: list[Any] = []
        for name in run.usable():
            sandbox = state.sandboxes[name]
            if not sandbox.registered:
                actions.append(
                    lambda name=name: self.post(ev.SandboxRegistered(name), claim=choose.choice((name, None)))
                )
                if self.losses:
                    actions.append(lambda name=name: self.lose(name))
            elif sandbox.step is None:
                actions.append(lambda name=name: self.post(claim=name))
                if self.losses:
                    actions.append(lambda name=name: self.lose(name))
            else:
                actions += self.attempt(name, sandbox.step)
        if self.facts:
            actions.append(lambda: self.post(choose.choice(self.facts)))
        # Longer than any pause here, so that timers come before, between and after everything else.
        actions.append(lambda: self.run_sleep(choose.choice((0.001, 0.2, 1.0, 15.0))))
        if (wake := wake_at(state, run.now)) is not None:
            actions.append(lambda: self.run_sleep(wake - run.now))
        choose.choice(actions)()

    def attempt(self, sandbox: str, name: str) -> list[Any]:
        step = self.run.state.steps[name]
        if (name, step.attempt) in self.hung:
            return []
        actions = []
        if step.delivered_at is None:
            fact = ev.Delivered(name, step.attempt, step.placing)
            actions.append(lambda: self.post(fact))
            if self.losses:
                actions.append(lambda: self.lose(sandbox))
            return actions
        claim = self.random.choice((sandbox, None))
        answer = self.case.answer(name, step.attempt)
        actions += [lambda: self.post(self.run.result(name, answer), claim=claim)] * 3
        if self.losses and self.lose_running:
            actions.append(lambda: self.lose(sandbox))
        if self.hang and self.case.plan.steps[name].timeout:
            actions.append(lambda: self.hangs(name, step.attempt))
        return actions

    def hangs(self, name: str, attempt: int) -> None:
        self.hang -= 1
        self.hung.add((name, attempt))

    def lose(self, sandbox: str) -> None:
        self.losses -= 1
        self.post(ev.SandboxEnded(sandbox, failure("SandboxLost")))

    def run_sleep(self, seconds: float) -> None:
        # The backstop for silent sandboxes would turn time that only this test lets pass into failures.
        step_states = self.run.state.steps.values()
        busy = any(
            item.delivered_at is not None and item.status is StepStatus.RUNNING for item in step_states
        )
        if not busy or self.hung or seconds < 1:
            self.run.sleep(seconds)

    def to_end(self) -> Run:
        for _ in range(600):
            if self.run.state.finished is not None:
                assert self.run.replayed() == self.run.state
                return self.run
            self.tick()
        # Random luck may waste time for long; from any point on, a world that just works leads to an end.
        return self.calm()

    def calm(self) -> Run:
        for _ in range(100):
            if self.run.state.finished is not None:
                break
            alive = {
                name for name, item in self.run.state.steps.items() if (name, item.attempt) not in self.hung
            }
            busy = [name for name in self.run.running() if name in alive]
            if self.run.register() or self.run.poll():
                continue
            for name in busy:
                item = self.run.state.steps[name]
                if self.run.state.finished is None and item.status is StepStatus.RUNNING:
                    self.run.post(ev.Delivered(name, item.attempt, item.placing))
                    self.run.end(name, self.case.answer(name, item.attempt))
            if not busy and self.run.state.finished is None:
                self.run.wake()
        assert self.run.state.finished is not None, f"did not end: {self.run.statuses()}"
        assert self.run.replayed() == self.run.state
        return self.run


def end_of(run: Run) -> Any:
    """What must be the same at every end; a failing execution may have come more or less far elsewhere."""
    if run.phase() != "Succeeded":
        return run.phase()
    attempts = {name: item.attempt for name, item in run.state.steps.items()}
    return run.phase(), run.outputs(), run.statuses(), attempts


@COMMON
@given(cases(), st.integers(0, 2**32))
def test_any_order_and_repetition_of_facts_and_any_restart_lead_to_the_same_end(
    case: Case, seed: int
) -> None:
    expected = end_of(Run(case.plan).finish(case.answer))
    assert end_of(World(case, seed).to_end()) == expected


@COMMON
@given(cases(), st.integers(0, 2**32))
def test_sandboxes_lost_before_their_code_started_change_nothing(case: Case, seed: int) -> None:
    expected = end_of(Run(case.plan).finish(case.answer))
    assert end_of(World(case, seed, losses=3).to_end()) == expected


@COMMON
@given(cases(), st.integers(0, 2**32))
def test_whatever_is_lost_or_hangs_every_execution_ends(case: Case, seed: int) -> None:
    run = World(case, seed, losses=6, lose_running=True, hang=3).to_end()
    assert run.phase() in ("Succeeded", "Failed")
    recorded = [(event.step, event.attempt) for event, _ in run.log if isinstance(event, ev.AttemptSucceeded)]
    assert len({step for step, _ in recorded}) == len(recorded)


@COMMON
@given(cases(), st.integers(0, 2**32), st.sampled_from(("Cancel", "Terminate")), st.integers(0, 40))
def test_a_stop_at_any_moment_ends_it_and_nothing_starts_after_it(
    case: Case, seed: int, mode: str, when: int
) -> None:
    world = World(case, seed, losses=2)
    for _ in range(when):
        if world.run.state.finished is None:
            world.tick()
    if world.run.state.finished is None:
        world.post(ev.StopRequested(mode, "CancelRequested", ""))
    length = len(world.run.log)
    run = world.to_end()
    assert not [event for event, _ in run.log[length:] if isinstance(event, ev.Assigned | ev.SandboxWanted)]
    if any(isinstance(event, ev.StopRequested) for event, _ in run.log):
        assert run.phase() == "Cancelled"


@COMMON
@given(cases(), st.integers(0, 2**32), st.integers(0, 30))
def test_while_suspended_nothing_is_assigned_and_after_it_the_end_is_the_same(
    case: Case, seed: int, when: int
) -> None:
    expected = end_of(Run(case.plan).finish(case.answer))
    world = World(case, seed)
    for _ in range(when):
        if world.run.state.finished is None:
            world.tick()
    if world.run.state.finished is None:
        world.post(ev.SuspendChanged(True, 2))
        length = len(world.run.log)
        for _ in range(20):
            if world.run.state.finished is None:
                world.tick()
        assert not [
            event for event, _ in world.run.log[length:] if isinstance(event, ev.Assigned | ev.SandboxWanted)
        ]
        world.facts = [fact for fact in world.facts if not isinstance(fact, ev.SuspendChanged)]
        if world.run.state.finished is None:
            world.post(ev.SuspendChanged(False, 3))
    assert end_of(world.to_end()) == expected
