"""`citadel test`: tests of workflows, which stand in YAML files beside them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from citadel.api.problems import counted
from citadel.cli import completing
from citadel.cli.lint import other_text, text_of
from citadel.cli.remote import ExitCode
from citadel.cli.terminal import one_line, safe

if TYPE_CHECKING:
    from citadel.local.isolation import Isolation, Wanted
    from citadel.local.suites import SuiteDocument
    from citadel.local.trials import Verdict

#: Lines of its log that a test shows which did not go as expected.
TAIL_LINES = 10


@dataclass(frozen=True)
class Trial:
    """A test that is to be carried out."""

    document: "SuiteDocument"
    index: int

    @property
    def name(self) -> str:
        return self.document.cases[self.index].name


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|DIR...", shell_complete=completing.files)
@click.option("-k", "pattern", metavar="TEXT", help="Only tests whose name or file has this text.")
@click.option("-j", "jobs", type=click.IntRange(1, 256), help="How many at a time; else one for each core.")
@click.option("--update", is_flag=True, help="Write outputs that differ into the files, as what is expected.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "none"]),
    default="auto",
    show_default=True,
    help="What keeps steps from this machine; auto is bubblewrap where it works.",
)
@click.option("--junit", metavar="FILE", help="Write a report as CI systems read it, JUnit XML.")
@click.option(
    "--timeout",
    "limit",
    type=click.FloatRange(0.1, 86400),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long one test may really take.",
)
def test(
    paths: tuple[str, ...],
    pattern: str | None,
    jobs: int | None,
    update: bool,
    isolation: "Wanted",
    junit: str | None,
    limit: float,
) -> None:
    """Run tests of workflows: FILE is one of tests, of DIR each test.yaml and *.test.yaml below it.

    Steps that a test mocks give what it says; the others run on this machine. Pauses, waits and the
    timeouts of what is mocked take no time. docs/testing.md shows what a test may say.

    \b
    Ends with 0 when all is as expected, 1 when something is not, 2 when a file is wrong,
    130 when interrupted.
    """
    documents = _read(list(_found(paths)))
    trials = [Trial(document, index) for document in documents for index in range(len(document.cases))]
    chosen = [trial for trial in trials if _is_chosen(trial, pattern)]
    if not chosen:
        raise click.UsageError(f"-k {pattern}: none of {len(trials)} tests has this text in its name or file")
    report = report_file(junit)
    kept_in = _isolation(isolation, documents)
    began = time.monotonic()
    try:
        verdicts = asyncio.run(_carry_out(chosen, jobs or os.cpu_count() or 1, limit, kept_in))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("citadel: interrupted", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    if report is not None:
        from citadel.cli.junit import report_of

        report.write_text(report_of([(trial.document.file, verdict) for trial, verdict in verdicts]))
    failed = sum(1 for _, verdict in verdicts if verdict.problems) - (_update(verdicts) if update else 0)
    left_out = f", {len(trials) - len(chosen)} left out" if len(trials) > len(chosen) else ""
    passed = f"{len(verdicts) - failed} passed" + (f", {failed} failed" if failed else "")
    click.echo(f"{passed}{left_out} in {time.monotonic() - began:.1f}s")
    sys.exit(ExitCode.FAILED if failed else ExitCode.OK)


def _found(paths: Sequence[str]) -> Iterator[str]:
    """The files of tests, each once; raises click.UsageError."""
    seen: set[Path] = set()
    for path in paths:
        given = Path(path).expanduser()
        files = _below(given) if given.is_dir() else [given]
        if not files:
            raise click.UsageError(f"{path}: found no file of tests, expected test.yaml or *.test.yaml in it")
        for file in files:
            if (real := file.resolve()) not in seen:
                seen.add(real)
                yield str(file)


def _below(folder: Path) -> list[Path]:
    """The files of tests in a folder and those in it, but hidden ones."""
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        own = (name for name in files if name.rpartition(".")[2] in ("yaml", "yml"))
        found += [Path(path) / name for name in sorted(own) if _is_for_tests(name)]
    return found


def _is_for_tests(name: str) -> bool:
    stem = name.rpartition(".")[0]
    return stem == "test" or stem.endswith(".test")


def _read(files: Sequence[str]) -> "list[SuiteDocument]":
    """The tests of all files; what is wrong with any ends the command."""
    from citadel.local.beside import InvalidFile
    from citadel.local.suites import read_suite

    documents, wrong = [], 0
    for file in files:
        try:
            documents.append(read_suite(file, text_of(file), other_text))
        except InvalidFile as error:
            for problem in error.problems:
                click.echo(safe(problem.text), err=True)
            wrong += len(error.problems)
    if wrong:
        sys.exit(ExitCode.INVALID)
    return documents


def _is_chosen(trial: Trial, pattern: str | None) -> bool:
    return pattern is None or pattern.lower() in f"{trial.document.file} {trial.name}".lower()


def report_file(junit: str | None) -> Path | None:
    """Where the report goes; raises click.UsageError before anything runs."""
    if junit is None:
        return None
    path = Path(junit).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise click.UsageError(f"--junit {junit}: {error.strerror}") from None
    return path


def _isolation(wanted: "Wanted", documents: "Sequence[SuiteDocument]") -> "Isolation":
    """What steps run in, which is said if any may run; raises click.UsageError."""
    from citadel.local.isolation import NotIsolated, choose
    from citadel.local.uses import egress, sources

    try:
        isolation = choose(wanted)
    except NotIsolated as error:
        raise click.UsageError(str(error)) from None
    if any(sources(document.workflow, document.contents) for document in documents):
        reached = any(egress(document.workflow, document.contents) for document in documents)
        click.echo(isolation.told(reached), err=True)
    return isolation


async def _carry_out(
    trials: Sequence[Trial], jobs: int, limit: float, isolation: "Isolation"
) -> "list[tuple[Trial, Verdict]]":
    """All verdicts, told in the order of the files as they come."""
    from citadel.local.lending import Kept
    from citadel.local.trials import carry_out

    agents = Kept()
    room = asyncio.Semaphore(jobs)
    whole = asyncio.current_task()
    assert whole is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As an interrupt at the terminal: a CI system that gives up must leave no process behind.
        asyncio.get_running_loop().add_signal_handler(number, whole.cancel)

    async def one(trial: Trial) -> "Verdict":
        async with room:
            return await carry_out(trial.document, trial.index, limit, isolation, agents)

    tasks = [asyncio.create_task(one(trial)) for trial in trials]
    verdicts: list[tuple[Trial, Verdict]] = []
    for trial, task in zip(trials, tasks, strict=True):
        if not verdicts or verdicts[-1][0].document is not trial.document:
            click.echo(safe(trial.document.file))
        verdicts.append((trial, await task))
        _tell(trial, verdicts[-1][1])
    return verdicts


def _update(verdicts: "Sequence[tuple[Trial, Verdict]]") -> int:
    """Writes the outputs that alone differ into their files; how many."""
    from citadel.local.updating import updated

    news: dict[str, dict[int, Any]] = {}
    for trial, verdict in verdicts:
        if verdict.outputs is not None:
            news.setdefault(trial.document.file, {})[trial.index] = verdict.outputs
    written = 0
    for file, outputs in news.items():
        text = None if file == "-" else updated(text_of(file), outputs)
        if text is None:
            click.echo(f"citadel: {safe(file)}: its outputs stand where they cannot be written", err=True)
            continue
        try:
            Path(file).write_text(text, "utf-8")
        except OSError as error:
            raise click.UsageError(f"{file}: {error.strerror}") from None
        click.echo(f"wrote the outputs of {counted(len(outputs), 'test')} into {safe(file)}")
        written += len(outputs)
    return written


def _tell(trial: Trial, verdict: "Verdict") -> None:
    mark = click.style("ok  ", fg="green") if not verdict.problems else click.style("FAIL", fg="red")
    click.echo(f"  {mark} {one_line(verdict.name)} ({verdict.seconds:.2f}s)")
    if not verdict.problems:
        return
    click.echo(f"       {safe(trial.document.file)}:{verdict.line}")
    for problem in verdict.problems:
        click.echo(f"       {safe(problem)}")
    for line in verdict.log.splitlines()[-TAIL_LINES:]:
        click.echo(f"       {safe(line)}")
