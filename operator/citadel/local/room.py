"""The folders of one sandbox, where its processes see them, and how it is started."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from citadel.local.isolation import Isolation, beyond_the_system, of_python, seen_at
from citadel.local.languages import Language, Seen
from citadel.local.tools import shipped

#: What of this shell's environment steps see: what they need to run, not what a cluster would not give them.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
OWN = "/citadel"
_LOCAL = Path(__file__).resolve().parent


class Room:
    """What a sandbox has of this machine."""

    def __init__(
        self, language: Language, isolation: Isolation, network: bool, more: Mapping[str, str]
    ) -> None:
        """`network`: its steps reach something. `more` is of the environment."""
        self._more = more
        self._isolation, self._network = isolation, network
        self.folder = Path(tempfile.mkdtemp(prefix="citadel-"))
        self.work, self.tmp, self.memory = (self.folder / name for name in ("work", "tmp", "memory"))
        self.program = self.folder / "program"
        self._harness = shipped(language.name)
        self._own = isolation.command is not None
        certificates = [os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")]
        given = [*language.readable, *(Path(path) for path in certificates if path)]
        self._readable = [*of_python(), *beyond_the_system(given)]
        self._work = seen_at("/work", f"{OWN}/work", self._readable) if self._own else str(self.work)
        self._tmp = seen_at("/tmp", f"{OWN}/tmp", self._readable) if self._own else str(self.tmp)  # noqa: S108
        self.seen = Seen(
            harness=f"{OWN}/harness" if self._own else str(self._harness),
            local=f"{OWN}/local" if self._own else str(_LOCAL),
            tmp=self._tmp,
            program=f"{OWN}/program/step" if self._own else str(self.program / "step"),
        )
        self._forks = not language.command(self.seen, build=False)

    def open(self) -> None:
        """Makes the folders."""
        for folder in (self.work, self.tmp, self.memory, self.program):
            folder.mkdir()

    def command(self, channel: int, *more: int) -> list[str]:
        """What starts the sandbox; its socket is the descriptor `channel`, and there may be `more`."""
        script = f"{self.seen.harness}/harness.py" if self._forks else f"{self.seen.local}/starter.py"
        command = [sys.executable, "-S", "-P", f"{self.seen.local}/launch.py", str(channel), script]
        command += map(str, more)
        if not self._own:
            return command
        binds = [
            (_LOCAL, self.seen.local, False),
            (self._harness, self.seen.harness, False),
            (self.program, f"{OWN}/program", False),
            (self.memory, "/dev/shm", True),  # noqa: S108
            (self.work, self._work, True),
            (self.tmp, self._tmp, True),
        ]
        return [*self._isolation.wrap(binds, self._readable, self._work, self._network), *command]

    def environment(self) -> Mapping[str, str]:
        """The variables of every process in it."""
        found = {name: value for name in PASSED_ON if (value := os.environ.get(name)) is not None}
        if self._network or not self._own:
            found |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        path = [part for part in (self._more.get("PYTHONPATH"), found.get("PYTHONPATH")) if part]
        found |= {"PYTHONPATH": os.pathsep.join(path)} if path else {}
        return {
            **self._more,
            **found,
            "HOME": self._work,
            "TMPDIR": self._tmp,
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def place_program(self, program: bytes) -> None:
        """Puts the program of the next attempt where it is started from."""
        draft = self.program / "draft"
        draft.write_bytes(program)
        draft.chmod(0o555)
        draft.replace(self.program / "step")

    def wipe(self) -> bool:
        """Empties the folders for the next attempt; False when that cannot be done."""
        try:
            for folder in (self.work, self.tmp, self.memory):
                _empty(folder)
        except OSError:
            # The step has taken the folder away, or its rights.
            return False
        return True

    def close(self) -> None:
        """Removes the folders."""
        shutil.rmtree(self.folder, onerror=lambda remove, path, _: _unlocked(path))


def _empty(folder: Path) -> None:
    folder.chmod(0o700)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            entry.chmod(0o700)  # a step may lock what is its own
            _empty(entry)
            entry.rmdir()
        else:
            entry.unlink()


def _unlocked(path: str) -> None:
    """What a step has locked is unlocked, and removed if that is enough."""
    try:
        Path(path).parent.chmod(0o700)
        Path(path).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        return
