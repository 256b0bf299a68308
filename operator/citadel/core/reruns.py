"""What a rerun takes over of the execution before it: results that are recorded, and not in doubt.

Pure. Nothing is taken over that depends on a step that runs again, nor what was undone.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from citadel.api.problems import suggestion
from citadel.api.reasons import Reason, StepStatus
from citadel.core.compiled import FINALLY, CompiledStep
from citadel.core.instances import COMPENSATE, ON_ERROR, around, definition
from citadel.core.jsonvalues import Json
from citadel.core.plan import Plan
from citadel.core.state import State, StepState
from citadel.core.values import Content, Stored, encode

#: Why a step is skipped that is skipped again, if all that it waits for is as it was.
_BY_ITSELF = (Reason.CONDITION_FALSE, Reason.DEPENDENCY_SKIPPED)


class CannotRerun(ValueError):
    """There is no such point to run again from; the message says why."""


@dataclass
class Taken:
    """What is taken over, by instance."""

    steps: dict[str, StepState] = field(default_factory=dict)

    def payload(self) -> dict[str, Json]:
        """As it stands in the log of the new execution."""
        return {name: _encoded(step) for name, step in self.steps.items()}

    @property
    def digests(self) -> list[str]:
        """The values that are stored apart."""
        return sorted({step.output.digest for step in self.steps.values() if isinstance(step.output, Stored)})

    @property
    def contents(self) -> Iterator[tuple[str, Content]]:
        """The artifacts, each with the step that left it."""
        for name, step in self.steps.items():
            for content in step.artifacts.values():
                yield name, content


def _encoded(step: StepState) -> Json:
    assert step.output is not None
    found: dict[str, Any] = {"output": encode(step.output)}
    if step.artifacts:
        found["artifacts"] = {name: asdict(content) for name, content in step.artifacts.items()}
    if step.failure is not None:
        found["failure"] = asdict(step.failure)
    return found


def take_over(
    old: State,
    plan: Plan,
    point: str | None = None,
    *,
    same_inputs: bool = True,
    without: frozenset[str] = frozenset(),
) -> Taken:
    """What a rerun by `plan` takes over of `old`, which has ended; from `point`, if given, it runs again.

    `without`: instances that must run again, whatever is known of them. Raises CannotRerun.
    """
    assert old.plan is not None
    if point is not None:
        _check(old, plan, point)
    search = _Search(old, old.plan, plan, point, without, same_inputs)
    search.scope([path for path, step in plan.steps.items() if step.scope == ""], "")
    return search.taken


def _check(old: State, plan: Plan, point: str) -> None:
    path = definition(point)
    if path not in plan.steps:
        names = [name for name, step in plan.steps.items() if step.counts]
        top = ", ".join([name for name in names if plan.steps[name].scope == ""][:20])
        within = f"found no step {point}, expected one of {top}, or what is within them"
        raise CannotRerun(f"{within}{suggestion(path, names)}")
    if point != path and point not in old.steps:
        raise CannotRerun(f"found no step {point}: the execution has not come to it")
    step = plan.steps[path]
    parts = path.split(".")
    if not step.counts or COMPENSATE in parts or ON_ERROR in parts or plan.steps[parts[0]].scope == FINALLY:
        raise CannotRerun(
            f"step {point} follows from others by itself; expected a step of the workflow's own"
        )


class _Search:
    """Goes through the steps of the new plan, and takes over what the old execution has of them."""

    def __init__(
        self,
        old: State,
        before: Plan,
        plan: Plan,
        point: str | None,
        without: frozenset[str],
        same_inputs: bool,
    ) -> None:
        self.taken = Taken()
        self._old, self._plan, self._point, self._without = old, plan, point, without
        self._compensated = {path for path, step in plan.steps.items() if step.compensation is not None}
        # What people have approved is what they were shown, of this definition, on these inputs.
        asks_again = () if same_inputs else ("approval", "workflow")
        if before.digest != plan.digest:
            asks_again = (*asks_again, "approval")
        self._asked = {
            _whole(plan, path) for path, step in plan.steps.items() if step.spec.action in asks_again
        }
        # What is within them must be known one by one: to be undone later, or to be asked again.
        self._opened = {above for path in self._compensated | self._asked for above in around(path)}
        # Around what runs again; a point may be meant in every turn of a loop.
        self._around = {above for name in (point or "", *without) for above in around(name)}
        self._in_all = frozenset(around(point)) if point is not None and "[" not in point else frozenset()
        self._changed = frozenset() if before.digest == plan.digest else _changed(before, plan)

    def scope(self, paths: list[str], prefix: str) -> bool:
        """Takes over what it may of steps that stand together; whether all of them stay as they were."""
        again: set[str] = set()
        own = set(paths)
        order = TopologicalSorter({path: own.intersection(self._plan.steps[path].after) for path in paths})
        for path in order.static_order():
            compiled = self._plan.steps[path]
            if compiled.builds is not None:
                continue
            instance = f"{prefix}{path.rpartition('.')[2]}"
            if not again.isdisjoint(compiled.after) or not self._stays(compiled, instance):
                again.add(path)
        return not again

    def _stays(self, compiled: CompiledStep, instance: str) -> bool:
        """Takes over what it may of a step; whether nothing of it runs again."""
        step = self._old.steps.get(instance)
        if step is None or self._runs_again(compiled, instance):
            return False
        if step.status is StepStatus.SKIPPED:
            return step.reason in _BY_ITSELF
        succeeded = step.status is StepStatus.SUCCEEDED and step.output is not None
        if succeeded and not self._is_opened(compiled, instance):
            self.taken.steps[instance] = step
            return True
        if compiled.is_loop(instance):
            return self._turns(compiled, instance) and succeeded
        if not compiled.children:
            return False
        inner = [path for path in compiled.children if self._plan.steps[path].builds is None]
        return self.scope(inner, f"{instance}.") and succeeded

    def _turns(self, compiled: CompiledStep, loop: str) -> bool:
        found = self._old.scopes.get(loop)
        if found is None:
            return False
        if found.items is not None:
            again = [n for n in range(found.total) if not self._stays(compiled, f"{loop}[{n}]")]
            return not again
        # Each iteration sees the one before.
        return all(self._stays(compiled, f"{loop}[{number}]") for number in range(1, found.begun + 1))

    def _runs_again(self, compiled: CompiledStep, instance: str) -> bool:
        undone = f"{instance}.{COMPENSATE}" in self._old.steps
        asked = compiled.path in self._changed or (
            compiled.path in self._asked and not compiled.is_loop(instance)
        )
        return undone or asked or instance in self._without or self._point in (instance, compiled.path)

    def _is_opened(self, compiled: CompiledStep, instance: str) -> bool:
        """Whether what is within counts, not the whole."""
        path = compiled.path
        turns = compiled.is_loop(instance) and path in self._compensated | self._asked
        return turns or path in self._opened or path in self._in_all or instance in self._around


def _said(step: CompiledStep) -> tuple[object, ...]:
    return step.spec, step.after, step.agent, step.tool


def _whole(plan: Plan, path: str) -> str:
    """The step that is taken over, or runs again, as a whole: what an agent calls is the agent's."""
    return next((name for name in (path, *around(path)) if not plan.steps[name].hidden), path)


def _changed(before: Plan, plan: Plan) -> frozenset[str]:
    """Steps of which something is not as it was: what they say, what they wait for, or code within them; of
    an agent also what is said of it and its tools.
    """
    found: set[str] = set()
    for path, step in plan.steps.items():
        old = before.steps.get(path)
        same = old is not None and _said(old) == _said(step)
        if not same or before.code.get(path) != plan.code.get(path):
            found |= {path, *around(path)}
    return frozenset(found)
