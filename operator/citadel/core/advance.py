"""One step forward of one execution, without the transaction around it: facts in, events out."""

from collections.abc import Sequence
from dataclasses import dataclass

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.decide import decide
from citadel.core.facts import admissible
from citadel.core.failures import Failure
from citadel.core.folding import apply
from citadel.core.members import Members
from citadel.core.plan import Plan
from citadel.core.sessions import assign, current, hand_over
from citadel.core.state import State, compiled_of
from citadel.core.values import Values


@dataclass(frozen=True)
class Outcome:
    """What one advance did."""

    state: State
    events: tuple[ev.Event, ...]
    """All events that were appended: admitted facts, and what followed from them."""
    accepted: tuple[bool, ...]
    """For each fact whether it changed anything; a repeated or outdated one does not."""
    step: str | None = None
    """The step whose attempt the claiming sandbox has now."""


def advance(
    state: State,
    facts: Sequence[ev.Event],
    now: float,
    values: Values,
    *,
    plan: Plan | None = None,
    claim: str | None = None,
    members: Members | None = None,
) -> Outcome:
    """Appends the facts that still matter, everything that follows, and what the sandbox `claim` gets to do.

    `plan` is needed when a fact is Created. Raises MissingValues when a value must be loaded first, and
    MemberWanted when a pool must be asked; nothing is changed then, and the call can be repeated.
    """
    events: list[ev.Event] = []
    accepted: list[bool] = []
    for given in facts:
        fact = _checked(state, given, values)
        accepted.append(admissible(state, fact))
        if accepted[-1]:
            state = apply(state, fact, now, plan)
            events.append(fact)
    decision = decide(state, now, values, members)
    state = decision.state
    events += decision.events
    step = None
    if claim is not None:
        taken = assign(state, claim, now) or hand_over(state, claim)
        if taken is not None:
            # What another sandbox was kept for may be taken now, so this is not the last word.
            decision = decide(apply(state, taken, now), now, values, members)
            state = decision.state
            events += [taken, *decision.events]
        step = current(state, claim)
    return Outcome(state, tuple(events), tuple(accepted), step)


def _checked(state: State, fact: ev.Event, values: Values) -> ev.Event:
    """A result, unless it is not what the step's schema says: then its failure."""
    if not isinstance(fact, ev.AttemptSucceeded) or fact.step not in state.steps:
        return fact
    schema = compiled_of(state, fact.step).schema
    problem = None if schema is None else schema.problem(values.get(fact.output))
    if problem is None:
        return fact
    return ev.AttemptFailed(
        fact.step, fact.attempt, fact.sandbox, Failure.cut(Reason.INVALID_OUTPUT, problem)
    )
