"""Somebody who watches a run on this machine: a live tree on a terminal, else one line for each change."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from citadel.api.reasons import Phase, StepStatus
from citadel.cli.showing import Live
from citadel.cli.steps import Tree, View, duration
from citadel.cli.terminal import one_line, safe
from citadel.core.instances import around
from citadel.core.state import State, StepState, position
from citadel.core.summary import summarise, waits_for
from citadel.core.telling import news

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between two drawings.
_FRAME = 0.25


class Lines:
    """One line for each change, on stderr."""

    def __init__(self, logs: bool) -> None:
        self._logs = logs
        self._seen: dict[str, StepState] = {}

    def changed(self, state: State) -> None:
        """Tells which steps are elsewhere now."""
        self._tell(state, "")

    def within(self, step: str, state: State) -> None:
        """The same of an execution that a step waits for."""
        self._tell(state, f"{step}/")

    def _tell(self, state: State, before: str) -> None:
        plan = state.plan
        if plan is None:
            return
        news = [name for name, step in state.steps.items() if self._seen.get(before + name) is not step]

        def place(name: str) -> tuple[bool, int, object]:
            """What has ended comes before what begins for it, inner steps before what they are part of."""
            over = state.steps[name].status.terminal
            return not over, -len(list(around(name))) if over else 0, position(plan, name)

        for name in sorted(news, key=place):
            step = state.steps[name]
            known = self._seen.get(before + name, StepState())
            self._seen[before + name] = step
            if (known.status, known.attempt) != (step.status, step.attempt) and (text := _told(state, name)):
                click.echo(f"{before}{name}: {one_line(text)}", err=True)

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """Shows a line that a step printed."""
        if self._logs:
            click.echo(f"{step} | {safe(line)}", err=True)

    def said(self, text: str) -> None:
        """Says something of the run as a whole."""
        click.echo(safe(text), err=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A question needs no room that is not there."""
        yield

    def close(self) -> None:
        """Nothing is left to be shown."""


def _told(state: State, name: str) -> str:
    """What became of a step, in words; empty for what is no news to people."""
    step = state.steps[name]
    took = "" if step.started_at is None else duration((step.finished_at or 0.0) - step.started_at)
    failure = f"{step.failure.reason}: {step.failure.message}" if step.failure else ""
    match step.status:
        case StepStatus.RUNNING:
            return "running" + (f", attempt {step.attempt}" if step.attempt > 1 else "")
        case StepStatus.WAITING:
            return f"waits {waits_for(state, name)[1]}"
        case StepStatus.SUCCEEDED:
            # What was handled, or tolerated of a loop, is told all the same.
            return "succeeded" + (f" in {took}" if took else "") + (f" ({failure})" if failure else "")
        case StepStatus.SKIPPED:
            return f"skipped ({step.reason}: {step.message})"
        case StepStatus.BACKING_OFF:
            pause = duration(step.ready_at - time.time())
            why = failure or step.tries[-1].reason
            return f"attempt {step.attempt - 1} failed ({why}), next in {pause}"
        case StepStatus.FAILED | StepStatus.CANCELLED:
            return step.status.lower() + (f" ({failure})" if failure else "")
    return ""


class InPlace:
    """A tree of steps on a terminal that is drawn anew as they change."""

    def __init__(self, console: "Console", workflow: str, logs: bool) -> None:
        self._workflow, self._logs = workflow, logs
        self._state: State | None = None
        self._within: dict[str, State] = {}
        """The executions that steps have wanted, by the steps."""
        self._drawn: dict[str, State] = {}
        self._tree = Tree()
        self._live = Live(console)
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(_FRAME, self._draw)

    def changed(self, state: State) -> None:
        """Draws the state, soon."""
        self._state = state

    def within(self, step: str, state: State) -> None:
        """Draws the state of an execution that a step waits for, soon."""
        self._within[step] = state

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """Shows a line above the tree."""
        if self._logs:
            self._live.above(f"{step} | ", line)

    def said(self, text: str) -> None:
        """Says something of the run as a whole, above the tree."""
        self._live.above("", text)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The tree stays above a question, and comes back after it."""
        self._next.cancel()
        try:
            with self._live.aside(self._view()):
                yield
        finally:
            self._draw()

    def close(self) -> None:
        """Draws the end, which stays."""
        self._next.cancel()
        self._live.close(self._view())

    def _draw(self) -> None:
        self._live.update(self._view())
        self._next = self._loop.call_later(_FRAME, self._draw)

    def _view(self) -> View:
        state = self._state
        if state is None:
            return View(self._workflow, Phase.PENDING)
        for step, found in ("", state), *self._within.items():
            before = self._drawn.get(step, State())
            if before.created is not found.created:
                # Another execution than before: of another attempt.
                self._tree.clear(step) if step else None
                before = State()
            self._tree.put(news(before, found), step)
            self._drawn[step] = found
        summary = summarise(state)
        return View(
            self._workflow,
            summary.phase,
            summary.reason,
            summary.message,
            state.created_at or None,
            state.finished_at,
            self._tree,
            f"{state.ended_steps}/{state.total_steps}",
        )


def on_stderr(workflow: str, logs: bool) -> InPlace | Lines:
    """Whoever watches a run at the standard error, as what that is."""
    if not sys.stderr.isatty():
        return Lines(logs)
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    in_place = console.is_terminal and not console.is_dumb_terminal
    return InPlace(console, workflow, logs) if in_place else Lines(logs)
