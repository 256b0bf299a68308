"""`citadel run --local` on a terminal: the steps as they run, with those of the workflows within."""

import os
import re
import sys
from pathlib import Path

from commandline import python_step
from terminals import Terminal, on_terminal

CITADEL = str(Path(sys.executable).with_name("citadel"))
HEAD = "apiVersion: citadel.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: {}}}\nspec:\n  steps:\n"


def written(folder: Path, *workflows: tuple[str, str]) -> str:
    """A file of workflows, each a name and its steps."""
    file = folder / "workflow.yaml"
    texts = [
        HEAD.format(name) + "".join(f"  {step}\n" for step in steps.splitlines()) for name, steps in workflows
    ]
    file.write_text("---\n".join(texts))
    return str(file)


def last_frame(terminal: Terminal) -> list[str]:
    """What stands on the screen at the end, line by line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.text).replace("\r", "")
    return plain[plain.rindex("demo  ") :].splitlines()


async def test_the_last_tree_stays_with_bars_and_what_ran_within(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        (
            "demo",
            python_step("first", "def main(): return '表\\x1b[2J'")
            + "- {name: bill, workflow: {name: inner}}\n",
        ),
        ("inner", python_step("charge", "def main(): return 1")),
    )
    async with on_terminal(CITADEL, "run", "--local", file, env=dict(os.environ), width=120) as terminal:
        assert await terminal.end() == 0
    title, first, bill, charge, scale, *_ = last_frame(terminal)
    assert title.startswith("demo  Succeeded  2/2")
    assert first.startswith("├─ ✔ first     Succeeded")
    assert bill.startswith("└─ ✔ bill      Succeeded")
    assert charge.startswith("   └─ ✔ charge Succeeded")
    assert "█" in first
    assert scale.split()[0] == "0"


async def test_an_interruption_is_said_above_the_tree(tmp_path: Path) -> None:
    file = written(tmp_path, ("demo", python_step("slow", "import time\ndef main(): time.sleep(600)")))
    async with on_terminal(CITADEL, "run", "--local", file, env=dict(os.environ)) as terminal:
        assert await terminal.shows(lambda text: "Running" in text)
        terminal.type("\x03")
        assert await terminal.end() == 130
    assert "citadel: cancelling; once more to end it at once\r\n" in terminal.text
    assert last_frame(terminal)[0].startswith("demo  Cancelled")
    assert "\x1b[?25h" in terminal.text


async def test_a_dumb_terminal_gets_lines(tmp_path: Path) -> None:
    file = written(tmp_path, ("demo", python_step("first", "def main(): return 1")))
    env = {**os.environ, "TERM": "dumb"}
    async with on_terminal(CITADEL, "run", "--local", file, env=env) as terminal:
        assert await terminal.end() == 0
    assert "first: running\r\nfirst: succeeded in " in terminal.text
    assert "\x1b" not in terminal.text
