"""When steps waited and ran: bars on one axis of time, as wide as there is room."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from citadel.core.telling import Told

#: What is drawn for each kind of piece: its glyph, and its style where that is not the status'.
WAITED, RAN, FAILED, AROUND, OUTSIDE = "░", "█", "▓", "━", "─"
_OUTSIDE = frozenset(("wait", "approval", "workflow", "llm", "tool"))
_STYLES = {
    "Succeeded": "green",
    "Failed": "red",
    "Cancelled": "yellow",
    "Running": "cyan",
    "Waiting": "yellow",
}
_NICE = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
_DAY = 86400.0
#: Cells that a mark of the scale takes at least.
_MARK = 9
_SHORTEST = 1.0

Painted = list[tuple[str, str]]
"""Texts with their styles."""


@dataclass(frozen=True)
class Axis:
    """From when to when, on how many cells."""

    start: float
    end: float
    width: int

    def cell(self, at: float) -> int:
        """Where a time stands."""
        share = (at - self.start) / max(self.end - self.start, _SHORTEST)
        return max(0, min(self.width - 1, int(share * self.width)))


@dataclass(frozen=True)
class Piece:
    """A part of a bar."""

    begin: float
    end: float
    glyph: str
    style: str


def pieces(row: Told, now: float) -> Iterator[Piece]:
    """What a step did and when, its tries one after another."""
    for one in row.tries:
        yield Piece(one.ready_at, one.ended_at if one.began_at is None else one.began_at, WAITED, "dim")
        if one.began_at is not None:
            yield Piece(one.began_at, one.ended_at, FAILED, "red")
    style = _STYLES.get(row.status, "")
    end = now if row.finished is None else row.finished
    if row.action == "steps" or row.total is not None:
        if row.started is not None:
            yield Piece(row.started, end, AROUND, style)
        return
    if row.action in _OUTSIDE:
        if row.began is not None:
            yield Piece(row.began, end, OUTSIDE, style)
        return
    ready = row.started if row.ready is None else row.ready
    began = row.started if row.ready is None else row.began
    if ready is not None and ready < end:
        yield Piece(ready, end if began is None else began, WAITED, "dim")
    if began is not None:
        yield Piece(began, end, RAN, style)


def bar(row: Told, axis: Axis, now: float) -> Painted:
    """The bar of a step; every piece has a cell at least, unless the next one begins there."""
    cells: list[tuple[str, str]] = [(" ", "")] * axis.width
    for piece in pieces(row, now):
        first = axis.cell(piece.begin)
        if piece.end < piece.begin or (piece.end == piece.begin and piece.glyph == WAITED):
            continue
        last = max(first, axis.cell(piece.end) - (piece.end < axis.end))
        cells[first : last + 1] = [(piece.glyph, piece.style)] * (last + 1 - first)
    return [(glyph * len(list(same)), style) for (glyph, style), same in groupby(cells)]


def scale(axis: Axis) -> str:
    """The marks of the axis, in time since its start."""
    span = max(axis.end - axis.start, _SHORTEST)
    step = _step(span, max(1, axis.width // _MARK))
    text = ""
    count = 0
    while count * step <= span:
        label, at = _mark(count * step), int(count * step / span * axis.width)
        if at + len(label) > axis.width:
            break
        text = f"{text:<{at}}{label}"
        count += 1
    return text


def _step(span: float, marks: int) -> float:
    """A round distance between marks, of which there are so many at most."""
    for step in _NICE:
        if span / step <= marks:
            return float(step)
    days = 1
    while span / (days * _DAY) > marks:
        days *= 2
    return days * _DAY


def _mark(seconds: float) -> str:
    """`0`, `0.2s`, `15s`, `1m30s`, `2h`, `3d`."""
    if seconds == 0:
        return "0"
    if seconds != int(seconds):
        return f"{seconds:.1f}s"
    left, found = int(seconds), ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if left >= size:
            found += f"{left // size}{unit}"
            left %= size
    return found


def axis_of(rows: Sequence[Told], started: float | None, end: float, width: int) -> Axis | None:
    """The axis for these steps; None before anything has happened."""
    times = [at for row in rows for at in (row.ready, row.started) if at is not None]
    starts = [*times, *([] if started is None else [started])]
    return Axis(min(starts), end, width) if starts else None
