"""What a sandbox reports, made safe for the journal: nothing in it is believed to be well-formed."""

import json
from typing import Any

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.jsonvalues import InvalidValue, normalise
from citadel.core.values import Values
from citadel.store.journal import LogChunk

CHUNK_LIMIT = 64 * 1024
_STREAMS = ("stdout", "stderr", "system")
_REASONS = frozenset(
    (
        Reason.ERROR,
        Reason.TIMEOUT,
        Reason.OOM_KILLED,
        Reason.INVALID_CODE,
        Reason.INVALID_OUTPUT,
        Reason.CANCELLED,
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
            failure = ev.Failure.cut(Reason.INVALID_OUTPUT, f"the output is not valid: {error}")
            return ev.AttemptFailed(step, attempt, sandbox, failure), {}
        values = Values()
        return ev.AttemptSucceeded(step, attempt, sandbox, values.put(output)), values.made
    if outcome != "Failed":
        raise BadReport(f"outcome: found {outcome!r:.40}, expected Succeeded or Failed")
    return ev.AttemptFailed(step, attempt, sandbox, failure_of(body)), {}


def failure_of(body: bytes) -> ev.Failure:
    """The failure that a body describes; raises BadReport."""
    data = _object(body)
    reason = data.get("reason")
    if reason not in _REASONS:
        raise BadReport(f"reason: found {reason!r:.40}, expected one of {', '.join(sorted(_REASONS))}")
    trace = data.get("traceback") or []
    code = data.get("exitCode")
    return ev.Failure.cut(
        reason=str(reason),
        message=clean(str(data.get("message") or "")),
        traceback=clean("\n".join(str(line) for line in trace)) if isinstance(trace, list) else "",
        exit_code=code if isinstance(code, int) and abs(code) < 2**31 else None,
        log_tail=clean(str(data.get("logTail") or "")),
    )


def log_chunks(step: str, attempt: int, body: bytes) -> list[LogChunk]:
    """The chunks of a log request, in order, an end mark last; raises BadReport."""
    data = _object(body)
    chunks: list[LogChunk] = []
    items = data.get("chunks")
    if not isinstance(items, list) or len(items) > 1000:
        raise BadReport("chunks: expected a list of at most 1000 chunks")
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("n"), int) or not 0 <= item["n"] < 2**31:
            raise BadReport("chunks: expected objects with a number n")
        text, stream = clean(str(item.get("text", ""))), item.get("stream")
        if stream not in _STREAMS or len(text.encode()) > CHUNK_LIMIT:
            raise BadReport(
                f"chunk {item['n']}: expected a known stream and at most {CHUNK_LIMIT} bytes of text"
            )
        chunks.append(
            LogChunk(step, attempt, item["n"], str(stream), clean(str(item.get("at", "")))[:40], text)
        )
    if data.get("last") is True:
        chunks.append(LogChunk(step, attempt, 2**31 - 1, "end", "", ""))
    return chunks


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
