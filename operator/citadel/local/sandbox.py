"""A sandbox on this machine: the same harness as in a sandbox pod, in a child process with its own folders.

What else keeps it from the machine is `isolation`'s. An attempt leaves no process behind, and finds empty
folders.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from citadel.api.reasons import Reason
from citadel.core.dispatch import Dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json, canonical
from citadel.local import processes
from citadel.local.artifacts import NotATree, Parcels
from citadel.local.building import MAX_BYTES, Programs
from citadel.local.capture import Output, open_pipe
from citadel.local.isolation import Isolation
from citadel.local.languages import Language
from citadel.local.room import Room
from citadel.local.sandboxes import SandboxEnded
from citadel.local.verdict import verdict

if TYPE_CHECKING:
    from citadel.local.door import Attendant, Door

EXIT_SECONDS = 5.0
#: Where agents find the address of their door.
AGENT_URL = "CITADEL_AGENT_URL"
#: Seconds that a sandbox may take to say who it is.
START_SECONDS = 30.0


class LocalSandbox:
    """Takes one attempt after another, of one language."""

    def __init__(
        self, language: Language, programs: Programs, isolation: Isolation, network: bool = False
    ) -> None:
        """`network`: its steps reach something."""
        self._language, self._programs = language, programs
        self._isolated = isolation.command is not None
        self._door = _door() if language.entrypoint else None
        if self._door is not None and not self._isolated:
            self._door.listen_here()
        url = {} if self._door is None else {AGENT_URL: self._door.url}
        self._room = Room(language, isolation, network, {**language.environment, **url})
        self._listening: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._root = 0
        self._channel: socket.socket | None = None
        self._said = ""
        self._served = False
        self.spent = False
        """Whether it can take no further attempt, because it cannot be made clean."""
        self._cancelled: asyncio.Future[float] | None = None

    @property
    def runs(self) -> bool:
        """Whether its interpreter has not ended."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Starts the harness; raises SandboxEnded, OSError."""
        self._room.open()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self._channel = ours
        reader, transport, writing = await open_pipe()
        outside, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        handed = [inside.fileno()] if self._door is not None and self._isolated else []
        command, passed = self._room.command(theirs.fileno(), *handed), [theirs.fileno(), *handed]
        if self._isolated:
            command[1:1] = ["--info-fd", str(writing)]
            passed.append(writing)
        try:
            with theirs, inside, os.fdopen(writing, "wb"):
                self._process = subprocess.Popen(  # noqa: S603, ASYNC220
                    command,
                    cwd=self._room.work,
                    env=dict(self._room.environment()),
                    stdin=subprocess.DEVNULL,
                    pass_fds=passed,
                    start_new_session=True,
                )
            self._root = await _first_process(reader) if self._isolated else self._process.pid
            self._listening = await _handed_over(outside) if handed else None
        finally:
            transport.close()
            outside.close()

    async def run(
        self,
        given: Dispatch,
        arguments: Mapping[str, Json],
        parcels: Parcels,
        output: Output,
        attendant: "Attendant | None" = None,
    ) -> "Json | Failure":
        """Runs one attempt to its end; its output, or why it failed. Raises SandboxEnded."""
        if self._door is not None and attendant is not None:
            await self._door.open(attendant, self._listening)
        try:
            result = await self._run(given, arguments, parcels, output)
        finally:
            if self._door is not None:
                await self._door.close()
        if self._door is not None and self._door.defect is not None:
            raise self._door.defect
        return result

    async def _run(
        self, given: Dispatch, arguments: Mapping[str, Json], parcels: Parcels, output: Output
    ) -> "Json | Failure":
        builds = self._language.builds != "" and given.program is None
        if builds and (known := self._programs.find(self._language, given.code or "")) is not None:
            return parcels.keep_program(known)
        if self._served:
            await self._make_ready()
        try:
            parcels.place(self._room.work)
            program = parcels.program()
        except (NotATree, OSError) as error:
            self._wipe()
            why = error.strerror if isinstance(error, OSError) else str(error)
            return Failure.cut(Reason.ERROR, f"what the step needs could not be placed: {why}")
        if program is not None:
            self._room.place_program(program)
        with tempfile.TemporaryFile() as made:
            result = await self._attempt(given, arguments, output, program, made if builds else None)
            if builds and not isinstance(result, Failure):
                made.seek(0)
                result = self._built(given, parcels, made.read(MAX_BYTES + 1))
        if not isinstance(result, Failure) and (wrong := parcels.keep(self._room.work)) is not None:
            result = wrong
        self._wipe()
        return result

    def _built(self, given: Dispatch, parcels: Parcels, program: bytes) -> "Json | Failure":
        """What a build came to."""
        if not 0 < len(program) <= MAX_BYTES:
            size = f"{len(program)} bytes, expected 1 to {MAX_BYTES}"
            return Failure.cut(Reason.INVALID_CODE, f"step {given.step}: its program has {size}")
        self._programs.keep(self._language, given.code or "", program)
        return parcels.keep_program(program)

    async def _attempt(
        self,
        given: Dispatch,
        arguments: Mapping[str, Json],
        output: Output,
        program: bytes | None,
        made: IO[bytes] | None,
    ) -> "Json | Failure":
        """Runs the process of an attempt; `made` takes what it builds."""
        self._cancelled = asyncio.get_running_loop().create_future()
        body: dict[str, Json] = {
            "step": given.step,
            "attempt": given.attempt,
            "action": "run" if made is None else "build",
            "code": given.code,
            "input": dict(arguments),
            "env": [{"name": name, "value": value} for name, value in given.env.items()],
        }
        if self._language.entrypoint:
            body["entrypoint"] = self._language.entrypoint
        request = self._language.request(canonical(body), program)
        streams = [await open_pipe() for _ in range(3)]
        self._send(request, [writing for _, _, writing in streams], made)
        (stdout, _, _), (stderr, _, _), (said, _, _) = streams
        readers = [
            asyncio.create_task(output.follow("stdout", stdout)),
            asyncio.create_task(output.follow("stderr", stderr)),
        ]
        result = asyncio.create_task(self._language.answer(said, output))
        try:
            code, by = await self._await_end(given.timeout)
            # Children left behind hold the pipes open, and are no failure.
            await processes.clear(self._root)
            await asyncio.wait([*readers, result], timeout=EXIT_SECONDS)
        except processes.ProcessesRemain as error:
            raise SandboxEnded(str(error)) from None
        except SandboxEnded:
            await asyncio.wait([*readers, result], timeout=0.1)
            raise
        finally:
            for _, transport, _ in streams:
                transport.close()
            for task in (*readers, result):
                task.cancel()
        if by is Reason.TIMEOUT:
            return Failure.cut(by, f"ran longer than its timeout of {given.timeout:g}s", log_tail=output.tail)
        answer = result.result() if result.done() and not result.cancelled() else b""
        found = self._language.crash(given.step, answer, code, output) or verdict(answer, code, output)
        if by is Reason.CANCELLED and isinstance(found, Failure):
            return Failure.cut(by, f"cancelled while it ran ({found.message})", log_tail=output.tail)
        return found

    def cancel(self, grace: float) -> None:
        """Asks the running attempt to end, and ends it after `grace` seconds."""
        if self._cancelled is not None and not self._cancelled.done():
            self._cancelled.set_result(grace)

    def close(self) -> None:
        """Ends every process of this sandbox, and removes its folders."""
        for opened in (self._channel, self._listening):
            if opened is not None:
                opened.close()
        if self._door is not None:
            self._door.end()
        if self._process is not None:
            processes.destroy(self._process.pid)
            self._process.wait()
        self._room.close()

    def _wipe(self) -> None:
        """Empties the folders, for the next attempt."""
        self.spent = not self._room.wipe() or self.spent

    # ---- the harness

    async def _make_ready(self) -> None:
        """Asks for another process; raises SandboxEnded."""
        assert self._channel is not None
        self._served = False
        try:
            await asyncio.get_running_loop().sock_sendall(self._channel, b"N")
        except OSError:
            raise SandboxEnded("the interpreter has ended") from None

    def _send(self, request: bytes, writing: list[int], made: IO[bytes] | None) -> None:
        """Gives the request to the harness; the descriptors are closed here whatever happens."""
        assert self._channel is not None
        command = self._language.command(self._room.seen, build=made is not None)
        said = b"R" + "\0".join(command).encode("utf-8", "surrogateescape")
        self._served = True
        try:
            with _memory(request) as content:
                descriptors = [content.fileno(), *writing, *([] if made is None else [made.fileno()])]
                socket.send_fds(self._channel, [said], descriptors)
        except OSError:
            raise SandboxEnded("the interpreter has ended") from None
        finally:
            for descriptor in writing:
                os.close(descriptor)

    async def _await_end(self, timeout: float | None) -> tuple[int, Reason | None]:
        """Exit code of the attempt, and what brought its end about, if it was not itself."""
        assert self._cancelled is not None
        ended = asyncio.create_task(self._listen())
        by: Reason | None = None
        try:
            both: set[asyncio.Future[Any]] = {ended, self._cancelled}
            await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() and self._cancelled.done():
                by = Reason.CANCELLED
                processes.send(self._root, signal.SIGTERM)
                await asyncio.wait({ended}, timeout=self._cancelled.result())
            elif not ended.done():
                by = Reason.TIMEOUT
            if not ended.done():
                await processes.clear(self._root)
                await asyncio.wait({ended}, timeout=EXIT_SECONDS)
            if not ended.done():
                raise SandboxEnded("the interpreter does not say that the step ended")
            word, _, number = ended.result().partition(" ")
        finally:
            ended.cancel()
        if word != "exited":
            raise SandboxEnded(f"the interpreter says {word!r:.60} instead of exited")
        return int(number), by

    async def _listen(self) -> str:
        """The next line that the harness says; raises SandboxEnded."""
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        while "\n" not in self._said:
            try:
                data = await loop.sock_recv(self._channel, 4096)
            except OSError:
                data = b""
            if not data:
                raise SandboxEnded("the step ended the interpreter that ran it")
            self._said += data.decode("ascii", "replace")
        line, _, self._said = self._said.partition("\n")
        # It may be sent its first attempt before it has told that none need wait.
        return line if line != "ready" else await self._listen()


def _door() -> "Door":
    # It brings a server by HTTP along, which most runs do without.
    from citadel.local.door import Door

    return Door()


async def _handed_over(outside: socket.socket) -> socket.socket:
    """The socket that listens inside of a sandbox; raises SandboxEnded."""
    outside.setblocking(False)
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(outside, came.set)
    try:
        await asyncio.wait_for(came.wait(), START_SECONDS)
        _, descriptors, _, _ = socket.recv_fds(outside, 1, 1)
        return socket.socket(fileno=descriptors[0])
    except (TimeoutError, OSError, IndexError):
        raise SandboxEnded("the sandbox does not say where an agent would ask") from None
    finally:
        loop.remove_reader(outside)


async def _first_process(reader: asyncio.StreamReader) -> int:
    """The process that bubblewrap starts, which is the first one of its sandbox; raises SandboxEnded."""
    try:
        told = await asyncio.wait_for(reader.readuntil(b"}"), START_SECONDS)
        return int(json.loads(told)["child-pid"])
    except (asyncio.IncompleteReadError, TimeoutError, ValueError, KeyError):
        raise SandboxEnded("bubblewrap does not start a sandbox") from None


def _memory(content: bytes) -> IO[bytes]:
    """A file without a name that holds the content: only the fork of the harness reads it."""
    memfd = getattr(os, "memfd_create", None)
    file: IO[bytes] = os.fdopen(memfd("request"), "w+b") if memfd else tempfile.TemporaryFile()  # noqa: SIM115
    file.write(content)
    file.flush()
    file.seek(0)
    return file
