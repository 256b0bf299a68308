"""What keeps steps on this machine from each other and from its user: bubblewrap, or nothing.

With bubblewrap a sandbox sees the system read-only, folders and processes of its own, and the network only
where its steps name something that they reach. Neither memory nor processor time is limited.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Wanted = Literal["auto", "bubblewrap", "none"]

#: Where programs and libraries of a system are.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu")
#: Of /etc just what programs ask for: the rest may be secret.
SETTINGS = (
    *("alternatives", "ca-certificates", "crypto-policies", "fonts", "group", "host.conf", "hosts"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "passwd"),
    *("pki", "protocols", "resolv.conf", "services", "ssl", "static", "timezone"),
)
_SECONDS = 20.0


class NotIsolated(Exception):
    """Bubblewrap was asked for, and does not work here; the message says why."""


@dataclass(frozen=True)
class Isolation:
    """What sandboxes are kept in."""

    command: str | None = None
    """Bubblewrap's; None: nothing."""
    why: str = ""
    """Why there is nothing."""

    def told(self, egress: bool) -> str:
        """One line for people; `egress`: some steps reach something."""
        if self.command is None:
            return f"isolation: none: {self.why}; steps run as you, and can do what you can"
        network = "no network"
        if egress:
            network += " but for steps with network.egress, which reach all of it"
        own = f"own files and processes, {network}"
        return f"isolation: bubblewrap ({own}); memory and processor are not limited"

    def wrap(
        self, binds: Sequence[tuple[Path, str, bool]], readable: Iterable[Path], work: str, network: bool
    ) -> list[str]:
        """What stands before the command of a sandbox, whose process is the first one of its own.

        `binds` are folders, where each is seen, and whether it can be written; `readable` are seen where they
        are, `work` is where it starts.
        """
        assert self.command is not None
        options = [self.command, "--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        options += ["--unshare-cgroup-try", "--die-with-parent", "--as-pid-1", "--hostname", "sandbox"]
        if not network:
            options += ["--unshare-net"]
        for path in SYSTEM:
            options += ["--ro-bind-try", path, path]
        for path in _settings():
            options += ["--ro-bind-try", path, path]
        options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108
        for path in sorted(set(map(str, readable))):
            options += ["--ro-bind-try", path, path]
        for source, seen, writable in binds:
            options += ["--bind" if writable else "--ro-bind", str(source), seen]
        if not any(seen == "/tmp" for _, seen, _ in binds):  # noqa: S108
            options += ["--remount-ro", "/tmp"]  # noqa: S108
        # What is left there no one would wipe.
        return [*options, "--remount-ro", "/", "--chdir", work, "--"]


def _settings() -> list[str]:
    """Files and folders of /etc, those of the languages too, as java-21-openjdk."""
    languages = sorted(str(path) for path in Path("/etc").glob("java*"))
    return [*(f"/etc/{name}" for name in SETTINGS), *languages, "/etc/jvm", "/etc/nodejs"]


def beyond_the_system(paths: Iterable[Path]) -> list[Path]:
    """Those of the paths that are there, and no part of what is seen anyway.

    A home directory, or what holds one, is never among them: it is not to be seen.
    """
    home = Path.home().resolve()
    found = []
    for path in paths:
        real = path.resolve()
        if not path.exists() or real == home or real in home.parents or _within(path, SYSTEM):
            continue
        found.append(path)
    return found


def of_python() -> list[Path]:
    """Where this interpreter is, and where it imports from."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    places |= {entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    return beyond_the_system(Path(place) for place in sorted(places))


def seen_at(wanted: str, otherwise: str, readable: Iterable[Path]) -> str:
    """The place of a folder of the sandbox: the one that is `wanted`, unless something readable is in it."""
    return otherwise if any(_within(path, (wanted,)) for path in readable) else wanted


def _within(path: Path, folders: Sequence[str]) -> bool:
    return any(str(path) == folder or str(path).startswith(f"{folder}/") for folder in folders)


def choose(wanted: Wanted) -> Isolation:
    """What there is on this machine; raises NotIsolated when bubblewrap is `wanted` and does not work."""
    if wanted == "none":
        return Isolation(None, "--isolation none")
    command = shutil.which("bwrap") if sys.platform == "linux" else None
    problem = "bubblewrap is not installed" if sys.platform == "linux" else "bubblewrap is for Linux"
    if command is not None:
        found = Isolation(command)
        said = _tried(found)
        if said is None:
            return found
        problem = f"bubblewrap does not work here ({said})"
    if wanted == "bubblewrap":
        cure = "install it (the package bubblewrap)" if command is None else "allow user namespaces"
        raise NotIsolated(f"--isolation bubblewrap: {problem}; {cure}, or choose --isolation none")
    return Isolation(None, problem)


def _tried(isolation: Isolation) -> str | None:
    """What bubblewrap says against a sandbox; None when there is one."""
    words = isolation.wrap((), of_python(), "/", False)
    try:
        done = subprocess.run(  # noqa: S603
            [*words, sys.executable, "-I", "-S", "-c", ""],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip() or "it ends without a word")[:300]
