"""`citadel logs`: what an execution's steps printed, and print now.

Each line carries its step. What user code prints never steers the terminal; into a pipe it goes as it is, but
for what would look like a line of another step.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from citadel.cli import completing
from citadel.cli.archive import archived_option, read_archived
from citadel.cli.following import ended
from citadel.cli.remote import (
    Cluster,
    ExitCode,
    Refused,
    Target,
    connect,
    finish,
    object_name,
    target_options,
)
from citadel.cli.terminal import safe, unbroken

if TYPE_CHECKING:
    from citadel.cli.tunnel import Api

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")
_WIDEST = 24
_LONGEST_LINE = 256 * 1024
#: Seconds for which a broken connection is tried again.
_PATIENCE = 60.0


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@click.option("-f", "--follow", is_flag=True, help="Go on until the execution has ended.")
@click.option("--step", metavar="NAME", shell_complete=completing.steps, help="Only this step.")
@click.option("--timestamps", is_flag=True, help="When each line was printed, before it.")
@archived_option
@target_options
def logs(
    execution: str, follow: bool, step: str | None, timestamps: bool, archived: bool, target: Target
) -> None:
    """Print the logs of EXECUTION, each line with its step."""
    finish(_logs(target, execution, follow, step, timestamps, archived))


async def _logs(
    target: Target, name: str, follow: bool, step: str | None, timestamps: bool, archived: bool
) -> int:
    from citadel.cli.tunnel import open_api

    printer = LogPrinter.to_stdout(timestamps)
    async with connect(target) as cluster, open_api(cluster, archived=archived) as api:
        if archived:
            await read_archived(api, object_name("Execution", name))
        else:
            await cluster.execution(name)
        silent = True
        async for chunk in log_chunks(cluster, api, name, step=step, follow=follow):
            printer.print(chunk)
            silent = False
    printer.flush()
    if silent:
        who = f"execution {name}" if step is None else f"step {step} of execution {name}"
        get = f"citadel get {name}{' --archived' if archived else ''}"
        click.echo(f"{who} has printed nothing; `{get}` shows what it does, or took over", err=True)
    return ExitCode.OK


class LogPrinter:
    """Chunks into lines, each with its step before it. `terminal`: coloured, aligned and neutralised."""

    def __init__(self, write: Callable[[str], object], *, terminal: bool, timestamps: bool) -> None:
        self._write, self._terminal, self._timestamps = write, terminal, timestamps
        self._open: dict[tuple[str, int, str], str] = {}
        self._last: dict[tuple[str, int, str], str] = {}
        self._colours: dict[str, str] = {}
        self._width = 0

    @classmethod
    def to_stdout(cls, timestamps: bool = False) -> "LogPrinter":
        """For the standard output, as what it is."""
        return cls(_stdout, terminal=sys.stdout.isatty(), timestamps=timestamps)

    def print(self, chunk: Mapping[str, Any]) -> None:
        """Prints the lines that this chunk completes."""
        key = (str(chunk["step"]), int(chunk["attempt"]), str(chunk["stream"]))
        self._last[key] = str(chunk["at"])
        *lines, rest = (self._open.pop(key, "") + str(chunk["text"])).split("\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], ""
        if rest:
            self._open[key] = rest
        if lines:
            self._write("".join(self._line(key, line) for line in lines))

    def flush(self) -> None:
        """Prints what was begun and has no end."""
        for key, rest in self._open.items():
            self._write(self._line(key, rest))
        self._open.clear()

    def _line(self, key: tuple[str, int, str], text: str) -> str:
        step, attempt, stream = key
        label = f"{step}/{attempt}" if attempt > 1 else step
        at = f"{self._last[key]} " if self._timestamps else ""
        text = text.removesuffix("\r")
        if not self._terminal:
            return f"{at}{label} | {unbroken(text)}\n"
        # A progress bar returns to the line's start: what it wrote last is what would be seen.
        text = safe(text.rpartition("\r")[2])
        self._width = max(self._width, min(len(label), _WIDEST))
        if os.environ.get("NO_COLOR"):
            return f"{at}{safe(label):{self._width}} | {text}\n"
        colour = self._colours.setdefault(step, _COLOURS[len(self._colours) % len(_COLOURS)])
        prefix = click.style(f"{at}{safe(label):{self._width}} |", fg=colour)
        return f"{prefix} {click.style(text, dim=True) if stream == 'system' else text}\n"


def _stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


async def log_chunks(
    cluster: Cluster, api: "Api", name: str, *, step: str | None = None, follow: bool = False
) -> AsyncIterator[Mapping[str, Any]]:
    """The chunks of an execution's log, each once, in order for every attempt; with `follow` until it ends.

    Waits for one that has not started. Raises Refused, also for a connection that stays broken for a minute.
    """
    from citadel.cli.tunnel import NotStarted, TunnelClosed

    query = {"follow": "true"} if follow else {}
    query |= {"step": step} if step else {}
    seen: dict[tuple[str, int], int] = {}
    give_up: float | None = None
    while True:
        try:
            async with api.open(f"{name}/logs", **query) as answer:
                async for kind, chunk in server_sent(answer.content.iter_any()):
                    give_up = None
                    if kind == "end":
                        return
                    key, n = (chunk["step"], chunk["attempt"]), chunk["n"]
                    if kind == "log" and n > seen.get(key, -1):
                        seen[key] = n
                        yield chunk
            raise TunnelClosed("the api ended the log before its end")
        except NotStarted:
            found = await cluster.execution(name)
            if ended(found):
                status = found["status"]
                why = f"{status['phase']}: {status.get('message') or status.get('reason')}"
                message = f"execution {name} has no log: the journal does not know it ({why})"
                raise Refused(message) from None
            if not follow:
                raise
            await asyncio.sleep(0.5)
        except TunnelClosed as error:
            give_up = give_up or time.monotonic() + _PATIENCE
            if time.monotonic() > give_up:
                raise Refused(str(error), ExitCode.UNREACHABLE) from error
            await asyncio.sleep(1.0)


async def server_sent(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, Any]]:
    """The events of a text/event-stream, each as its name and its JSON. An unfinished last one is dropped."""
    buffer = bytearray()
    async for chunk in chunks:
        seen = max(0, len(buffer) - 1)
        buffer += chunk
        start, end = 0, buffer.find(b"\n\n", seen)
        while end >= 0:
            fields = [line.partition(b": ") for line in bytes(buffer[start:end]).split(b"\n")]
            known = {name: value for name, _, value in fields}
            if b"data" in known:
                yield known.get(b"event", b"message").decode(), json.loads(known[b"data"])
            start = end + 2
            end = buffer.find(b"\n\n", start)
        del buffer[:start]
