"""`citadel run --local`: one file, one execution, here. Outputs go to stdout, all else to stderr."""

import asyncio
import json
import re
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from citadel.api.problems import counted
from citadel.cli.lint import text_of
from citadel.cli.remote import ExitCode
from citadel.cli.terminal import safe
from citadel.core.builds import SUFFIX as BUILD
from citadel.core.instances import definition
from citadel.core.state import State
from citadel.core.values import Stored
from citadel.local.answers import Ahead
from citadel.local.documents import Contents, WorkflowDocument, read
from citadel.local.engine import EngineError
from citadel.local.isolation import NotIsolated, Wanted
from citadel.local.isolation import choose as isolation_of
from citadel.local.machine import Machine
from citadel.local.servers import learn
from citadel.local.start import CannotRun, Start, choose, prepare
from citadel.local.tools import ToolMissing
from citadel.local.uses import containers, egress, sources
from citadel.store.conversations import Conversations
from citadel.store.journal import Journal

if TYPE_CHECKING:
    from citadel.api.cassette import Cassette

#: Lines of its log that a failed step shows when the log was not shown anyway.
TAIL_LINES = 5
_PYTHON_LINE = re.compile(r'File "([A-Za-z0-9_.\[\]]+)\.py", line ([0-9]+)')
_OTHER_LINE = re.compile(r"[( ]([A-Za-z0-9_.\[\]]+)\.(?:mjs|go|java):([0-9]+)")


@dataclass(frozen=True)
class Options:
    """What a command line says of a run on this machine."""

    logs: bool = False
    journal: str | None = None
    """The absolute path of a file of SQLite; None: it is kept in memory."""
    no_cache: bool = False
    isolation: Wanted = "auto"
    ahead: Ahead = field(default_factory=Ahead)
    """What is answered before anybody asks."""
    network: bool = False
    """Whether HTTP and MCP tools are called."""
    record: str | None = None
    """The file that is to have what agents do."""


def run_here(file: str, pairs: Iterable[str], files: Iterable[str], options: Options) -> ExitCode:
    """Runs the file's workflow to its end; tells how it went, and returns the exit code."""
    from citadel.cli.givens import given_inputs

    text = text_of(file)
    contents = read(text)
    if contents.problems:
        for problem in contents.problems:
            click.echo(f"{file}:{safe(problem.located)}", err=True)
        return ExitCode.INVALID
    try:
        workflow, _, _ = choose(contents)
        machine = Machine(isolation_of(options.isolation), lambda text: click.echo(text, err=True))
        given = given_inputs(pairs, files, workflow.spec.inputs)
        if options.network:
            asyncio.run(learn(workflow, contents))
        start = prepare(contents, given, machine.tools, no_cache=options.no_cache)
        if problems := options.ahead.problems(workflow, contents):
            raise CannotRun(*problems)
        if wanted := sources(workflow, contents):
            click.echo(machine.isolation.told(egress(workflow, contents)), err=True)
        if containers(workflow, contents):
            click.echo(machine.engine().told(egress(workflow, contents)), err=True)
        machine.equip(wanted)
    except CannotRun as error:
        for message in error.messages:
            click.echo(f"citadel: {safe(message)}", err=True)
        return ExitCode.INVALID
    except (NotIsolated, ToolMissing, EngineError) as error:
        click.echo(f"citadel: {safe(str(error))}", err=True)
        return ExitCode.INVALID
    return asyncio.run(_run(start, contents, machine, options, _Source(file, text, start.workflow)))


async def _run(
    start: Start, contents: Contents, machine: Machine, options: Options, source: "_Source"
) -> ExitCode:
    from citadel.cli.answering import Answering, at_terminal
    from citadel.cli.watch import on_stderr
    from citadel.local.means import Means
    from citadel.local.models import LocalModels
    from citadel.local.recording import Recording
    from citadel.local.runner import LocalRun
    from citadel.local.servers import Servers

    journal, conversations, close = await _open(
        None if options.journal is None else f"sqlite:///{options.journal}"
    )
    archives = None if options.journal is None else _archives(options.journal)
    watcher = on_stderr(start.workflow.name, options.logs)
    desk = at_terminal(watcher.aside)
    tasks: list[asyncio.Task[None]] = []

    def give_up(why: str) -> None:
        tasks.append(asyncio.ensure_future(run.stop("Cancel", "CancelRequested", why)))

    outside = Answering(machine, journal, options.ahead, desk, watcher.said, give_up)
    means = Means(LocalModels(journal, contents), conversations, Servers(contents, options.network))
    recording = None if options.record is None else Recording(watcher)
    watching = recording or watcher
    run = LocalRun(journal, watching, contents, (start.workflow.name,), means, outside, archives=archives)
    interruptions = _Interruptions(run, watcher.said)
    try:
        with interruptions:
            state = await run.run(start)
    finally:
        watcher.close()
        outputs = await _outputs(journal, run, start)
        if recording is not None and options.record is not None:
            _keep(options.record, await recording.cassette(journal, means.models.records, conversations))
        await close()
    code = _told(state, outputs, source, options.logs)
    return ExitCode.INTERRUPTED if code is ExitCode.FAILED and interruptions.count else code


def _keep(path: str, cassette: "Cassette") -> None:
    """Writes what agents did."""
    from citadel.local.cassettes import write_cassette

    try:
        write_cassette(Path(path).expanduser(), cassette)
    except OSError as error:
        click.echo(f"citadel: --record {path}: {error.strerror}", err=True)
        return
    click.echo(f"citadel: {counted(len(cassette.attempts), 'attempt')} of agents in {path}", err=True)


def _archives(journal: str) -> Path:
    """Where artifacts are kept that a journal knows."""
    folder = Path(f"{journal}.artifacts")
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


async def _open(url: str | None) -> tuple[Journal, Conversations, Any]:
    """The journal, what agents remember, and what closes both: in memory, or a file of SQLite."""
    if url is None:
        from citadel.store.memory import MemoryJournal

        async def nothing() -> None:
            return

        kept = MemoryJournal()
        return kept, kept.conversations, nothing
    try:
        from citadel.store.sql.database import open_database

        database = open_database(url)
    except ImportError:
        raise click.UsageError(
            "--journal needs SQLAlchemy and aiosqlite: pip install 'citadel-workflows[sqlite]'"
        ) from None
    await database.create_schema()
    return database.journal, database.conversations, database.close


async def _outputs(journal: Journal, run: Any, start: Start) -> Any:
    finished = run.state.finished
    if finished is None or finished.outputs is None:
        return None
    if isinstance(finished.outputs, Stored):
        return (await journal.values(start.created.uid, [finished.outputs.digest]))[finished.outputs.digest]
    return finished.outputs.value


class _Interruptions:
    """Ctrl-C and its like: the first cancels with a grace period, the second ends everything at once."""

    def __init__(self, run: Any, say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        self._tasks: list[asyncio.Task[None]] = []
        self.count = 0

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._interrupted)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _interrupted(self) -> None:
        self.count += 1
        if self.count == 1:
            self._say("citadel: cancelling; once more to end it at once")
        mode, reason = ("Cancel", "CancelRequested") if self.count == 1 else ("Terminate", "Terminated")
        self._tasks.append(asyncio.ensure_future(self._run.stop(mode, reason, "interrupted at the terminal")))


class _Source:
    """Where in the file the lines of a step's code stand."""

    def __init__(self, file: str, text: str, workflow: WorkflowDocument) -> None:
        self._file, self._lines, self._workflow = file, text.splitlines(), workflow

    def place(self, step: str, traceback: str) -> str:
        """`workflow.yaml:17` of the step's own line that failed, from its traceback; empty when unknown."""
        step = step.removesuffix(BUILD)
        # Python tells the line that failed last; a class of Java begins with a capital.
        found = [number for name, number in _PYTHON_LINE.findall(traceback) if name == step][-1:]
        names = (step, step[:1].upper() + step[1:])
        found += [number for name, number in _OTHER_LINE.findall(traceback) if name in names]
        compiled = self._workflow.compiled.steps.get(definition(step))
        if not found or compiled is None:
            return ""
        begin = self._workflow.document.positions.get((*compiled.place, "run", "code"))
        if begin is None or not self._lines[begin.line - 1][begin.column - 1 :].startswith("|"):
            return ""
        return f"{self._file}:{begin.line + int(found[0])}"


def _told(state: State, outputs: Any, source: _Source, logs: bool) -> ExitCode:
    """Says how it ended, and returns the exit code."""
    finished = state.finished
    assert finished is not None
    if finished.phase == "Succeeded":
        click.echo(json.dumps(outputs, indent=2, ensure_ascii=False))
        return ExitCode.OK
    click.echo(
        f"citadel: {str(finished.phase).lower()}: {safe(finished.message or finished.reason)}", err=True
    )
    failure = state.steps[finished.step].failure if finished.step is not None else None
    if finished.step is not None and failure is not None:
        for line in failure.traceback.splitlines():
            click.echo(safe(line), err=True)
        place = source.place(finished.step, failure.traceback)
        if place:
            click.echo(f"  at {safe(place)}", err=True)
        for line in [] if logs else failure.log_tail.splitlines()[-TAIL_LINES:]:
            click.echo(f"{finished.step} | {safe(line)}", err=True)
    return ExitCode.FAILED
