"""Somebody who watches a run on this machine: a live tree on a terminal, else one line for each change."""

import time
from typing import TYPE_CHECKING

import click

from citadel.api.reasons import StepStatus
from citadel.cli.steps import View, duration, rows_of_state
from citadel.cli.terminal import one_line, safe
from citadel.core.state import State, StepState, listed

if TYPE_CHECKING:
    from rich.console import ConsoleRenderable


class Lines:
    """One line for each change, on stderr."""

    def __init__(self, logs: bool) -> None:
        self._logs = logs
        self._seen: dict[str, StepState] = {}

    def changed(self, state: State) -> None:
        """Tells which steps are elsewhere now."""
        for name, step in listed(state):
            if self._seen.get(name) is step:
                continue
            before = self._seen.get(name, StepState())
            self._seen[name] = step
            if (before.status, before.attempt) != (step.status, step.attempt) and (text := _told(step)):
                click.echo(f"{name}: {one_line(text)}", err=True)

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """Shows a line that a step printed."""
        if self._logs:
            click.echo(f"{step} | {safe(line)}", err=True)

    def close(self) -> None:
        """Nothing is left to be shown."""


def _told(step: StepState) -> str:
    """What became of a step, in words; empty for what is no news to people."""
    took = "" if step.started_at is None else duration((step.finished_at or 0.0) - step.started_at)
    failure = f"{step.failure.reason}: {step.failure.message}" if step.failure else ""
    match step.status:
        case StepStatus.RUNNING:
            return "running" + (f", attempt {step.attempt}" if step.attempt > 1 else "")
        case StepStatus.SUCCEEDED:
            return f"succeeded in {took}"
        case StepStatus.SKIPPED:
            return f"skipped ({step.reason}: {step.message})"
        case StepStatus.BACKING_OFF:
            pause = duration(step.ready_at - time.time())
            return f"attempt {step.attempt - 1} failed ({failure}), next in {pause}"
        case StepStatus.FAILED | StepStatus.CANCELLED:
            return f"{step.status.lower()} ({failure})"
    return ""


class Tree:
    """A tree of steps that is drawn anew as they change."""

    def __init__(self, workflow: str, logs: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._workflow, self._logs = workflow, logs
        self._state: State | None = None
        self._console = Console(stderr=True, highlight=False)
        self._live: Live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def changed(self, state: State) -> None:
        """Draws the state."""
        self._state = state

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """Shows a line above the tree."""
        if self._logs:
            from rich.text import Text

            self._console.print(Text.assemble((f"{step} | ", "dim"), safe(line)), soft_wrap=True)

    def close(self) -> None:
        """Draws the end, which stays."""
        self._live.stop()

    def _render(self) -> "ConsoleRenderable | str":
        from citadel.cli.steps import render

        state = self._state
        if state is None:
            return ""
        ended = state.finished
        view = View(
            name=self._workflow,
            phase=str(ended.phase) if ended else "Running",
            reason=str(ended.reason) if ended else "",
            started=state.created_at or None,
            finished=state.finished_at,
            steps=rows_of_state(state),
        )
        return render(view, time.time(), None if ended else max(4, self._console.height - 1))
