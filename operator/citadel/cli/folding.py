"""Which steps of an execution are shown: loops are folded where they have many turns, and what is urgent
stays where not all fits."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from citadel.cli.steps import Tree, has_ended
from citadel.core.instances import order
from citadel.core.telling import Told

#: Turns of a loop up to which all are shown.
FEW = 6
#: Failed turns of a folded loop that are shown.
_FAILED_SHOWN = 5
#: What is shown first when not all steps fit.
_URGENT = ("Failed", "Waiting", "Running", "BackingOff", "Ready", "Cancelled")


@dataclass(frozen=True)
class Line:
    """A step, and the lines that lead to it."""

    row: Told
    guide: str
    label: str
    note: str = ""
    """What of a loop is not shown."""


def lines_of(tree: Tree, room: int | None = None, *, folded: bool = True) -> tuple[list[Line], Counter[str]]:
    """The steps to show, at most `room` of them, and how many there are besides, by status.

    Without `folded` every turn of every loop is shown.
    """
    wanted = list(_wanted(tree, "", folded))
    shown = {row.name for row in wanted}
    hidden: Counter[str] = Counter()
    if room is not None and len(wanted) > room:
        shown = _fitting(tree, wanted, max(1, room - 1))
        hidden = Counter(row.status for row in wanted if row.name not in shown)
    lines: list[Line] = []
    _draw(tree, "", shown, "", bool(hidden), lines)
    return lines, hidden


def _wanted(tree: Tree, name: str, folded: bool) -> Iterator[Told]:
    inner = tree.inner(name)
    row = tree.get(name)
    if folded and row is not None and row.total is not None and len(inner) > FEW:
        inner = _urgent(inner)
    for found in inner:
        yield found
        yield from _wanted(tree, found.name, folded)


def _urgent(turns: list[Told]) -> list[Told]:
    """Of many turns those that are under way, and the first that failed."""
    failed = [row.name for row in turns if row.status == "Failed"][:_FAILED_SHOWN]
    return [row for row in turns if not has_ended(row) or row.name in failed]


def _fitting(tree: Tree, rows: list[Told], room: int) -> set[str]:
    """What fits, with what it is part of: urgent steps, then those that ended last, then those to come."""

    def rank(position: int) -> tuple[int, float]:
        row = rows[position]
        if row.status in _URGENT:
            return _URGENT.index(row.status), position
        return (len(_URGENT), -(row.finished or 0.0)) if has_ended(row) else (len(_URGENT) + 1, position)

    kept: set[str] = set()
    for position in sorted(range(len(rows)), key=rank):
        found, name = {rows[position].name}, rows[position].name
        while (name := tree.parent(name)) and name not in kept:
            found.add(name)
        if len(kept | found) <= room:
            kept |= found
        if len(kept) == room:
            break
    return kept


def _draw(tree: Tree, name: str, shown: set[str], before: str, more: bool, lines: list[Line]) -> None:
    inner = [row for row in tree.inner(name) if row.name in shown]
    for position, row in enumerate(inner):
        last = position == len(inner) - 1 and not (more and not name)
        label = f"finally: {row.name}" if row.final and not name else tree.label(row)
        lines.append(Line(row, before + ("└─" if last else "├─"), label, _note(tree, row)))
        _draw(tree, row.name, shown, before + ("   " if last else "│  "), more, lines)


def _note(tree: Tree, row: Told) -> str:
    """How far a loop is."""
    if row.total is None:
        return ""
    turns = [turn for turn in tree.inner(row.name) if turn.name.startswith(f"{row.name}[")]
    if turns and order(turns[0].name)[-1] == 1 and f"{row.name}[0]" != turns[0].name:
        return f"iteration {len(turns)}"
    counts = Counter(turn.status for turn in turns)
    note = f"{sum(map(has_ended, turns))}/{row.total}"
    return note + (f", {counts['Failed']} failed" if counts["Failed"] else "")
