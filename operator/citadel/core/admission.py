"""How an execution begins that may have to wait: for its turn in a concurrency group, and not too long.

Nothing of one runs before its turn, so nothing follows if it ends before: no compensation, no `finally`.
"""

import re
from collections.abc import Iterator

from citadel.api.reasons import Phase, Reason
from citadel.core import events as ev
from citadel.core.evaluating import View, evaluate, text_of
from citadel.core.expressions import ExpressionError
from citadel.core.failures import shorten
from citadel.core.jsonvalues import canonical
from citadel.core.state import State
from citadel.core.tickets import NoTurn, Ticket, is_turn
from citadel.core.values import MissingValues, Values

_UNPRINTABLE = re.compile("[\0-\x1f\x7f\ud800-\udfff]")
#: Characters that the name of a group may have.
MAX_GROUP = 253


def awaits_turn(state: State) -> bool:
    """Whether nothing of it may run yet."""
    if state.plan is None or state.plan.workflow.spec.concurrency is None:
        return False
    return state.admission is None or state.admission.admitted_at is None


def ticket_of(state: State) -> Ticket | None:
    """The place in the queue of one that waits for its turn; None for any other."""
    if state.finished is not None or state.admission is None or not awaits_turn(state):
        return None
    return state.admission.ticket


def cancels(state: State) -> bool:
    """Whether one that waits for its turn has others cancelled for it."""
    assert state.plan is not None
    concurrency = state.plan.workflow.spec.concurrency
    quiet = state.suspended or state.stop is not None
    return concurrency is not None and concurrency.policy == "cancelRunning" and not quiet


def enter(state: State, values: Values) -> Iterator[ev.Event]:
    """What follows for one that waits for its turn. Raises MissingValues."""
    assert state.plan is not None
    assert state.created is not None
    concurrency, admission = state.plan.workflow.spec.concurrency, state.admission
    assert concurrency is not None
    if admission is None:
        try:
            yield ev.Queued(_group(state, values), concurrency.limit)
        except ExpressionError as error:
            message = f"concurrency.group: {error}"
            yield ev.Finished(Phase.FAILED, Reason.EXPRESSION_ERROR, shorten(message))
        return
    if state.suspended:
        return
    if values.standing is None:
        raise MissingValues(ticket=admission.ticket)
    try:
        if is_turn(values.standing, admission.ticket.group, concurrency, state.created.around):
            yield ev.Admitted()
    except NoTurn as error:
        yield ev.Finished(Phase.FAILED, Reason.CONCURRENCY_LIMIT, shorten(str(error)))


def _group(state: State, values: Values) -> str:
    """The name of its group; raises ExpressionError, MissingValues."""
    assert state.plan is not None
    assert state.created is not None
    template = state.plan.workflow.group
    if template is None:
        return state.created.workflow
    value = evaluate(View(state, "", {}), template, values)
    content = values.get(value)
    if content is None or isinstance(content, list | dict):
        found = canonical(content).decode()
        raise ExpressionError(f"found {found:.60}, expected text, a number, true or false")
    text = text_of(value, values)
    if not 0 < len(text) <= MAX_GROUP:
        raise ExpressionError(f"found {len(text)} characters, expected 1 to {MAX_GROUP}")
    if _UNPRINTABLE.search(text):
        raise ExpressionError(f"found {text!r:.60}, expected text without control characters")
    return text


def deadline(state: State) -> float | None:
    """When the main part has to be over: it has its `timeout` from its turn on."""
    if state.plan is None or state.plan.workflow.timeout is None or state.concluded is not None:
        return None
    if awaits_turn(state):
        return None
    admission = state.admission
    since = state.created_at if admission is None else admission.admitted_at
    assert since is not None
    return since + state.plan.workflow.timeout


def pending_deadline(state: State) -> float | None:
    """When it has to have begun; None once it has, or if it may wait for ever."""
    if state.plan is None or state.begun or state.concluded is not None or state.stopping:
        return None
    limit = state.plan.workflow.pending_timeout
    return None if limit is None else state.created_at + limit


def turn_of(state: State) -> str:
    """What one that waits for its turn waits for, for people."""
    if state.admission is None:
        return "for its turn"
    ticket = state.admission.ticket
    return f"for its turn in concurrency group {ticket.group!r} (limit {ticket.limit})"


def not_begun(state: State) -> str:
    """Why one ends that has not begun in time."""
    assert state.plan is not None
    waited = f"it waited {turn_of(state)}" if awaits_turn(state) else "none of its steps got a sandbox"
    return f"not begun within {state.plan.workflow.spec.pending_timeout}: {waited}"
