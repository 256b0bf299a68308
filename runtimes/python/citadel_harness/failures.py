"""Why an attempt failed, in words and lines that are the user's own."""

import os

MODULE = "step"  # the name of the module that holds the user's code
OURS = os.path.dirname(os.path.abspath(__file__)) + "/"


class Failure(Exception):
    """Why an attempt failed, as the protocol wants it."""

    def __init__(self, reason, message, traceback=(), exit_code=None):
        super().__init__(message)
        self.wire = {"reason": reason, "message": message, "traceback": list(traceback)}
        if exit_code is not None:
            self.wire["exitCode"] = exit_code


def describe(error):
    """Type and message, as the last line of a traceback says it."""
    text = text_of(error)
    return f"{type_name(error)}: {text}" if text else type_name(error)


def type_name(value):
    kind = type(value)
    own = kind.__module__ in ("builtins", MODULE)
    return kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"


def text_of(value):
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except Exception as error:
        return f"<str() failed with {type(error).__name__}>"


def user_traceback(error, is_own):
    """The frames of the user's own code, with causes, as Python shows them, without what the message says."""
    import traceback

    inside = os.getcwd().rstrip("/") + "/"

    def is_shown(name):
        return is_own(name) or (name.startswith(inside) and not name.startswith(OURS))

    def own(found):
        found.stack = traceback.StackSummary.from_list([f for f in found.stack if is_shown(f.filename)])
        for other in [found.__cause__, found.__context__, *(getattr(found, "exceptions", None) or ())]:
            if other is not None:
                own(other)

    formatted = traceback.TracebackException.from_exception(error, compact=True)
    own(formatted)
    lines = "".join(formatted.format()).splitlines()
    if not hasattr(formatted, "exceptions") or not formatted.exceptions:
        said = list(formatted.format_exception_only())
        count = len("".join(said).splitlines())
        lines = lines[:-count] if count else lines
    return [text_of(line) for line in lines if line != "Traceback (most recent call last):"]
