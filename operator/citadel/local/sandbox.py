"""A sandbox on this machine: the same harness as in a sandbox pod, in a child process with its own folders.

It isolates nothing but processes and working directories: local code is the user's own. An attempt leaves no
process behind, and finds empty folders.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import IO, Any

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.dispatch import Dispatch
from citadel.core.jsonvalues import MAX_BYTES, InvalidValue, Json, canonical, normalise
from citadel.local import processes
from citadel.local.artifacts import NotATree, Parcels
from citadel.local.capture import Output, open_pipe
from citadel.local.sandboxes import SandboxEnded

#: What of this shell's environment steps see: what they need to run, not what a cluster would not give them.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
EXIT_SECONDS = 5.0
#: Room for a failure beside an output.
RESULT_BYTES = MAX_BYTES + 256 * 1024


def harness_path() -> Path:
    """The harness: package data in an installation, a neighbour in a checkout. Raises SandboxEnded."""
    installed = Path(str(resources.files("citadel.local"))) / "harness.py"
    checkout = Path(__file__).resolve().parents[3] / "runtimes" / "python" / "harness.py"
    for path in (installed, checkout):
        if path.is_file():
            return path
    raise SandboxEnded(
        f"the Python harness is neither at {installed} nor at {checkout}: install citadel again"
    )


class LocalSandbox:
    """One warm interpreter, which takes one attempt after another."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="citadel-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._said = ""
        self._served = False
        self.spent = False
        """Whether it can take no further attempt, because it cannot be made clean."""
        self._cancelled: asyncio.Future[float] | None = None

    async def start(self) -> None:
        """Starts the interpreter; raises SandboxEnded."""
        for name in ("work", "tmp"):
            (self._folder / name).mkdir()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        self._channel = ours
        launch = Path(__file__).with_name("launch.py")
        command = [sys.executable, "-S", "-P", str(launch), str(theirs.fileno()), str(harness_path())]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220
                command,
                cwd=self._folder / "work",
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        passed = {name: value for name in PASSED_ON if (value := os.environ.get(name)) is not None}
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        return {
            **passed,
            **proxies,
            "HOME": str(self._folder / "tmp"),
            "TMPDIR": str(self._folder / "tmp"),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    async def run(
        self, given: Dispatch, arguments: Mapping[str, Json], parcels: Parcels, output: Output
    ) -> "Json | ev.Failure":
        """Runs one attempt to its end; its output, or why it failed. Raises SandboxEnded."""
        assert self._process is not None
        assert self._channel is not None
        if self._served:
            try:
                await asyncio.get_running_loop().sock_sendall(self._channel, b"N")
            except OSError:
                raise SandboxEnded("the interpreter has ended") from None
        self._served = True
        try:
            parcels.place(self._folder / "work")
        except (NotATree, OSError) as error:
            self._wipe()
            self._served = False
            why = error.strerror if isinstance(error, OSError) else str(error)
            return ev.Failure.cut(Reason.ERROR, f"what the step needs could not be placed: {why}")
        self._cancelled = asyncio.get_running_loop().create_future()
        request: dict[str, Json] = {
            "step": given.step,
            "attempt": given.attempt,
            "code": given.code,
            "input": dict(arguments),
            "env": [{"name": name, "value": value} for name, value in given.env.items()],
        }
        streams = [await open_pipe() for _ in range(3)]
        self._send(canonical(request), [writing for _, _, writing in streams])
        (stdout, _, _), (stderr, _, _), (said, _, _) = streams
        readers = [
            asyncio.create_task(output.follow("stdout", stdout)),
            asyncio.create_task(output.follow("stderr", stderr)),
        ]
        result = asyncio.create_task(_read(said))
        try:
            code, by = await self._await_end(given.timeout)
            # Children left behind hold the pipes open, and are no failure.
            await processes.clear(self._process.pid)
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
            self._wipe()
            return ev.Failure.cut(
                by, f"ran longer than its timeout of {given.timeout:g}s", log_tail=output.tail
            )
        found = _verdict(result.result() if result.done() and not result.cancelled() else b"", code, output)
        if not isinstance(found, ev.Failure) and (wrong := parcels.keep(self._folder / "work")) is not None:
            found = wrong
        self._wipe()
        if by is Reason.CANCELLED and isinstance(found, ev.Failure):
            return ev.Failure.cut(by, f"cancelled while it ran ({found.message})", log_tail=output.tail)
        return found

    def cancel(self, grace: float) -> None:
        """Asks the running attempt to end, and ends it after `grace` seconds."""
        if self._cancelled is not None and not self._cancelled.done():
            self._cancelled.set_result(grace)

    def close(self) -> None:
        """Ends every process of this sandbox, and removes its folders."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            processes.destroy(self._process.pid)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- the harness

    def _send(self, request: bytes, writing: list[int]) -> None:
        """Gives the request to the harness; the descriptors are closed here whatever happens."""
        assert self._channel is not None
        try:
            with _memory(request) as content:
                socket.send_fds(self._channel, [b"R"], [content.fileno(), *writing])
        except OSError:
            raise SandboxEnded("the interpreter has ended") from None
        finally:
            for descriptor in writing:
                os.close(descriptor)

    async def _await_end(self, timeout: float | None) -> tuple[int, Reason | None]:
        """Exit code of the attempt, and what brought its end about, if it was not itself."""
        assert self._process is not None
        assert self._cancelled is not None
        ended = asyncio.create_task(self._listen())
        by: Reason | None = None
        try:
            both: set[asyncio.Future[Any]] = {ended, self._cancelled}
            await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() and self._cancelled.done():
                by = Reason.CANCELLED
                processes.send(self._process.pid, signal.SIGTERM)
                await asyncio.wait({ended}, timeout=self._cancelled.result())
            elif not ended.done():
                by = Reason.TIMEOUT
            if not ended.done():
                await processes.clear(self._process.pid)
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
        return line

    def _wipe(self) -> None:
        """Empties both folders, for the next attempt."""
        for name in ("work", "tmp"):
            try:
                for entry in (self._folder / name).iterdir():
                    if entry.is_dir() and not entry.is_symlink():
                        shutil.rmtree(entry)
                    else:
                        entry.unlink()
            except OSError:
                # The step has taken the folder away, or its rights.
                self.spent = True


def _memory(content: bytes) -> IO[bytes]:
    """A file without a name that holds the content: only the fork of the harness reads it."""
    memfd = getattr(os, "memfd_create", None)
    file: IO[bytes] = os.fdopen(memfd("request"), "w+b") if memfd else tempfile.TemporaryFile()  # noqa: SIM115
    file.write(content)
    file.flush()
    file.seek(0)
    return file


async def _read(reader: asyncio.StreamReader) -> bytes:
    parts, size = [], 0
    while data := await reader.read(65536):
        size += len(data)
        if size <= RESULT_BYTES:
            parts.append(data)
    return b"".join(parts)


def _verdict(said: bytes, code: int, output: Output) -> "Json | ev.Failure":
    """What an attempt came to, from what it said and how it ended."""
    if said.startswith(b"F"):
        return _failure(said[1:], output)
    if code < 0:
        return ev.Failure.cut(
            Reason.ERROR,
            f"killed by {signal.Signals(-code).name}",
            exit_code=128 - code,
            log_tail=output.tail,
        )
    if code > 0:
        return ev.Failure.cut(Reason.ERROR, f"exit code {code}", exit_code=code, log_tail=output.tail)
    if not said.startswith(b"S"):
        return ev.Failure.cut(Reason.ERROR, "the process ended before main returned", log_tail=output.tail)
    try:
        return output.masked_value(normalise(said[1:]))
    except InvalidValue as error:
        return ev.Failure.cut(
            Reason.INVALID_OUTPUT, f"the output is not valid: {error}", log_tail=output.tail
        )


def _failure(said: bytes, output: Output) -> ev.Failure:
    try:
        data: Any = normalise(said, RESULT_BYTES)
        return ev.Failure.cut(
            Reason(data["reason"]),
            output.masked(str(data["message"])),
            output.masked("\n".join(str(line) for line in data.get("traceback") or ())),
            data.get("exitCode"),
            output.tail,
        )
    except (InvalidValue, KeyError, TypeError, ValueError):
        return ev.Failure.cut(Reason.ERROR, "the step failed, and did not say why", log_tail=output.tail)
