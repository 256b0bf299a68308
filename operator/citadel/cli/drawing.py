"""An execution on a terminal: a line for each step, in the width that there is, and when each ran.

Must never obey what user code wrote: names and messages are shown as text.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from citadel.cli.folding import Line, lines_of
from citadel.cli.gantt import Axis, axis_of, bar, scale
from citadel.cli.steps import View, duration, lasted
from citadel.cli.terminal import one_line
from citadel.core.telling import Told

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

_MARKS = MappingProxyType(
    {
        "Succeeded": ("✔", "green"),
        "Failed": ("✘", "red"),
        "TimedOut": ("✘", "red"),
        "Cancelled": ("✘", "yellow"),
        "Skipped": ("–", "dim"),
        "Running": ("●", "cyan"),
        "Ready": ("○", "cyan"),
        "BackingOff": ("↻", "yellow"),
        "Waiting": ("○", "yellow"),
        "Suspended": ("‖", "yellow"),
        "Pending": ("○", "dim"),
    }
)
#: Columns from which bars are drawn unless somebody says otherwise, and what they take at least.
_WIDE = 100
_BARS = 24
#: Columns that messages get beside bars; with fewer there are none.
_MESSAGES = 28


@dataclass(frozen=True)
class Frame:
    """What there is room for; None: as much as there is."""

    width: int | None = None
    height: int | None = None
    gantt: bool | None = None
    """Whether bars are drawn; None: where they fit well."""
    folded: bool = False
    """Whether loops of many turns are shown in short."""


@dataclass(frozen=True)
class _Columns:
    """How wide each is."""

    label: int
    status: int
    took: int
    bars: int = 0
    told: int | None = None
    """Of messages on one line; None: as wide as they are."""
    folded: int | None = None
    """Of messages that go on below."""


def render(view: View, now: float, frame: Frame = Frame()) -> "Group":
    """The view for a rich console."""
    from rich.console import Group
    from rich.text import Text

    room = None if frame.height is None else max(1, frame.height - 2)
    lines, hidden = lines_of(view.steps, room, folded=frame.folded)
    columns = _columns(lines, now, frame)
    end = view.finished if view.finished is not None else now
    axis = axis_of([line.row for line in lines], view.started, end, columns.bars) if columns.bars else None
    title = _title(view, now)
    texts = [_line(line, now, columns, axis) for line in lines]
    if hidden:
        counts = ", ".join(f"{count} {status}" for status, count in hidden.most_common())
        texts.append(Text(f"└─ and {counts}", "dim"))
    if axis is not None:
        before = columns.label + columns.status + columns.took + 4
        texts.append(Text(" " * before + scale(axis), "dim"))
    if frame.width is not None and (frame.height is not None or axis is not None):
        for text in texts if frame.height is None else (title, *texts):
            text.truncate(frame.width, overflow="ellipsis")
    return Group(title, *texts)


def _columns(lines: list[Line], now: float, frame: Frame) -> _Columns:
    from rich.cells import cell_len

    label = max((cell_len(_name(line)) for line in lines), default=0)
    status = max((len(_status(line.row)) for line in lines), default=0)
    took = max((len(_took(line.row, now)) for line in lines), default=0)
    if frame.width is None:
        return _Columns(label, status, took)
    label = min(label, max(16, frame.width * 2 // 5))
    rest = frame.width - (label + status + took + 5)
    told = max((cell_len(_told(line.row, now)) for line in lines), default=0)
    both = rest > _BARS + _MESSAGES
    fits = frame.width >= _WIDE and (both or not told) if frame.gantt is None else frame.gantt
    if not fits or not lines or rest < 10:
        folded = rest if frame.height is None and rest >= 12 else None
        return _Columns(label, status, took, folded=folded)
    if told and both:
        told = min(told, max(_MESSAGES, rest * 2 // 5))
        return _Columns(label, status, took, rest - told - 1, told)
    return _Columns(label, status, took, rest, 0)


def _title(view: View, now: float) -> "Text":
    from rich.text import Text

    mark, style = _MARKS.get(view.phase, ("○", ""))
    title = Text.assemble(
        (f"{mark} ", style), (one_line(view.name), "bold"), (f"  {view.phase or 'Pending'}", style)
    )
    parts = (view.progress, lasted(view.started, view.finished, now))
    title.append("".join(f"  {part}" for part in parts if part))
    if (
        view.reason and view.reason != view.phase and view.reason not in ("Completed", "Accepted")
    ) or view.message:
        told = ": ".join(part for part in (view.reason, view.message) if part)
        title.append(f"  {one_line(told)}", "" if view.phase == "Succeeded" else style)
    return title


def _line(line: Line, now: float, columns: _Columns, axis: Axis | None) -> "Text":
    from rich.text import Text

    row = line.row
    mark, style = _MARKS.get(row.status, ("○", ""))
    name = _fitted(_name(line), columns.label)
    guide = len(line.guide)
    text = Text.assemble(
        (name[:guide], "dim"),
        (name[guide : guide + 1], ""),
        (mark, style),
        (name[guide + 2 :], "dim" if row.status == "Pending" else ""),
        f" {_status(row):<{columns.status}} {_took(row, now):>{columns.took}}",
    )
    text.stylize(style, len(text) - columns.took - columns.status - 1, len(text) - columns.took)
    if axis is not None:
        text.append("  ")
        for part, painted in bar(row, axis, now):
            text.append(part, painted)
    told = _told(row, now)
    style = "red" if row.status == "Failed" else "dim"
    if told and columns.folded is not None:
        below = "\n" + " " * (columns.label + columns.status + columns.took + 3)
        text.append(f" {below.join(_folded(told, columns.folded))}", style)
    elif told and columns.told != 0:
        text.append(f" {told if columns.told is None else _fitted(told, columns.told).rstrip()}", style)
    text.rstrip()
    return text


def _name(line: Line) -> str:
    """Guide, a place for the mark, and the step's name."""
    note = f"  {line.note}" if line.note else ""
    return f"{line.guide}   {one_line(line.label)}{note}"


def _status(row: Told) -> str:
    return row.status + (f" (attempt {row.attempt})" if row.attempt > 1 else "")


def _took(row: Told, now: float) -> str:
    return lasted(row.started, row.finished, now)


def _told(row: Told, now: float) -> str:
    """Why a step is as it is."""
    why = one_line(": ".join(part for part in (row.reason, row.message) if part))
    match row.status:
        case "Waiting":
            return one_line(row.message or row.reason)
        case "Ready" if not why:
            return "waits for a sandbox"
        case "BackingOff" if row.ready is not None:
            failed = why or (one_line(row.tries[-1].reason) if row.tries else "")
            return f"again in {duration(row.ready - now)}" + (f", after {failed}" if failed else "")
    return why


def _folded(text: str, width: int) -> list[str]:
    """The text in lines of at most so many cells."""
    from rich.console import Console
    from rich.text import Text

    return [str(line).rstrip() for line in Text(text).wrap(Console(), width)]


def _fitted(text: str, width: int) -> str:
    """The text in exactly so many cells."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(0, width - 1)) + "…"
