"""Outputs as JSON: exactly what the step returned, or a failure that says what of it JSON cannot hold."""

from citadel_harness.failures import Failure, text_of, type_name

MAX_DEPTH = 64


def encode_output(value, limit):
    """The output as JSON, or a Failure that names the place of what JSON cannot hold."""
    import json

    check_shape(value)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        refuse_offender(value, "output")
        raise Failure("InvalidOutput", f"the output is not JSON: {error}") from None
    if "\\u0000" in text:
        refuse_offender(value, "output")
    if len(data) > limit:
        said = f"the output is {len(data)} bytes of JSON, at most {limit} are allowed"
        raise Failure("OutputTooLarge", said)
    return data


def check_shape(value):
    """Keys and depth, level by level: json.dumps would silently turn keys into strings."""
    level, depth = [value], 0
    while level:
        inner = []
        for container in level:
            if isinstance(container, dict):
                for key in container:
                    if not isinstance(key, str):
                        refuse_offender(value, "output")
                items = container.values()
            elif isinstance(container, (list, tuple)):
                items = container
            else:
                continue
            inner += [item for item in items if isinstance(item, (dict, list, tuple))]
        depth += 1
        if inner and depth > MAX_DEPTH - 1:
            said = f"the output is nested deeper than {MAX_DEPTH} levels, or contains itself"
            raise Failure("InvalidOutput", said)
        level = inner


def refuse_offender(value, path):
    """Raise the Failure for the first thing in value that may not leave."""
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        if "\0" in value:
            raise Failure("InvalidOutput", f"{path} holds the character NUL")
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
            raise Failure("InvalidOutput", f"{path} holds a lone surrogate, which is no character")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Failure("InvalidOutput", f"{path} is {value}, which JSON cannot hold")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                name = f"{path} has the key {text_of(repr(key))[:100]} ({type(key).__name__})"
                raise Failure("InvalidOutput", f"{name}, expected a string")
            refuse_offender(key, f"a key of {path}")
            place = f"{path}.{key}" if key.isidentifier() else f"{path}[{text_of(repr(key))[:100]}]"
            refuse_offender(item, place)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            refuse_offender(item, f"{path}[{index}]")
    else:
        raise Failure("InvalidOutput", f"{path} is a {type_name(value)}, which JSON cannot hold")
