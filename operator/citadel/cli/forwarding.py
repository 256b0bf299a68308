"""A port of the api's pod on this machine, forwarded by kubectl; it ends with whoever wanted it."""

import asyncio
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from citadel.cli.remote import ExitCode, Refused, Target

#: Seconds until kubectl must have said which port it listens on.
OPENING = 20.0
_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)")


@asynccontextmanager
async def forwarded(target: Target, ports: tuple[int, ...]) -> AsyncIterator[dict[int, int]]:
    """Local ports by the pod's ports, while kubectl forwards them to the installation's first api pod.

    Raises Refused when kubectl is missing, or may not.
    """
    command = [
        "kubectl",
        *target.kubectl_options,
        "port-forward",
        f"--namespace={target.system_namespace}",
        "--address=127.0.0.1",
        f"pod/{target.release}-api-0",
        *(f":{port}" for port in ports),
    ]
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    except OSError as error:
        message = f"kubectl cannot be started ({error.strerror}); it forwards the port to Citadel's api"
        raise Refused(message, ExitCode.UNREACHABLE) from error
    assert process.stdout is not None
    assert process.stderr is not None
    drains: list[asyncio.Task[bytes]] = []
    try:
        errors = asyncio.create_task(process.stderr.read())
        drains.append(errors)
        try:
            async with asyncio.timeout(OPENING):
                local = await _listening(process, ports)
        except TimeoutError:
            local = None
        if local is None:
            await _ended(process)
            told = _last_line(await errors)
            pod = f"pod {target.release}-api-0 of namespace {target.system_namespace}"
            raise Refused(f"no connection to the api, {pod}: {told}", ExitCode.UNREACHABLE)
        # kubectl prints a line for each connection: unread, they would fill the pipe and stop it.
        drains.append(asyncio.create_task(process.stdout.read()))
        yield local
    finally:
        await _ended(process)
        for drain in drains:
            drain.cancel()
        await asyncio.gather(*drains, return_exceptions=True)


async def _listening(process: Process, ports: tuple[int, ...]) -> dict[int, int] | None:
    """The local ports that kubectl prints; None when it ends before."""
    assert process.stdout is not None
    local: dict[int, int] = {}
    while len(local) < len(set(ports)):
        line = await process.stdout.readline()
        if not line:
            return None
        if match := _FORWARDING.search(line):
            local[int(match[2])] = int(match[1])
    return local


async def _ended(process: Process) -> None:
    """Ends kubectl, however it is doing.

    By os.kill: Process.terminate would itself reap one that has just died, and asyncio then miss its end.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                await process.wait()
                return


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ")[:500] if lines else "no answer"
