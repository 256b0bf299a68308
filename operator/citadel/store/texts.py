"""What comes in from sandboxes and people, made fit for a database before a transaction starts.

Postgres refuses U+0000 and lone surrogates in texts; a fact that holds one would fail again at every retry.
Texts for people are mended, values are refused.
"""

import re
from dataclasses import replace
from typing import TypeVar

from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import check
from citadel.core.values import Inline, Value

_UNFIT = re.compile("[\0\ud800-\udfff]")
E = TypeVar("E", bound=ev.Event)


def mend(text: str) -> str:
    """The text with U+FFFD for what a database refuses."""
    return _UNFIT.sub("\ufffd", text)


def fit(fact: E) -> E:
    """The fact with its texts mended; raises InvalidValue when a value is not JSON that can be kept."""
    match fact:
        case ev.AttemptFailed() | ev.SandboxEnded() | ev.Rejected():
            return replace(fact, failure=_fit_failure(fact.failure))
        case ev.StopRequested():
            return replace(fact, message=mend(fact.message), reason=mend(fact.reason))
        case ev.ApprovalDecided():
            _check(fact.form)
            return replace(fact, by=mend(fact.by), reason=mend(fact.reason))
        case ev.ChildFinished():
            _check(fact.outputs)
            return fact if fact.failure is None else replace(fact, failure=_fit_failure(fact.failure))
        case ev.SignalReceived():
            _check(fact.payload)
        case ev.AttemptSucceeded():
            _check(fact.output)
        case ev.ToolCalled():
            _check(fact.arguments)
            return replace(fact, tool=mend(fact.tool), call=mend(fact.call))
        case ev.ModelAnswered() | ev.ToolAnswered():
            if fact.output is not None:
                _check(fact.output)
            if fact.failure is not None:
                return replace(fact, failure=_fit_failure(fact.failure))
        case ev.Created():
            _check(fact.inputs)
    return fact


def _check(value: Value | None) -> None:
    if isinstance(value, Inline):
        check(value.value)


def _fit_failure(failure: Failure) -> Failure:
    texts = (failure.reason, failure.message, failure.traceback, failure.log_tail)
    if not any(_UNFIT.search(text) for text in texts):
        return failure
    reason, message, traceback, log_tail = map(mend, texts)
    return Failure(reason, message, traceback, failure.exit_code, log_tail)
