"""Container steps on this machine: a container of podman or docker for each attempt.

It is made as the sandbox of a cluster is: another user, a read-only root without capabilities, no network
unless the step names destinations, a limit on memory. What the contract of `runtimes/container` promises to a
command holds here too.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from citadel.api.reasons import Reason
from citadel.core.dispatch import Dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json, canonical
from citadel.core.placing import Placement
from citadel.local import processes
from citadel.local.artifacts import NotATree, Parcels
from citadel.local.capture import LINE_LIMIT, Output
from citadel.local.commands import INPUT, OUTPUT, UID, command_of, options_of
from citadel.local.engine import Engine, EngineError, new_folder
from citadel.local.outputs import output_of
from citadel.local.sandboxes import SandboxEnded

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EXIT_SECONDS = 20.0
KILLS = 20
#: How the process that engines put before a command says that it cannot run it.
_NOT_RUN = re.compile(r"^(?:ERROR \(catatonit:\d+\)|\[FATAL tini \(\d+\)\]).* exec .*: (.+)$")
_NOT_STARTED = ("created", "configured", "initialized", "")


class ContainerSandbox:
    """The container of one attempt, and the folders that it can write to."""

    def __init__(self, placement: Placement, engine: Callable[[], Engine]) -> None:
        """`engine` finds it, and raises EngineError where there is none."""
        self._find = engine
        self._placement, self._image = placement, str(placement.template["image"])
        self._folder = new_folder()
        self._engine: Engine | None = None
        self._client: asyncio.subprocess.Process | None = None
        self._cancelled: asyncio.Future[float] | None = None
        self._made = False
        self.spent = False

    async def start(self) -> None:
        """Finds the engine; raises EngineError."""
        self._engine = await asyncio.to_thread(self._find)
        for name in ("work", "tmp", "data"):
            (self._folder / name).mkdir()

    async def run(
        self,
        given: Dispatch,
        arguments: Mapping[str, Json],
        parcels: Parcels,
        output: Output,
        attendant: object = None,
    ) -> "Json | Failure":
        """Runs the attempt to its end; its output, or why it failed. Raises SandboxEnded."""
        assert self._engine is not None
        self._cancelled = asyncio.get_running_loop().create_future()
        try:
            variables = await self._variables_of_image(self._engine, output)
        except EngineError as error:
            return Failure.cut(Reason.IMAGE_PULL_FAILED, f"image {self._image}: {error}")
        try:
            parcels.place(self._folder / "work")
        except (NotATree, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            return Failure.cut(Reason.ERROR, f"what the step needs could not be placed: {why}")
        (self._folder / "tmp" / INPUT).write_bytes(canonical(dict(arguments)))
        self._hand_over()
        command = program, *words = command_of(given, variables)
        options = options_of(given, self._placement, self._folder, self._engine.podman)
        if self._cancelled.done():
            return Failure.cut(Reason.CANCELLED, "cancelled before it ran")
        self._made = True
        try:
            made = (f"--entrypoint={program}", "--", self._image, *words)
            await self._engine.say("create", *options, *made)
        except EngineError as error:
            return Failure.cut(Reason.SANDBOX_START_FAILED, f"the container cannot be made: {error}")
        code, by = await self._run(self._engine, given.timeout, output)
        if by is Reason.TIMEOUT:
            message = f"ran longer than its timeout of {given.timeout:g}s"
            return Failure.cut(by, message, log_tail=output.tail)
        found = await self._verdict(self._engine, code, command, output)
        if not isinstance(found, Failure) and (wrong := parcels.keep(self._folder / "work")) is not None:
            found = wrong
        if by is Reason.CANCELLED and isinstance(found, Failure):
            return Failure.cut(by, f"cancelled while it ran ({found.message})", log_tail=output.tail)
        return found

    def cancel(self, grace: float) -> None:
        """Asks the command to end, and ends it after `grace` seconds."""
        if self._cancelled is not None and not self._cancelled.done():
            self._cancelled.set_result(grace)

    def close(self) -> None:
        """Ends the container, and removes it and its folders."""
        if self._client is not None and self._client.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._client.kill()
        if self._made and self._engine is not None:
            self._engine.remove(self._folder.name)
        for directory, names, _ in os.walk(self._folder):
            # A step may have taken itself the right to look into them.
            for name in names:
                with contextlib.suppress(OSError):
                    Path(directory, name).chmod(0o700, follow_symlinks=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    # ---- before

    async def _variables_of_image(self, engine: Engine, output: Output) -> dict[str, str]:
        """The environment that the image brings; it is pulled where it is missing. Raises EngineError."""
        ask = ("image", "inspect", "--format", "{{json .Config.Env}}", "--", self._image)
        try:
            said = await engine.say(*ask)
        except EngineError:
            output.note(f"pulling {self._image}")
            await engine.say("pull", "--quiet", "--", self._image, patience=None)
            said = await engine.say(*ask)
        pairs = (pair.partition("=") for pair in json.loads(said) or ())
        return {"PATH": PATH, **{name: value for name, _, value in pairs}}

    def _hand_over(self) -> None:
        """What was placed belongs to the user of the container."""
        if os.geteuid() != 0:
            return
        os.chown(self._folder, UID, UID)
        for directory, names, files in os.walk(self._folder):
            for name in (*names, *files):
                os.chown(Path(directory, name), UID, UID, follow_symlinks=False)

    # ---- while it runs

    async def _run(
        self,
        engine: Engine,
        timeout: float | None,
        output: Output,
    ) -> tuple[int, Reason | None]:
        """Exit code of the engine, and what brought the end about, if it was not the command itself."""
        self._client = client = await asyncio.create_subprocess_exec(
            engine.program,
            "start",
            "--attach",
            self._folder.name,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            limit=LINE_LIMIT,
            start_new_session=True,
        )
        assert client.stdout is not None
        assert client.stderr is not None
        readers = [
            asyncio.create_task(output.follow("stdout", client.stdout)),
            asyncio.create_task(output.follow("stderr", client.stderr)),
        ]
        try:
            by = await self._await_end(engine, client, timeout)
            await asyncio.wait(readers, timeout=EXIT_SECONDS)
        finally:
            for task in readers:
                task.cancel()
        return client.returncode or 0, by

    async def _await_end(
        self, engine: Engine, client: asyncio.subprocess.Process, timeout: float | None
    ) -> Reason | None:
        assert self._cancelled is not None
        ended = asyncio.create_task(client.wait())
        by: Reason | None = None
        try:
            both: set[asyncio.Future[int] | asyncio.Future[float]] = {ended, self._cancelled}
            await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() and self._cancelled.done():
                by = Reason.CANCELLED
                await self._terminate(engine)
                await asyncio.wait({ended}, timeout=self._cancelled.result())
            elif not ended.done():
                by = Reason.TIMEOUT
            tries = 0
            while not ended.done():
                # It may still be starting, and is not to be killed before it has.
                with contextlib.suppress(EngineError):
                    await engine.say("kill", self._folder.name)
                await asyncio.wait({ended}, timeout=EXIT_SECONDS / KILLS)
                tries += 1
                if tries > KILLS:
                    raise SandboxEnded("the container of the step does not end")
        finally:
            ended.cancel()
        return by

    async def _terminate(self, engine: Engine) -> None:
        """SIGTERM to every process of the step, as in a cluster; an engine tells only the first."""
        with contextlib.suppress(EngineError, OSError, ValueError):
            said = await engine.say("inspect", "--format", "{{.Id}} {{.State.Pid}}", self._folder.name)
            container, pid = said.split()
            if _is_here(int(pid), container):
                processes.send(int(pid), signal.SIGTERM)
                return
        with contextlib.suppress(EngineError):
            await engine.say("kill", "--signal=TERM", self._folder.name)

    # ---- after

    async def _verdict(
        self, engine: Engine, code: int, command: Sequence[str], output: Output
    ) -> "Json | Failure":
        ask = ("inspect", "--format", "{{.State.Status}} {{.State.OOMKilled}}", self._folder.name)
        try:
            status, _, out_of_memory = (await engine.say(*ask)).strip().partition(" ")
        except EngineError:
            status, out_of_memory = "", "false"
        said = output.tail.splitlines()[-1] if output.tail else ""
        if status in _NOT_STARTED:
            message = f"the container could not be started: {said.removeprefix('Error: ')}"
            return Failure.cut(Reason.SANDBOX_START_FAILED, message, log_tail=output.tail)
        if code == 0:
            return output_of(self._folder / "tmp" / OUTPUT, output)
        reason, message = Reason.ERROR, f"exit code {code}"
        limit = self._placement.template["resources"]["limits"]["memory"]
        if out_of_memory == "true":
            reason, message = Reason.OOM_KILLED, f"used more memory than its limit of {limit}"
        elif (found := _NOT_RUN.match(said)) is not None:
            message = f"command {json.dumps(command[0])} cannot be run: {found[1]}"
        elif code - 128 in {int(number) for number in signal.Signals}:
            message = f"killed by {signal.Signals(code - 128).name}"
            # Not every engine sees which of the processes was ended for want of memory.
            message += f"; its limit of memory is {limit}" if code - 128 == signal.SIGKILL else ""
        return Failure.cut(reason, message, exit_code=code, log_tail=output.tail)


def _is_here(pid: int, container: str) -> bool:
    """Whether the processes of a container can be told. An engine in a machine of its own counts anew: what
    has that number here is another process."""
    return container in Path(f"/proc/{pid}/cgroup").read_text() and bool(processes.descendants(pid))
