"""How attempts of each language are run here: what is started, what it is told, and what it says.

The harnesses are those of the sandboxes in a cluster. Python's forks by itself; for any other language
`starter.py` starts a process for each attempt.
"""

import asyncio
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from citadel.api.reasons import Reason
from citadel.core.failures import Failure
from citadel.core.jsonvalues import MAX_BYTES
from citadel.local.capture import Output
from citadel.local.tools import Tool, shipped

#: Room for a failure beside an output.
RESULT_BYTES = MAX_BYTES + 256 * 1024
#: How a JVM ends without a word when its heap is full.
JVM_IS_FULL = 3
#: Frames of a stack that are shown of a program that crashed.
MOST_FRAMES = 50
_CRASHES = (b"panic: ", b"\nruntime stack:\n", b"\ngoroutine ")
_FRAMES = re.compile(
    r"^(?:created by )?(main\.[^\n]+?)(?:\([^()\n]*\)| in goroutine \d+)?\n\t(?:\S*/)?step\.go:(\d+)", re.M
)
_FULL_HEAP = "JavaScript heap out of memory"


@dataclass(frozen=True)
class Seen:
    """Paths as the processes of a sandbox see them."""

    harness: str
    """The folder of the language's harness."""
    local: str
    """This folder."""
    tmp: str
    program: str
    """Where the program of an attempt is put."""


class Language(Protocol):
    """How attempts of one language are run."""

    @property
    def name(self) -> str:
        """The language's."""
        ...

    @property
    def builds(self) -> str:
        """What makes programs of its code, by a name that another version does not have; empty where
        nothing is compiled."""
        ...

    @property
    def readable(self) -> Sequence[Path]:
        """What it needs of this machine, beside its harness."""
        ...

    @property
    def entrypoint(self) -> str:
        """What each attempt runs in place of its code; empty where it has code."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What its processes have in their environment beside what all have; paths come before others."""
        ...

    def command(self, seen: Seen, build: bool) -> list[str]:
        """What is started for an attempt; nothing where the harness forks by itself."""
        ...

    def request(self, body: bytes, program: bytes | None) -> bytes:
        """What an attempt is told; `program` was built of its code."""
        ...

    async def answer(self, said: asyncio.StreamReader, output: Output) -> bytes:
        """What an attempt came to: `S` and the output, or `F` and a failure; else how it ended counts."""
        ...

    def crash(self, step: str, said: bytes, code: int, output: Output) -> Failure | None:
        """Why its process ended, where only those know who know the language."""
        ...


async def read_whole(said: asyncio.StreamReader) -> bytes:
    """All of it, of which more than a result can have is dropped."""
    parts, size = [], 0
    while data := await said.read(65536):
        size += len(data)
        if size <= RESULT_BYTES:
            parts.append(data)
    return b"".join(parts)


class Python:
    """An interpreter that forks for each attempt."""

    name = "python"
    builds = ""
    readable: tuple[Path, ...] = ()
    entrypoint = ""
    environment: Mapping[str, str] = MappingProxyType({})

    def command(self, seen: Seen, build: bool) -> list[str]:
        return []

    def request(self, body: bytes, program: bytes | None) -> bytes:
        return body

    async def answer(self, said: asyncio.StreamReader, output: Output) -> bytes:
        return await read_whole(said)

    def crash(self, step: str, said: bytes, code: int, output: Output) -> Failure | None:
        return None


class Agents(Python):
    """The same, with what runs agents beside it."""

    entrypoint = "citadel_agent:run"

    def __init__(self) -> None:
        folder = shipped("agent")
        # What every attempt needs is loaded once, as in the image.
        self.environment = {"PYTHONPATH": str(folder), "CITADEL_PRELOAD": "citadel_agent.warm"}
        self.readable = (folder,)


class JavaScript(Python):
    """A Node.js for each attempt: what makes one fork knows the insides of the version in our image alone."""

    name = "javascript"

    def __init__(self, tool: Tool) -> None:
        self._tool, self.readable = tool, (tool.prefix,)

    def command(self, seen: Seen, build: bool) -> list[str]:
        flags = ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"]
        scripts = ["--require", f"{seen.local}/alone.cjs", f"{seen.harness}/harness.mjs"]
        return [str(self._tool.path), *flags, *scripts]

    def crash(self, step: str, said: bytes, code: int, output: Output) -> Failure | None:
        if code >= 0 or _FULL_HEAP not in output.tail:
            return None
        message = "out of memory: the heap of JavaScript is full"
        return Failure.cut(Reason.OOM_KILLED, message, log_tail=output.tail)


class Go(Python):
    """A program for each step; `kit` has what builds it."""

    name = "go"

    def __init__(self, kit: Path) -> None:
        self._kit, self.readable, self.builds = kit, (kit,), kit.name

    def command(self, seen: Seen, build: bool) -> list[str]:
        return [f"{self._kit}/build", f"{self._kit}/kit"] if build else [seen.program]

    def crash(self, step: str, said: bytes, code: int, output: Output) -> Failure | None:
        """What the runtime of Go has ended a program for, from its report: after a panic that begins with
        its value; after a fatal error what is fatal stands in the log alone. Then come stacks."""
        if not said.startswith(_CRASHES):
            return None
        report = said.decode("utf-8", "replace")
        message = report.partition("\n")[0]
        if not message:
            message = "fatal error of the runtime of Go, which the log names"
            if "\nruntime.newstack()\n" in report:
                message = "fatal error: stack overflow"
        stack = report.partition("\ngoroutine ")[2].partition("\n\n")[0]
        frames = [f"    at {name} ({step}.go:{line})" for name, line in _FRAMES.findall(stack)[:MOST_FRAMES]]
        return Failure.cut(
            Reason.ERROR, output.masked(message), output.masked("\n".join(frames)), log_tail=output.tail
        )


class Java(Python):
    """A JVM for each attempt; `kit` has the harness, compiled."""

    name = "java"

    def __init__(self, tool: Tool, kit: Path) -> None:
        self._kit, self._java = kit, tool.path.with_name("java")
        self.readable, self.builds = (tool.prefix, kit), kit.name

    def command(self, seen: Seen, build: bool) -> list[str]:
        options = [f"@{self._kit}/java.options", f"-Djava.io.tmpdir={seen.tmp}"]
        return [str(self._java), *options, "-jar", f"{self._kit}/harness.jar"]

    def request(self, body: bytes, program: bytes | None) -> bytes:
        parts = (body, program or b"")
        return b"".join(struct.pack(">I", len(part)) + part for part in parts)

    async def answer(self, said: asyncio.StreamReader, output: Output) -> bytes:
        """One that would serve others after this attempt prints in frames; here none does."""
        if await said.read(1) != b"K":
            return await read_whole(said)
        printed = {b"O": asyncio.StreamReader(), b"E": asyncio.StreamReader()}
        async with asyncio.TaskGroup() as following:
            for stream, kind in (("stdout", b"O"), ("stderr", b"E")):
                following.create_task(output.follow(stream, printed[kind]))
            try:
                return await _frames(said, printed)
            except asyncio.IncompleteReadError:
                return b""
            finally:
                for reader in printed.values():
                    reader.feed_eof()

    def crash(self, step: str, said: bytes, code: int, output: Output) -> Failure | None:
        if said or code != JVM_IS_FULL:
            return None
        return Failure.cut(Reason.OOM_KILLED, "out of memory: the heap is full", log_tail=output.tail)


async def _frames(said: asyncio.StreamReader, printed: dict[bytes, asyncio.StreamReader]) -> bytes:
    """Hands on what an attempt prints; its result."""
    while True:
        kind, size = struct.unpack(">cI", await said.readexactly(5))
        if kind in printed:
            printed[kind].feed_data(await said.readexactly(size))
        elif size <= RESULT_BYTES:
            return bytes(kind.upper() + await said.readexactly(size))
        else:
            return b""
