"""The command line in a process of its own, on a file of the test."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

#: Seconds of one command: of agents each loads LangChain, which takes a busy machine a while.
LONGEST = 240
COMMAND = [sys.executable, "-c", "from citadel.cli import main; main(prog_name='citadel')"]


@dataclass(frozen=True)
class Ended:
    """What a command said, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def outputs(self) -> Any:
        return json.loads(self.stdout)


Citadel = Callable[..., Ended]


@pytest.fixture
def citadel(tmp_path: Path) -> Citadel:
    """Runs `citadel ARGUMENTS` in the test's folder."""

    def run(*arguments: str, **env: str) -> Ended:
        done = subprocess.run(
            [*COMMAND, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=LONGEST,
            env=os.environ | env,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def workflow(tmp_path: Path) -> Callable[..., str]:
    """Writes a workflow of these steps (YAML text, as below `steps:`) and gives the file's name."""

    def write(steps: str, *, spec: str = "", after: str = "") -> str:
        text = "apiVersion: citadel.dev/v1alpha1\nkind: Workflow\nmetadata: {name: flow}\nspec:\n"
        text += _indented(spec, "  ") + "  steps:\n" + _indented(steps, "  ") + _indented(after, "")
        (tmp_path / "flow.yaml").write_text(text)
        return "flow.yaml"

    return write


def _indented(text: str, by: str) -> str:
    import textwrap

    text = textwrap.dedent(text).strip("\n")
    return textwrap.indent(text, by) + "\n" if text else ""
