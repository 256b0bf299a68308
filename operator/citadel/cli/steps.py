"""The steps of an execution on a terminal: one line each, with status, attempt, duration and message.

The same view for a run on this machine, one in the cluster while it runs, and one that has ended. Must never
obey what user code wrote: names and messages are shown as text.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from citadel.api.reasons import StepStatus
from citadel.cli.terminal import one_line
from citadel.core.state import listed
from citadel.core.summary import step_words

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from citadel.core.state import State, StepState

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
#: What is shown first when not all steps fit.
_URGENT = ("Failed", "Waiting", "Running", "BackingOff", "Ready", "Cancelled")


@dataclass(frozen=True)
class StepRow:
    """One step. Times are seconds since the epoch."""

    name: str
    status: str
    attempt: int = 0
    reason: str = ""
    message: str = ""
    started: float | None = None
    finished: float | None = None


@dataclass(frozen=True)
class View:
    """An execution as people look at it."""

    name: str
    phase: str
    reason: str = ""
    message: str = ""
    started: float | None = None
    finished: float | None = None
    steps: Sequence[StepRow] = ()
    counted: str = ""
    """The progress, where `steps` are not all steps."""

    @property
    def progress(self) -> str:
        """`3/7`: how many steps have ended."""
        if self.counted:
            return self.counted
        return f"{sum(_ended(row) for row in self.steps)}/{len(self.steps)}" if self.steps else ""


def rows_of_state(state: "State") -> list[StepRow]:
    """The steps of the engine's state."""

    def row(name: str, step: "StepState") -> StepRow:
        reason, message = step_words(state, name)
        return StepRow(
            name,
            step.status,
            step.attempt,
            str(reason or ""),
            message or "",
            step.started_at,
            step.finished_at,
        )

    return [row(name, step) for name, step in listed(state)]


def rows_of_json(steps: Iterable[Mapping[str, Any]]) -> list[StepRow]:
    """The steps as the api or an Execution's status tells them; times as seconds or RFC 3339."""
    return [
        StepRow(
            str(step.get("name", "")),
            str(step.get("status", "")),
            int(step.get("attempt") or 0),
            str(step.get("reason") or ""),
            str(step.get("message") or ""),
            seconds_of(step.get("startedAt")),
            seconds_of(step.get("finishedAt")),
        )
        for step in steps
    ]


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


def render(view: View, now: float, height: int | None = None) -> "Group":
    """The view for a rich console; with `height`, at most that many lines, what is urgent first."""
    from rich.console import Group
    from rich.table import Table

    shown = list(view.steps) if height is None else _fitting(view.steps, height - 2)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim")
    grid.add_column()
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="ellipsis", no_wrap=height is not None)
    hidden = Counter(row.status for row in view.steps) - Counter(row.status for row in shown)
    for index, row in enumerate(shown):
        guide = "└─" if index == len(shown) - 1 and not hidden else "├─"
        grid.add_row(guide, *_cells(row, now))
    lines: list[Any] = [_title(view, now), grid]
    if hidden:
        counts = ", ".join(f"{count} {status}" for status, count in hidden.most_common())
        lines.append(_text(f"└─ and {counts}", "dim"))
    return Group(*lines)


def _title(view: View, now: float) -> "Text":
    mark, style = _MARKS.get(view.phase, ("○", ""))
    title = _text(f"{mark} ", style)
    title.append(one_line(view.name), "bold")
    title.append(f"  {view.phase or 'Pending'}", style)
    parts = (view.progress, lasted(view.started, view.finished, now))
    title.append("".join(f"  {part}" for part in parts if part))
    if (
        view.reason and view.reason != view.phase and view.reason not in ("Completed", "Accepted")
    ) or view.message:
        told = ": ".join(part for part in (view.reason, view.message) if part)
        title.append(f"  {one_line(told)}", "" if view.phase == "Succeeded" else style)
    return title


def _cells(row: StepRow, now: float) -> "list[Text]":
    mark, style = _MARKS.get(row.status, ("○", ""))
    status = row.status + (f" (attempt {row.attempt})" if row.attempt > 1 else "")
    told = ": ".join(part for part in (row.reason, row.message) if part)
    return [
        _text(mark, style),
        _text(one_line(row.name), "dim" if row.status == "Pending" else ""),
        _text(status, style),
        _text(lasted(row.started, row.finished, now)),
        _text(one_line(told), "red" if row.status == "Failed" else "dim"),
    ]


def _text(text: str, style: str = "") -> "Text":
    from rich.text import Text

    return Text(text, style)


def _ended(row: StepRow) -> bool:
    return row.status in {status.value for status in StepStatus if status.terminal}


def _fitting(rows: Sequence[StepRow], room: int) -> list[StepRow]:
    """The rows that fit: urgent ones, then those that ended last, then those to come; in their own order."""
    if len(rows) <= room:
        return list(rows)

    def rank(index: int) -> tuple[int, float]:
        row = rows[index]
        if row.status in _URGENT:
            return _URGENT.index(row.status), index
        return (len(_URGENT), -(row.finished or 0.0)) if _ended(row) else (len(_URGENT) + 1, index)

    kept = sorted(range(len(rows)), key=rank)[: max(1, room - 1)]
    return [rows[index] for index in sorted(kept)]
