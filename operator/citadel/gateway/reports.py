"""What a sandbox reports, made safe for the journal: nothing in it is believed to be well-formed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeGuard

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import InvalidValue, normalise
from citadel.core.values import Values
from citadel.store.journal import LogChunk

CHUNK_LIMIT = 64 * 1024
#: Bytes of log that an attempt may print; each chunk counts at least 64 of them.
LOG_LIMIT = 10 * 2**20
CHUNKS_LIMIT = LOG_LIMIT // 64 + 1
#: What a sandbox tries that must not answer.
FORBIDDEN = ("apiserver", "gateway-tripwire", "kubelet")
_CHUNKS_AT_ONCE = 1000
_STREAMS = ("stdout", "stderr", "system")
_REASONS = frozenset(
    (
        Reason.ERROR,
        Reason.TIMEOUT,
        Reason.OOM_KILLED,
        Reason.INVALID_CODE,
        Reason.INVALID_OUTPUT,
        Reason.OUTPUT_TOO_LARGE,
        Reason.ARTIFACT_TOO_LARGE,
        Reason.CANCELLED,
    )
)
#: What an agent passes on of what the model gateway has said to it, and of its own limits.
AGENT_REASONS = frozenset(
    (
        Reason.BUDGET_EXCEEDED,
        Reason.HOST_NOT_ALLOWED,
        Reason.MODEL_ERROR,
        Reason.MODEL_NOT_FOUND,
        Reason.MODEL_UNAVAILABLE,
        Reason.RATE_LIMITED,
        Reason.REPLAY_MISMATCH,
        Reason.SECRET_FORBIDDEN,
        Reason.SECRET_NOT_FOUND,
        Reason.TOOL_LIMIT_EXCEEDED,
        Reason.TURN_LIMIT_EXCEEDED,
    )
)
#: Of those, what another attempt would end with as well.
_FINAL = frozenset(
    (
        Reason.BUDGET_EXCEEDED,
        Reason.HOST_NOT_ALLOWED,
        Reason.MODEL_ERROR,
        Reason.REPLAY_MISMATCH,
        Reason.TOOL_LIMIT_EXCEEDED,
    )
)


class BadReport(ValueError):
    """The request does not follow the protocol; the message says where."""


def result(
    step: str, attempt: int, sandbox: str, outcome: str, body: bytes
) -> tuple[ev.AttemptSucceeded | ev.AttemptFailed, dict[str, bytes]]:
    """The fact that a result states, and the values that go with it. Raises BadReport."""
    if outcome == "Succeeded":
        try:
            output = normalise(body)
        except InvalidValue as error:
            failure = Failure.cut(Reason.INVALID_OUTPUT, f"the output is not valid: {error}")
            return ev.AttemptFailed(step, attempt, sandbox, failure), {}
        values = Values()
        return ev.AttemptSucceeded(step, attempt, sandbox, values.put(output)), values.made
    if outcome != "Failed":
        raise BadReport(f"outcome: found {outcome!r:.40}, expected Succeeded or Failed")
    return ev.AttemptFailed(step, attempt, sandbox, failure_of(body)), {}


def failure_of(body: bytes) -> Failure:
    """The failure that a body describes; raises BadReport."""
    data = _object(body)
    reason = _text(data, "reason")
    if reason not in _REASONS | AGENT_REASONS:
        raise BadReport(f"reason: found {reason!r:.40}, expected one of {', '.join(sorted(_REASONS))}")
    trace = data.get("traceback") or []
    if not isinstance(trace, list) or not all(isinstance(line, str) for line in trace):
        raise BadReport("traceback: expected a list of lines")
    code = data.get("exitCode")
    failure = Failure.cut(
        reason=reason,
        message=clean(_text(data, "message")),
        traceback=clean("\n".join(trace)),
        exit_code=code if _is_number(code) and abs(code) < 2**31 else None,
        log_tail=clean(_text(data, "logTail")),
    )
    return replace(failure, final=reason in _FINAL)


def isolation(data: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether a sandbox is isolated, None where its probe proves nothing, and what answered it by commas.

    Raises BadReport.
    """
    permitted, answered = data.get("permitted"), data.get("answered")
    if not isinstance(permitted, bool):
        raise BadReport("permitted: expected true or false")
    if not isinstance(answered, list) or not all(name in FORBIDDEN for name in answered):
        raise BadReport(f"answered: expected a list of {', '.join(FORBIDDEN)}")
    # An answer proves something, whatever became of the positive control.
    proven = False if answered else (True if permitted else None)
    return proven, ",".join(sorted(set(answered)))


def log_chunks(step: str, attempt: int, body: bytes) -> list[LogChunk]:
    """The chunks of a log request, in order, an end mark last; raises BadReport."""
    data = _object(body)
    items = data.get("chunks")
    if not isinstance(items, list) or len(items) > _CHUNKS_AT_ONCE:
        raise BadReport(f"chunks: expected a list of at most {_CHUNKS_AT_ONCE} chunks")
    chunks = [_chunk(step, attempt, item) for item in items]
    if data.get("last") is True:
        chunks.append(LogChunk(step, attempt, 2**31 - 1, "end", "", ""))
    return chunks


def _chunk(step: str, attempt: int, item: Any) -> LogChunk:
    number = item.get("n") if isinstance(item, dict) else None
    if not _is_number(number) or not 0 <= number < CHUNKS_LIMIT:
        raise BadReport(f"chunks: expected objects with a number n from 0 to {CHUNKS_LIMIT - 1}")
    stream, text = _text(item, "stream"), clean(_text(item, "text"))
    if stream not in _STREAMS:
        raise BadReport(f"chunk {number}: found stream {stream!r:.40}, expected {', '.join(_STREAMS)}")
    if len(text.encode()) > CHUNK_LIMIT:
        raise BadReport(f"chunk {number}: expected at most {CHUNK_LIMIT} bytes of text")
    return LogChunk(step, attempt, number, stream, clean(_text(item, "at"))[:40], text)


def _text(data: Mapping[str, Any], name: str) -> str:
    """A field that is text, empty when it is absent; anything else is never turned into text."""
    found = data.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise BadReport(f"{name}: expected text")
    return found


def _is_number(found: object) -> TypeGuard[int]:
    return isinstance(found, int) and not isinstance(found, bool)


def clean(text: str) -> str:
    """Text without what a database refuses: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise BadReport("the body is not JSON") from None
    if not isinstance(data, dict):
        raise BadReport("the body: expected a JSON object")
    return data
