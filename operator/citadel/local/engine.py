"""The container engine of this machine: podman, else docker; its command line is all that is known of it.

It never installs or starts one: where none answers, the message says what was looked for.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: Looked for in this order, unless the variable names one.
ENGINES = ("podman", "docker")
VARIABLE = "CITADEL_ENGINE"
#: Seconds that an engine may take for a word; a pull may take as long as it takes.
PATIENCE = 60.0


#: Tells containers of this machine's runs from those of others that use the same engine.
LABEL = f"dev.citadel.host={socket.gethostname()}"
_OURS = ("ps", "--all", f"--filter=label={LABEL}", "--format={{.Names}}")


class EngineError(OSError):
    """The engine does not do it; the text is what it said."""


@dataclass(frozen=True)
class Engine:
    """A program that answers."""

    program: str
    podman: bool

    def told(self, egress: bool) -> str:
        """What is isolated, and what is not. `egress`: whether steps name something that they reach."""
        own = "a user of their own, read-only, no network" + (" but for steps with egress" if egress else "")
        return f"containers: {Path(self.program).name} ({own}; memory is limited, processors are not)"

    async def say(self, *arguments: str, patience: float | None = PATIENCE) -> str:
        """What the engine prints; raises EngineError."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            said, wrong = await asyncio.wait_for(process.communicate(), patience)
        except TimeoutError:
            raise EngineError(f"{self.program} {arguments[0]} does not end") from None
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode != 0:
            raise EngineError(last_line(wrong) or f"{self.program} {arguments[0]}: no word")
        return said.decode("utf-8", "replace")

    def remove(self, container: str) -> None:
        """Ends a container and takes it away, if there is one."""
        # A forced removal alone would wait for the container to end.
        for arguments in (("kill", container), ("rm", "--force", "--volumes", container)):
            subprocess.run([self.program, *arguments], capture_output=True, check=False)  # noqa: S603


def find() -> Engine:
    """The engine that answers; raises EngineError, which says of each why not."""
    wanted = os.environ.get(VARIABLE)
    reasons = []
    for name in (wanted,) if wanted else ENGINES:
        program = shutil.which(name)
        if program is None:
            reasons.append(f"{name} is not installed")
            continue
        try:
            answer, version = (_answer(program, *words) for words in (_OURS, ("--version",)))
        except (OSError, subprocess.TimeoutExpired) as error:
            reasons.append(f"{name} does not answer: {error}")
            continue
        if answer.returncode == 0:
            engine = Engine(program, podman=b"podman" in version.stdout)
            _sweep(engine, answer.stdout.decode().split())
            return engine
        reasons.append(f"{name} does not answer: {last_line(answer.stderr)}")
    raise EngineError("; ".join(reasons))


def new_folder() -> Path:
    """A folder for what a container writes to, whose name is also the container's: it tells whose it is."""
    return Path(tempfile.mkdtemp(prefix=f"citadel-{os.getpid()}-"))


def _sweep(engine: Engine, names: list[str]) -> None:
    """Takes away what processes have left that were killed themselves."""
    for name in names:
        _, pid, _ = name.split("-", 2)
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            engine.remove(name)
            shutil.rmtree(Path(tempfile.gettempdir(), name), ignore_errors=True)
        except OSError:
            continue


def _answer(program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program, *words], capture_output=True, check=False, timeout=PATIENCE)  # noqa: S603


def last_line(said: bytes) -> str:
    """The last line that says something: that is where engines tell what went wrong."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else ""
