"""Where a view of an execution goes: in place on a terminal, else one line for each change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol

import click

from citadel.api.reasons import Phase, Reason
from citadel.cli.drawing import Frame, render
from citadel.cli.steps import View, lasted
from citadel.cli.terminal import one_line, safe
from citadel.core.telling import Told

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live as RichLive


class Show(Protocol):
    """Where a view goes."""

    def update(self, view: View) -> None:
        """How the execution stands now."""

    def close(self, view: View) -> None:
        """How it ended, or how it stood last."""


class Live:
    """The view in place, on a terminal."""

    def __init__(self, console: "Console", gantt: bool | None = None) -> None:
        self._console, self._gantt = console, gantt
        self._width = console.width
        self._live = self._begun()

    def update(self, view: View) -> None:
        """Draws the view over the one before."""
        width = self._console.width
        if width < self._width:
            # What is there was folded by the terminal: nobody knows any more how many lines it takes.
            self._live.stop()
            self._console.clear()
            self._live = self._begun()
        self._width = width
        self._live.update(render(view, view.now, self._frame()), refresh=True)

    def above(self, label: str, text: str) -> None:
        """Prints a line above the view."""
        from rich.text import Text

        self._console.print(Text.assemble((label, "dim"), safe(text)), soft_wrap=True)

    @contextmanager
    def aside(self, view: View) -> Iterator[None]:
        """The view stays above something else, and comes back below it with the next update."""
        self._live.stop()
        self._console.print(render(view, view.now, self._frame()), soft_wrap=True)
        try:
            yield
        finally:
            self._live = self._begun()

    def close(self, view: View) -> None:
        """Draws the view once more, which stays."""
        self._live.stop()
        show_once(self._console, view, self._gantt)

    def _frame(self) -> Frame:
        return Frame(self._console.width, self._console.height - 1, self._gantt, folded=True)

    def _begun(self) -> "RichLive":
        from rich.live import Live as RichLive

        live = RichLive(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live


def show_once(console: "Console", view: View, gantt: bool | None = None) -> None:
    """Prints a view to stay."""
    width = console.width if console.is_terminal or gantt else None
    console.print(render(view, view.now, Frame(width, None, gantt, folded=True)), soft_wrap=True)


class Lines:
    """One line for each change of a step, where nothing can be redrawn."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._told: dict[str, tuple[str, int]] = {}
        self._waits = False

    def update(self, view: View) -> None:
        """Tells which steps are elsewhere now, and that it waits for its turn."""
        waits = (view.phase, view.reason) == (Phase.PENDING, Reason.CONCURRENCY_LIMIT)
        if waits and not self._waits:
            self._write(f"{view.name}  {view.phase}  {view.reason}: {one_line(view.message)}")
        self._waits = waits
        for row in view.steps:
            now = (row.status, row.attempt)
            if self._told.get(row.name, ("Pending", 0)) != now and row.status != "Ready":
                self._write(_told(row))
            self._told[row.name] = now

    def close(self, view: View) -> None:
        """Tells how it ended."""
        self.update(view)
        told = (view.phase, view.progress, lasted(view.started, view.finished, view.now))
        message = f": {one_line(view.message)}" if view.message else ""
        self._write(f"{view.name}  {'  '.join(part for part in told if part)}{message}")


def _told(row: Told) -> str:
    attempt = f" (attempt {row.attempt})" if row.attempt > 1 else ""
    took = f"  {lasted(row.started, row.finished, 0.0)}" if row.finished and row.started else ""
    why = ": ".join(one_line(part) for part in (row.reason, row.message) if part)
    return f"{one_line(row.name)}  {row.status}{attempt}{took}" + (f"  {why}" if why else "")


class Last:
    """The view at the end alone."""

    def __init__(self, console: "Console", gantt: bool | None) -> None:
        self._console, self._gantt = console, gantt

    def update(self, view: View) -> None:
        """Nothing yet."""

    def close(self, view: View) -> None:
        """Prints it."""
        show_once(self._console, view, self._gantt)


def show_on(file: IO[str], gantt: bool | None = None) -> Show:
    """A live view where that is a terminal; else lines, or the last view where bars are asked for."""
    from rich.console import Console

    console = Console(file=file, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return Live(console, gantt)
    if gantt:
        return Last(console, gantt)
    return Lines(lambda line: click.echo(line, file=file))
