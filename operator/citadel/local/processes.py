"""The process tree below a local sandbox. Only processes that descend from it are ever signalled."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

#: Seconds that killed processes may take to be gone.
CLEAR_SECONDS = 5.0


class ProcessesRemain(Exception):
    """Killed processes do not end."""


def descendants(root: int) -> list[int]:
    """Processes below `root` that have not ended, in no order."""
    if _childless(root):
        return []
    parents = dict(_linux() if sys.platform == "linux" else _portable())
    found = []
    for pid in parents:
        ancestor = parents.get(pid, 0)
        while ancestor not in (0, root):
            ancestor = parents.get(ancestor, 0)
        if ancestor == root:
            found.append(pid)
    return found


def send(root: int, number: int) -> None:
    """Sends a signal to everything below `root`, once."""
    for pid in descendants(root):
        _kill(pid, number)


async def clear(root: int) -> None:
    """Kills what is below `root` until nothing is; raises ProcessesRemain."""
    pause = 0.0005
    deadline = asyncio.get_running_loop().time() + CLEAR_SECONDS
    while found := descendants(root):
        if asyncio.get_running_loop().time() > deadline:
            raise ProcessesRemain(f"{len(found)} processes of the step do not end")
        for pid in found:
            _kill(pid, signal.SIGKILL)
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.01)


def destroy(root: int) -> None:
    """Kills `root` and everything below it, without waiting: for the way out."""
    for _ in range(3):
        # Below first: what is orphaned by the end of the root cannot be found any more.
        send(root, signal.SIGKILL)
    _kill(root, signal.SIGKILL)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _childless(root: int) -> bool:
    """Whether it is certain that nothing is below `root`: one small file instead of all of /proc."""
    try:
        return not Path(f"/proc/{root}/task/{root}/children").read_text().strip()
    except OSError:
        return False


def _linux() -> list[tuple[int, int]]:
    """Process and parent of each process that is not a zombie's."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            # The name in parentheses is the process's own choice: what counts stands behind the last one.
            state, parent = (
                Path("/proc", entry, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            )
        except (OSError, ValueError):
            continue
        if state not in "ZX":
            found.append((int(entry), int(parent)))
    return found


def _portable() -> list[tuple[int, int]]:
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=False)  # noqa: S607
    lines = (line.split() for line in listed.stdout.splitlines())
    return [(int(pid), int(parent)) for pid, parent, stat in lines if not stat.startswith("Z")]
