"""Builders and drivers for tests of the engine: a workflow in a line, an execution that is driven by hand.

`Run` keeps what a journal keeps (log, values) and checks on every event what must hold of any log.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.advance import Outcome, advance
from citadel.core.decide import decide, wake_at
from citadel.core.failures import Failure
from citadel.core.folding import fold
from citadel.core.jsonvalues import canonical, digest
from citadel.core.members import Members, MemberWanted
from citadel.core.plan import Plan, compile_definition
from citadel.core.records import from_json, to_json
from citadel.core.state import State, listed
from citadel.core.tickets import Standing
from citadel.core.values import BuildKey, Cached, CacheKey, Content, Inline, MissingValues, Values
from citadel.store.recalling import memories

T = TypeVar("T")
Answer = Callable[[str, int], Any]
"""What an attempt gives: its output, or a Failure."""


def step(name: str, **fields: Any) -> dict[str, Any]:
    """A step that runs Python, with the given modifiers; `arguments` stands for `with`."""
    if "arguments" in fields:
        fields["with"] = fields.pop("arguments")
    action = {} if "container" in fields else {"run": {"runtime": "python", "code": "def main(): pass"}}
    return {"name": name, **action, **fields}


def plan(*given: dict[str, Any], **spec: Any) -> Plan:
    """The plan of a workflow of these steps."""
    runtimes = {"python": {"image": "python"}, "go": {"language": "go", "image": "go"}}
    return compile_definition({"spec": {"steps": list(given), **spec}, "runtimes": runtimes, "code": {}})


def failure(reason: str = "Error", message: str = "boom") -> Failure:
    return Failure.cut(reason, message)


def content(text: str) -> Content:
    """What is named by the digest of a text."""
    return Content(digest(text.encode()), len(text))


class Run:
    """One execution, its log and its values, with a clock that only tests move."""

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, Any] | None = None,
        now: float = 1000.0,
        builds: Mapping[BuildKey, Content] | None = None,
        pool: Iterable[str] = (),
        standing: Standing | None = None,
        around: tuple[str, ...] = (),
    ) -> None:
        self.plan, self.now, self._around = plan, now, around
        self.standing = standing or Standing()
        """How it stands in its concurrency group."""
        self.pool = list(pool)
        """Warm sandboxes that any placement of a Runtime may claim."""
        self.state = State()
        self.log: list[tuple[ev.Event, float]] = []
        self.store: dict[str, Any] = {}
        self.builds = dict(builds or {})
        self.cached: dict[CacheKey, Cached] = {}
        self.keys: set[str] = set()
        self.done: set[str] = set()
        self.over = False
        self.post(self.created(inputs))

    def created(self, inputs: Mapping[str, Any] | None = None) -> ev.Created:
        values = Values()
        value = values.put(dict(inputs or {}))
        self.keep(values)
        return ev.Created("run", "default", "uid-1", "flow", self.plan.digest, value, around=self._around)

    def keep(self, values: Values) -> None:
        self.store.update({name: json.loads(encoded) for name, encoded in values.made.items()})

    def post(self, *facts: ev.Event, claim: str | None = None) -> Outcome:
        """One advance, loading values as a journal does; checks every event it appends."""

        claimed: dict[str, str | None] = {}

        def step_forward(values: Values) -> Outcome:
            while True:
                members = Members(dict(claimed))
                try:
                    return advance(
                        self.state, facts, self.now, values, plan=self.plan, claim=claim, members=members
                    )
                except MemberWanted as asked:
                    wish = asked.wish.sandbox
                    assert wish not in claimed, "asked again for a member"
                    claimed[wish] = self.pool.pop(0) if self.pool else None

        outcome, values = self.loading(step_forward)
        self.keep(values)
        taken = {name for name in claimed.values() if name is not None}
        assert taken <= outcome.state.sandboxes.keys(), "claimed a member in vain"
        for event in outcome.events:
            self.check(event)
            self.log.append((event, self.now))
        self.state = outcome.state
        self.remember(outcome.events)
        if self.state.behind:
            # Too much for one transaction: the rest follows at once.
            assert wake_at(self.state, self.now) == self.now
            self.post()
        self.check_rest()
        return outcome

    def remember(self, events: Iterable[ev.Event]) -> None:
        """Keeps what steps with a cache gave."""
        for memory in memories(self.state, events):
            given = Values(loaded=self.store).get(memory.output)
            self.cached[memory.key] = Cached(given, memory.artifacts, self.now, memory.execution)

    def loading(self, work: Callable[[Values], T]) -> tuple[T, Values]:
        """Does `work` with the values that it asks for, each of which it asks for once."""
        loaded: dict[str, Any] = {}
        builds: dict[BuildKey, Content | None] = {}
        cached: dict[CacheKey, Cached | None] = {}
        standing: Standing | None = None
        while True:
            values = Values(loaded=dict(loaded), builds=dict(builds), cached=dict(cached), standing=standing)
            try:
                return work(values), values
            except MissingValues as missing:
                wanted, unknown, asked = missing.digests, missing.builds, missing.cached
                ticket = missing.ticket
            if ticket is not None:
                assert standing is None, "asked again how it stands"
                standing = self.standing
            assert not wanted & loaded.keys(), "asked again for a value that was loaded"
            assert not unknown & builds.keys(), "asked again for a build that was looked up"
            loaded |= {name: self.store[name] for name in wanted}
            builds |= {key: self.builds.get(key) for key in unknown}
            assert not asked & cached.keys(), "asked again for what was looked up"
            cached |= {key: self.cached.get(key) for key in asked}

    def check(self, event: ev.Event) -> None:
        """What holds of each event, seen from the log before it."""
        encoded = canonical(to_json(event))
        assert len(encoded) <= 4096, f"{type(event).__name__} takes {len(encoded)} bytes"
        if event.key is not None:
            assert event.key not in self.keys, f"{event.key} came twice"
            self.keys.add(event.key)
        if self.over:
            assert isinstance(event, ev.SandboxEnded), f"{event} after the end"
        if isinstance(event, ev.Assigned):
            assert event.step not in self.done, f"{event.step} runs again after its end"
        if isinstance(event, ev.AttemptSucceeded | ev.StepCompleted | ev.StepSkipped | ev.StepFailed):
            assert event.step not in self.done, f"{event.step} ends twice"
            self.done.add(event.step)
        self.over |= isinstance(event, ev.Finished)

    def check_rest(self) -> None:
        """What holds of each state between two advances."""
        again = self.decide(self.now)
        assert not again, f"not everything was said: {again}"
        layers = Counter(
            self.plan.layers.get(self.state.sandboxes[name].placement, 0) for name in self.usable()
        )
        assert max(layers.values(), default=0) <= self.plan.workflow.spec.parallelism
        wake = wake_at(self.state, self.now)
        if wake is not None:
            assert wake > self.now, "busy loop"
            early = self.now + (wake - self.now) * 0.99
            assert not self.decide(early), f"{self.decide(early)} before wake_at"
        elif self.state.finished is None:
            assert not self.decide(self.now + 10_000), "something follows with time, but wake_at is None"

    def decide(self, now: float) -> tuple[ev.Event, ...]:
        return self.loading(lambda values: decide(self.state, now, values))[0].events

    def usable(self) -> list[str]:
        return [name for name, sandbox in self.state.sandboxes.items() if sandbox.usable]

    # ---- what the world does

    def register(self) -> list[str]:
        """Every sandbox that is wanted starts, and asks for work; returns the steps they got."""
        found = []
        while starting := [name for name in self.usable() if not self.state.sandboxes[name].registered]:
            outcome = self.post(ev.SandboxRegistered(starting[0]), claim=starting[0])
            found += [outcome.step] if outcome.step else []
        return found

    def poll(self) -> list[str]:
        """Every idle sandbox asks for work; returns the steps they got."""
        found = []
        for name in self.usable():
            sandbox = self.state.sandboxes[name]
            if sandbox.usable and sandbox.registered and sandbox.step is None:
                outcome = self.post(claim=name)
                found += [outcome.step] if outcome.step else []
        return found

    def running(self) -> list[str]:
        return sorted(
            name
            for name, item in self.state.steps.items()
            if item.status is StepStatus.RUNNING and item.sandbox is not None
        )

    def result(self, name: str, answer: Any = None) -> ev.Event:
        """The fact of the running attempt's end."""
        current = self.state.steps[name]
        assert current.sandbox is not None, f"{name} does not run"
        if isinstance(answer, Failure):
            return ev.AttemptFailed(name, current.attempt, current.sandbox, answer)
        values = Values()
        output = values.put(answer)
        self.keep(values)
        artifacts = {left: content(f"{left} of {name}") for left in self.plan.step(name).leaves}
        return ev.AttemptSucceeded(name, current.attempt, current.sandbox, output, artifacts)

    def end(self, name: str, answer: Any = None) -> Outcome:
        """The running attempt ends, and its sandbox takes the next one."""
        return self.post(self.result(name, answer), claim=self.state.steps[name].sandbox)

    def lose(self, sandbox: str, reason: str = "SandboxLost") -> Outcome:
        return self.post(ev.SandboxEnded(sandbox, failure(reason, "the sandbox is gone")))

    def sleep(self, seconds: float) -> Outcome:
        self.now += seconds
        return self.post()

    def wake(self) -> Outcome:
        """Time passes until something follows from it."""
        wake = wake_at(self.state, self.now)
        assert wake is not None, f"stuck: {self.statuses()}"
        return self.sleep(wake - self.now)

    def finish(self, answer: Answer | None = None) -> "Run":
        """Runs to the end; attempts give what `answer` says, else null."""
        for _ in range(2000):
            if self.state.finished is not None:
                return self
            if self.register() or self.poll():
                continue
            running = self.running()
            for name in running:
                if self.state.finished is None:
                    item = self.state.steps[name]
                    if item.delivered_at is None:
                        self.post(ev.Delivered(name, item.attempt, item.placing))
                    self.end(name, answer(name, item.attempt) if answer else None)
            if not running:
                self.wake()
        raise AssertionError(f"did not finish: {self.statuses()}")

    # ---- what became of it

    def statuses(self) -> dict[str, str]:
        return {name: str(item.status) for name, item in listed(self.state)}

    def phase(self) -> str:
        assert self.state.finished is not None
        return str(self.state.finished.phase)

    def outputs(self) -> Any:
        assert self.state.finished is not None
        assert self.state.finished.outputs is not None
        return Values(loaded=self.store).get(self.state.finished.outputs)

    def payload(self, name: str) -> Any:
        """What the attempts of a step get, with digests resolved."""
        value = self.state.steps[name].payload
        assert value is not None
        values = Values(loaded=self.store)
        found: Any = values.get(value)
        arguments = {}
        for key, item in found["arguments"].items():
            arguments[key] = self.store[item["d"]] if "d" in item else item.get("v", item.get("ref"))
        return {"arguments": arguments, "env": found["env"]} if "env" in found else arguments

    def replayed(self) -> State:
        """The state as another process folds it from the log's JSON."""
        log = []
        for event, at in self.log:
            data = json.loads(json.dumps(to_json(event)))
            log.append((from_json(type(event).__name__, data), at))
        return fold(State(), log, self.plan)


def small(value: Any) -> Inline:
    return Inline(value)
