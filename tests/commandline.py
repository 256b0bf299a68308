"""For tests of the command line: steps as YAML, and looking at processes."""

import json
import time
from collections.abc import Callable
from pathlib import Path


def python_step(name: str, code: str, *more: str, **arguments: object) -> str:
    """A Python step in one line of YAML; `more` are further fields."""
    fields = [f"name: {name}", f"run: {{runtime: python, code: {json.dumps(code)}}}"]
    fields += [f"with: {json.dumps(arguments)}"] if arguments else []
    return "- {" + ", ".join([*fields, *more]) + "}\n"


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether something becomes true within ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def written(path: Path) -> bool:
    """Whether a file exists and holds something."""
    return path.exists() and path.read_text() != ""
