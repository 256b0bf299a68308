"""`citadel eval` on this machine: the Workflow of an evaluation, run as `citadel run --local` does."""

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from citadel.cli.remote import ExitCode
from citadel.cli.terminal import safe
from citadel.core.state import State

if TYPE_CHECKING:
    from citadel.local.evaluations import EvaluationDocument
    from citadel.local.isolation import Wanted
    from citadel.local.outcomes import Outcome


def evaluate_here(
    document: "EvaluationDocument",
    isolation: "Wanted",
    network: bool,
    tell: "Callable[[Sequence[Outcome]], int]",
) -> int:
    """Runs all of it; `tell` is told what came of the runs, and says the exit code."""
    from citadel.local.evaluating import evaluate, prepared
    from citadel.local.isolation import NotIsolated, choose
    from citadel.local.machine import Machine
    from citadel.local.servers import learn
    from citadel.local.start import CannotRun
    from citadel.local.tools import ToolMissing
    from citadel.local.uses import egress, sources

    try:
        machine = Machine(choose(isolation), lambda text: click.echo(text, err=True))
        contents, workflow = prepared(document, machine.tools)
        if network:
            asyncio.run(learn(workflow, contents))
        click.echo(machine.isolation.told(egress(workflow, contents)), err=True)
        machine.equip(sources(workflow, contents))
    except CannotRun as error:
        for message in error.messages:
            click.echo(f"citadel: {document.file}: {safe(message)}", err=True)
        return ExitCode.INVALID
    except (NotIsolated, ToolMissing) as error:
        click.echo(f"citadel: {safe(str(error))}", err=True)
        return ExitCode.INVALID
    progress = _Progress()

    async def run() -> "list[Outcome]":
        whole = asyncio.current_task()
        assert whole is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, whole.cancel)
        return await evaluate(document, contents, workflow, machine, progress, network)

    try:
        found = asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("citadel: interrupted", err=True)
        return ExitCode.INTERRUPTED
    except CannotRun as error:
        for message in error.messages:
            click.echo(f"citadel: {document.file}: {safe(message)}", err=True)
        return ExitCode.INVALID
    finally:
        progress.close()
    return tell(found)


class _Progress:
    """How far it is, on a terminal alone."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._last = ""

    def changed(self, state: State) -> None:
        """Some runs may have ended."""
        from citadel.local.assembling import RUNS

        scope = state.scopes.get(RUNS)
        if not self._shown or scope is None:
            return
        turns = [
            step for name, step in state.steps.items() if name.startswith(f"{RUNS}[") and name[-1] == "]"
        ]
        text = f"{sum(step.status.terminal for step in turns)} of {len(turns)} runs have ended"
        if text != self._last:
            self._last = text
            click.echo(f"\r{text}", nl=False, err=True)

    def within(self, step: str, state: State) -> None:
        """What runs within a step is no run."""

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """What agents print is not shown."""

    def close(self) -> None:
        """Makes room for what follows."""
        if self._last:
            click.echo("\r\x1b[K", nl=False, err=True)


def _is_run(instance: str, loop: str) -> bool:
    return instance.startswith(f"{loop}[") and instance.endswith("]")
