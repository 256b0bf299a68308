"""What became of an attempt, from what its process said and how it ended. Trusts neither."""

import json
import signal
from typing import Any

from citadel.api.reasons import Reason
from citadel.core.failures import Failure
from citadel.core.jsonvalues import MAX_BYTES, InvalidValue, Json, normalise
from citadel.local.capture import Output
from citadel.local.languages import RESULT_BYTES


def verdict(said: bytes, code: int, output: Output) -> "Json | Failure":
    """The output of an attempt, or its failure."""
    if said.startswith(b"F"):
        return _failure(said[1:], output)
    if code < 0:
        return Failure.cut(
            Reason.ERROR, f"killed by {_signal(-code)}", exit_code=128 - code, log_tail=output.tail
        )
    if code > 0:
        return Failure.cut(Reason.ERROR, f"exit code {code}", exit_code=code, log_tail=output.tail)
    if not said.startswith(b"S"):
        return Failure.cut(Reason.ERROR, "the process ended before main returned", log_tail=output.tail)
    if len(said) - 1 > MAX_BYTES:
        size = f"{len(said) - 1} bytes of JSON, at most {MAX_BYTES} are allowed"
        return Failure.cut(Reason.OUTPUT_TOO_LARGE, f"the output is {size}", log_tail=output.tail)
    try:
        return output.masked_value(normalise(said[1:]))
    except InvalidValue as error:
        return Failure.cut(Reason.INVALID_OUTPUT, f"the output is not valid: {error}", log_tail=output.tail)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _failure(said: bytes, output: Output) -> Failure:
    try:
        # Not `normalise`: what a failure says may hold what no value may, and is cut and mended.
        data: Any = json.loads(said[:RESULT_BYTES])
        return Failure.cut(
            Reason(data["reason"]),
            output.masked(str(data["message"])),
            output.masked("\n".join(str(line) for line in data.get("traceback") or ())),
            data.get("exitCode"),
            output.tail,
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        return Failure.cut(Reason.ERROR, "the step failed, and did not say why", log_tail=output.tail)
