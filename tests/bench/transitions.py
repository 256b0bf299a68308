"""What the engine alone takes for one more: the result of an attempt in, all that follows out, no I/O."""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

from citadel.core import events as ev
from citadel.core.advance import Outcome, advance
from citadel.core.plan import Plan
from citadel.core.state import State
from citadel.core.values import Inline, Values
from engine import plan, step

FEW, MANY = 10, 1000
ROUNDS = 40


def _loop(count: int) -> tuple[Plan, list[str]]:
    each = step("each", forEach={"items": "${inputs.list}", "parallelism": 1}, arguments={"x": "${item}"})
    return plan(each), [f"each[{number}]" for number in range(count)]


def _chain(count: int) -> tuple[Plan, list[str]]:
    names = [f"s{number}" for number in range(count)]
    read = [step(name, arguments={"x": f"${{steps.{last}.output}}"}) for last, name in pairwise(names)]
    return plan(step(names[0]), *read), names


def transitions() -> list[str]:
    """Both, as lines for people."""
    return [_ratio("an item of a loop", _loop), _ratio("a step of a chain", _chain)]


def _ratio(name: str, make: Callable[[int], tuple[Plan, list[str]]]) -> str:
    few = statistics.median([took for _ in range(ROUNDS) for took in _costs(*make(FEW))])
    many = statistics.median(_costs(*make(MANY)))
    figures = f"{many * 1e6:.0f} µs of {MANY}, {few * 1e6:.0f} µs of {FEW}"
    return f"the engine alone, {name}: {figures}, ratio {many / few:.2f} (at most 1.5)"


def _costs(plan: Plan, names: list[str]) -> list[float]:
    """Seconds of CPU for each result but the first and the last."""
    values = Values()
    inputs = values.put({"list": list(range(len(names)))})
    loaded = values.loaded
    state, found = State(), []

    def post(fact: ev.Event, claim: str | None = None) -> Outcome:
        return advance(state, [fact], 1000.0, Values(loaded=loaded), plan=plan, claim=claim)

    state = post(ev.Created("run", "default", "uid", "flow", plan.digest, inputs)).state
    while not state.sandboxes:
        state = advance(state, [], 1000.0, Values(loaded=loaded), plan=plan).state
    (sandbox,) = state.sandboxes
    state = post(ev.SandboxRegistered(sandbox), sandbox).state
    for name in names:
        begin = time.process_time()
        state = post(ev.AttemptSucceeded(name, 1, sandbox, Inline(1)), sandbox).state
        found.append(time.process_time() - begin)
    assert state.finished is not None
    return found[1:-1]
