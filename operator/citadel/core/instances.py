"""Ids of step instances: the path of a step in its definition, with the number of each item or iteration.

`fix[2].write` is the step `write` of the group `fix` in its second iteration. Without the numbers it is the
definition path `fix.write`. `fix` and `fix[2]` are instances of one definition: the loop, and one turn of it.
Handlers and compensations have the reserved names `onError` and `compensate` below their step.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

#: What a handler and a compensation are called, below their step.
ON_ERROR, COMPENSATE = "onError", "compensate"
_NUMBER = re.compile(r"\[[0-9]+\]")
_TURN = re.compile(r"(.*)\[([0-9]+)\]")


@lru_cache(maxsize=16384)
def definition(instance: str) -> str:
    """The definition path of an instance."""
    return _NUMBER.sub("", instance) if "[" in instance else instance


def turn(instance: str) -> tuple[str, int] | None:
    """The loop that an item or iteration belongs to, and its number; None for any other instance."""
    found = _TURN.fullmatch(instance) if instance.endswith("]") else None
    return (found[1], int(found[2])) if found else None


def container(instance: str) -> str:
    """The instance that this one is part of; empty at the top."""
    if (found := turn(instance)) is not None:
        return found[0]
    return instance.rpartition(".")[0]


def around(instance: str) -> Iterator[str]:
    """What an instance, or a definition, is part of, innermost first."""
    while instance := container(instance):
        yield instance


def is_meant(instance: str, name: str) -> bool:
    """Whether an instance is what a name means, or is within that: an instance, or a definition in all its
    turns.
    """
    return any(name in (part, definition(part)) for part in (instance, *around(instance)))


def turns(instance: str) -> list[tuple[str, int]]:
    """The loops around an instance and the number of its turn in each, innermost first; its own included."""
    return [own for name in (instance, *around(instance)) if (own := turn(name)) is not None]


def visible(reader: str, path: str) -> str:
    """The instance of the definition `path` that `reader` sees: next to it, or next to what it is part of."""
    above = path.count(".")
    return f"{'.'.join(reader.split('.')[:above])}.{path.rpartition('.')[2]}" if above else path


def failed_step_of(handler: str) -> str | None:
    """The step whose failure an instance within a handler handles; None outside of any."""
    parts = handler.split(".")
    for position in range(len(parts) - 1, 0, -1):
        if parts[position] == ON_ERROR:
            return ".".join(parts[:position])
    return None


@lru_cache(maxsize=16384)
def order(instance: str) -> tuple[int, ...]:
    """The numbers in an id, to sort turns of one definition by."""
    return tuple(int(number[1:-1]) for number in _NUMBER.findall(instance)) if "[" in instance else ()
