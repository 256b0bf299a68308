"""The view of an execution's steps."""

import pytest
from rich.console import Console

from citadel.cli.drawing import Frame, render
from citadel.cli.steps import Tree, View, duration, rows_of_json, seconds_of
from citadel.core.telling import Told


def shown(view: View, now: float = 100.0, height: int | None = None, width: int = 120) -> list[str]:
    console = Console(width=width, color_system=None, file=None, record=True, quiet=False)
    with console.capture() as captured:
        console.print(render(view, now, Frame(height=height)))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"), (0.04, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59.9, "59s"), (60, "1m"),
        (100, "1m40s"), (3600, "1h"), (3700, "1h1m"), (90_000, "1d1h"), (86_400, "1d"),
    ],
)  # fmt: skip
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("at", "seconds"),
    [(12.5, 12.5), (None, None), ("", None), ("1970-01-01T00:01:00Z", 60.0), ("soon", None)],
)
def test_times_are_numbers_or_timestamps(at: object, seconds: float | None) -> None:
    assert seconds_of(at) == seconds


def test_each_step_has_a_line_with_status_attempt_duration_and_message() -> None:
    steps = [
        Told("load", "Succeeded", 1, started=90.0, finished=90.3),
        Told("count", "Running", 2, "Error", "ValueError: no rows", 95.0),
        Told("tell", "Pending"),
    ]
    assert shown(View("sales-x2k4v", "Running", started=90.0, steps=Tree(steps))) == [
        "● sales-x2k4v  Running  1/3  10s",
        "├─ ✔ load  Succeeded           0.3s",
        "├─ ● count Running (attempt 2) 5.0s Error: ValueError: no rows",
        "└─ ○ tell  Pending",
    ]


def test_a_failed_execution_says_why() -> None:
    view = View("x", "Failed", "Error", "step a: exit code 1", 90.0, 91.0)
    assert shown(view)[0] == "✘ x  Failed  1.0s  Error: step a: exit code 1"


def test_markup_and_escapes_in_messages_are_text() -> None:
    steps = [Told("a", "Failed", 1, "Error", "[bold]x[/bold] \x1b[2J\nnext")]
    assert shown(View("e", "Failed", steps=Tree(steps)))[1].endswith("Error: [bold]x[/bold] ␛[2J next")


def test_on_a_small_terminal_what_is_urgent_stays() -> None:
    steps = [
        *(Told(f"done{i}", "Succeeded", 1, started=i, finished=i + 1) for i in range(50)),
        Told("busy", "Running", 1, started=90.0),
        *(Told(f"later{i}", "Pending") for i in range(50)),
        Told("bad", "Failed", 1, "Error"),
    ]
    lines = shown(View("e", "Running", started=0.0, steps=Tree(steps)), height=8)
    assert len(lines) <= 8
    assert [line.split()[2] for line in lines[1:-1]] == ["done47", "done48", "done49", "busy", "bad"]
    assert lines[-1] == "└─ and 50 Pending, 47 Succeeded"


def test_steps_that_a_status_names_do_not_count_as_all() -> None:
    steps = rows_of_json([{"name": "a", "status": "Running", "attempt": 3, "startedAt": "bad"}])
    assert steps == [Told("a", "Running", 3)]
    assert View("e", "Running", steps=Tree(steps), counted="7/90").progress == "7/90"
