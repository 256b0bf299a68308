"""The output of a container step on this machine: what its command has left in the file CITADEL_OUTPUT.

The command may have put anything there: no link is followed, and nothing but a regular file is read.
"""

import os
import stat
from pathlib import Path

from citadel.api.reasons import Reason
from citadel.core.failures import Failure
from citadel.core.jsonvalues import MAX_BYTES, InvalidValue, Json, normalise
from citadel.local.capture import Output


def output_of(path: Path, output: Output) -> "Json | Failure":
    """The JSON in the file, null where there is none; why it is no output."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError:
        what = "a symbolic link, expected a regular file" if path.is_symlink() else "not to be read"
        return _invalid(f"CITADEL_OUTPUT is {what}", output)
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            return _invalid("CITADEL_OUTPUT is not a regular file", output)
        if info.st_size > MAX_BYTES:
            found = f"the output is {info.st_size} bytes of JSON, at most {MAX_BYTES} are allowed"
            return Failure.cut(Reason.OUTPUT_TOO_LARGE, found, log_tail=output.tail)
        said = file.read(MAX_BYTES)
    if not said:
        return None
    try:
        return output.masked_value(normalise(said))
    except InvalidValue as error:
        return _invalid(f"CITADEL_OUTPUT is not valid: {error}", output)


def _invalid(message: str, output: Output) -> Failure:
    return Failure.cut(Reason.INVALID_OUTPUT, message, log_tail=output.tail)
