"""An execution as people look at it: its phase, and its steps by what they are part of.

The same for a run on this machine, one in the cluster while it runs, and one that has ended.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from citadel.api.reasons import StepStatus
from citadel.core.instances import container, order
from citadel.core.state import Try
from citadel.core.telling import Told

_TERMINAL = frozenset(status.value for status in StepStatus if status.terminal)


def has_ended(row: Told) -> bool:
    """Whether a step is over."""
    return row.status in _TERMINAL


class Tree:
    """Steps by instance id, and by what they are part of; changed in place, as they change.

    Those of an execution that the step `bill` waits for are named `bill/charge`.
    """

    def __init__(self, rows: Iterable[Told] = ()) -> None:
        self._rows: dict[str, Told] = {}
        self._inner: dict[str, list[str]] = {}
        self._unsorted: set[str] = set()
        self.put(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Told]:
        return iter(self._rows.values())

    def get(self, name: str) -> Told | None:
        """A step; None where it is not known."""
        return self._rows.get(name)

    def put(self, rows: Iterable[Told], within: str = "") -> None:
        """These are so now; `within` is the step whose execution they are of."""
        found = [replace(row, name=f"{within}/{row.name}") if within else row for row in rows]
        new = [row.name for row in found if row.name not in self._rows]
        # All of them first: what is part of something may come before it.
        self._rows.update({row.name: row for row in found})
        for name in new:
            parent = self.parent(name)
            self._inner.setdefault(parent, []).append(name)
            self._unsorted.add(parent)

    def clear(self, within: str = "") -> None:
        """Forgets the steps of the execution that `within` waited for; without it, all of them."""
        gone = [name for name in self._rows if name.startswith(f"{within}/") or not within]
        for name in gone:
            del self._rows[name]
        lost = set(gone)
        self._inner = {
            name: [inner for inner in inners if inner not in lost]
            for name, inners in self._inner.items()
            if name not in lost
        }

    def inner(self, name: str = "") -> list[Told]:
        """What is part of a step, in the order of the definition; without a name what stands at the top."""
        if name in self._unsorted:
            self._unsorted.discard(name)
            self._inner[name].sort(key=lambda inner: self._place(name, inner))
        return [self._rows[inner] for inner in self._inner.get(name, ())]

    def parent(self, name: str) -> str:
        """The innermost step that is known of those that one is part of; empty for none."""
        return next((above for above in _around(name) if above in self._rows), "")

    def label(self, row: Told) -> str:
        """What a step is called below that one."""
        parent = self.parent(row.name)
        if row.name.startswith(f"{parent}["):
            return row.name.rpartition(".")[2].rpartition("/")[2]
        return row.name.removeprefix(parent).lstrip("./") if parent else row.name

    def _place(self, parent: str, name: str) -> tuple[bool, bool, int, tuple[int, ...]]:
        row = self._rows[name]
        # What a step waits for comes before what follows it.
        own = not name.startswith(f"{parent}/")
        return row.final, own, row.index, order(name)


def _around(name: str) -> Iterator[str]:
    """What a step is part of, innermost first."""
    while name:
        head, slash, tail = name.rpartition("/")
        inner = container(tail)
        name = f"{head}{slash}{inner}" if inner else head
        if name:
            yield name


@dataclass(frozen=True)
class View:
    """An execution as people look at it."""

    name: str
    phase: str
    reason: str = ""
    message: str = ""
    started: float | None = None
    finished: float | None = None
    steps: Tree = field(default_factory=Tree)
    counted: str = ""
    """The progress, where `steps` are not all steps."""
    ahead: float = 0.0
    """How much later it is where the times come from than it is here."""

    @property
    def now(self) -> float:
        """What time it is where the times come from."""
        return time.time() + self.ahead

    @property
    def progress(self) -> str:
        """`3/7`: how many steps have ended."""
        if self.counted:
            return self.counted
        return f"{sum(map(has_ended, self.steps))}/{len(self.steps)}" if len(self.steps) else ""


def rows_of_json(steps: Iterable[Mapping[str, Any]]) -> list[Told]:
    """The steps as the api or an Execution's status tells them; times as seconds or RFC 3339."""
    return [
        Told(
            str(step.get("name", "")),
            str(step.get("status", "")),
            int(step.get("attempt") or 0),
            str(step.get("reason") or ""),
            str(step.get("message") or ""),
            seconds_of(step.get("startedAt")),
            seconds_of(step.get("finishedAt")),
            seconds_of(step.get("readyAt")),
            seconds_of(step.get("beganAt")),
            tuple(_try(one) for one in step.get("tries") or ()),
            int(step.get("index") or 0),
            step.get("total"),
            bool(step.get("finally")),
            str(step.get("execution") or ""),
            str(step.get("action") or ""),
        )
        for step in steps
    ]


def _try(one: Mapping[str, Any]) -> Try:
    ready, ended = seconds_of(one.get("readyAt")), seconds_of(one.get("endedAt"))
    return Try(ready or 0.0, seconds_of(one.get("beganAt")), ended or 0.0, str(one.get("reason") or ""))


def seconds_of(at: Any) -> float | None:
    """Seconds since the epoch of a number or an RFC 3339 time; None for anything else."""
    if isinstance(at, int | float):
        return float(at)
    try:
        return datetime.fromisoformat(str(at)).timestamp() if at else None
    except ValueError:
        return None


def duration(seconds: float) -> str:
    """`0.3s`, `42s`, `3m20s`, `2h5m`, `4d3h`."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = int(seconds + 0.05)
    if whole < 60:
        return f"{whole}s"
    for size, unit, below, lower in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size}{unit}{rest}{lower}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def lasted(started: float | None, finished: float | None, now: float) -> str:
    """How long something took, or has taken until now; empty before it started."""
    return "" if started is None else duration((now if finished is None else finished) - started)
