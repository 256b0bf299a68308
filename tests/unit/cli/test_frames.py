"""Frames of an execution on a terminal: the tree, what is folded of it, and the bars."""

import io
import sys

import pytest
from rich.cells import cell_len
from rich.console import Console

from citadel.cli.drawing import Frame, render
from citadel.cli.folding import lines_of
from citadel.cli.gantt import Axis, bar, scale
from citadel.cli.steps import Tree, View
from citadel.core.state import Try
from citadel.core.telling import Told


def ran(name: str, ready: float, began: float, ended: float | None = None, **fields: object) -> Told:
    """A step that waited, ran, and has ended well if it has ended."""
    status = "Running" if ended is None else "Succeeded"
    known: dict[str, object] = {
        "attempt": 1,
        "started": began,
        "finished": ended,
        "ready": ready,
        "began": began,
    }
    return Told(**{"name": name, "status": status, "action": "run", **known, **fields})  # type: ignore[arg-type]


def loop(name: str, total: int, *turns: Told, **fields: object) -> list[Told]:
    status: dict[str, object] = {"status": "Running", "started": 0.0, "began": 0.0, "total": total}
    return [Told(**{"name": name, **status, **fields}), *turns]  # type: ignore[arg-type]


def shown(steps: list[Told], now: float = 20.0, phase: str = "Running", **frame: object) -> list[str]:
    """The lines of a frame."""
    known: dict[str, object] = {"width": 100, "folded": True, **frame}
    view = View("e", phase, started=0.0, steps=Tree(steps), counted="1/2")
    width = known["width"]
    assert isinstance(width, int)
    console = Console(width=width, color_system=None, file=io.StringIO())
    with console.capture() as captured:
        console.print(render(view, now, Frame(**known)), soft_wrap=True)  # type: ignore[arg-type]
    return [line.rstrip() for line in captured.get().splitlines()]


def tree(steps: list[Told], **frame: object) -> list[str]:
    return shown(steps, gantt=False, **frame)[1:]


def test_what_is_part_of_a_step_stands_below_it() -> None:
    steps = [
        Told("fix", "Running", action="steps", total=2, index=0),
        Told("fix[1]", "Succeeded", action="steps"),
        Told("fix[1].test", "Succeeded", 1, index=2),
        Told("fix[1].write", "Succeeded", 1, index=1),
        Told("fix[2]", "Running", action="steps"),
        Told("fix[2].write", "Running", 1, index=1),
        Told("load", "Failed", 1, index=3),
        Told("load.onError", "Succeeded", action="steps", index=4),
        Told("load.onError.tell", "Succeeded", 1, index=5),
        Told("load.compensate", "Running", 1, index=6),
        Told("last", "Pending", index=7, final=True),
    ]
    assert [" ".join(line.split()) for line in tree(steps)] == [
        "├─ ● fix iteration 2 Running",
        "│ ├─ ✔ fix[1] Succeeded",
        "│ │ ├─ ✔ write Succeeded",
        "│ │ └─ ✔ test Succeeded",
        "│ └─ ● fix[2] Running",
        "│ └─ ● write Running",
        "├─ ✘ load Failed",
        "│ ├─ ✔ onError Succeeded",
        "│ │ └─ ✔ tell Succeeded",
        "│ └─ ● compensate Running",
        "└─ ○ finally: last Pending",
    ]


@pytest.mark.parametrize("within", ["", "bill"])
def test_what_is_part_of_a_step_may_come_before_it(within: str) -> None:
    steps = [
        Told("fix[1].write", "Succeeded", 1, index=1),
        Told("fix[2]", "Running", action="steps"),
        Told("fix[1]", "Succeeded", action="steps"),
        Told("fix", "Running", action="steps", total=2, index=0),
    ]
    known = Tree([Told("bill", "Waiting", 1)] if within else [])
    known.put(steps, within)
    known.put(steps, within)
    lines, _ = lines_of(known)
    assert [line.label for line in lines][bool(within) :] == ["fix", "fix[1]", "write", "fix[2]"]


def test_of_a_loop_with_many_turns_those_under_way_and_those_that_failed_are_shown() -> None:
    turns = [
        Told(f"load[{number}]", {3: "Failed", 12: "Running"}.get(number, "Succeeded"), 1)
        for number in range(13)
    ]
    assert tree(loop("load", 1000, *turns)) == [
        "└─ ● load  12/1000, 1 failed Running 20s",
        "   ├─ ✘ load[3]              Failed",
        "   └─ ● load[12]             Running",
    ]
    assert len(tree(loop("load", 1000, *turns), folded=False)) == 14


def test_a_loop_with_few_turns_is_shown_whole() -> None:
    turns = [Told(f"load[{number}]", "Succeeded", 1) for number in (0, 1, 10, 2)]
    assert [line.split()[2] for line in tree(loop("load", 4, *turns))[1:]] == [
        "load[0]",
        "load[1]",
        "load[2]",
        "load[10]",
    ]


def test_of_very_many_that_failed_the_first_are_shown() -> None:
    turns = [Told(f"load[{number}]", "Failed", 1, "Error") for number in range(500)]
    lines = tree(loop("load", 500, *turns, status="Succeeded"))
    assert lines[0].startswith("└─ ✔ load  500/500, 500 failed Succeeded")
    assert [line.split()[2] for line in lines[1:]] == [f"load[{number}]" for number in range(5)]


def test_executions_that_steps_wait_for_are_below_them_before_what_undoes_these() -> None:
    steps = Tree([Told("bill", "Waiting", 1), Told("bill.compensate", "Pending")])
    steps.put(
        [
            Told("charge", "Succeeded", 1),
            Told("each", "Running", total=1, index=1),
            Told("each[0]", "Running", 1),
        ],
        "bill",
    )
    lines, hidden = lines_of(steps)
    assert [(line.guide, line.label) for line in lines] == [
        ("└─", "bill"),
        ("   ├─", "charge"),
        ("   ├─", "each"),
        ("   │  └─", "each[0]"),
        ("   └─", "compensate"),
    ]
    assert not hidden
    steps.clear("bill")
    assert [row.name for row in steps] == ["bill", "bill.compensate"]


def test_on_a_small_terminal_what_is_urgent_stays_with_what_it_is_part_of() -> None:
    turns = [ran(f"load[{number}]", 0, 1) for number in range(300)]
    turns[250] = Told("load[250]", "Failed", 1, "Error", "no\x1b[2Jrows")
    lines = tree(
        [*loop("load", 300, *turns), *(Told(f"p{n}", "Pending", index=9) for n in range(20))], height=8
    )
    assert len(lines) <= 7
    assert [line.split()[1:3] for line in lines[:2]] == [["●", "load"], ["├─", "●"]]
    assert any("load[250]" in line and "Error: no␛[2Jrows" in line for line in lines)
    assert lines[-1] == "└─ and 296 Running, 20 Pending"


@pytest.mark.parametrize("width", [20, 41, 80, 99, 100, 133, 250])
@pytest.mark.parametrize("gantt", [None, True, False])
def test_no_line_is_wider_than_the_terminal(width: int, gantt: bool | None) -> None:
    steps = [
        ran("表" * 30, 0, 1, 2, message="\x07" * 50, reason="Fehler"),
        Told(
            "a" * 63,
            "Waiting",
            100,
            "WaitingForSignal",
            "表" * 200,
            started=1.0,
            ready=1.0,
            began=1.0,
            action="wait",
        ),
        Told("👩‍💻" * 9, "Failed", 3, "Error", "e\u0301" * 100),
        *loop(
            "deep",
            2,
            Told("deep[0]", "Running"),
            Told("deep[0].x", "Running"),
            Told("deep[0].x.y", "Running"),
        ),
    ]
    # On a narrow one the terminal itself folds what is to stay.
    for height in (30, None) if width >= 80 else (30,):
        assert all(cell_len(line) <= width for line in shown(steps, width=width, gantt=gantt, height=height))


def test_of_what_stays_messages_are_whole() -> None:
    steps = [
        Told("a", "Failed", 1, "Error", "one two three four five six seven"),
        Told("b", "Pending", index=1),
    ]
    assert shown(steps, width=45, gantt=False) == [
        "● e  Running  1/2  20s",
        "├─ ✘ a Failed   Error: one two three four",
        "                five six seven",
        "└─ ○ b Pending",
    ]
    assert shown(steps, width=45, gantt=False, height=9)[1] == "├─ ✘ a Failed   Error: one two three four fi…"


def test_what_waits_says_for_what() -> None:
    steps = [
        Told("a", "Ready", 1, ready=3.0),
        Told("b", "BackingOff", 2, "Error", "boom", ready=23.0, index=1),
        Told("c", "Waiting", 1, "WaitingForApproval", "waits for approval by ann", index=2),
        Told("d", "BackingOff", 2, ready=23.0, tries=(Try(0, 1, 2, "ChildFailed"),), index=3),
    ]
    assert [
        line.partition("  ")[2].partition("(attempt 2)")[2].strip() or line[29:].strip()
        for line in tree(steps)
    ] == [
        "waits for a sandbox",
        "again in 3.0s, after Error: boom",
        "waits for approval by ann",
        "again in 3.0s, after ChildFailed",
    ]


def test_bars_stand_on_one_axis_with_a_scale_below() -> None:
    steps = [
        ran("clone", 0, 5, 10),
        ran("test", 10, 10, index=1),
        Told("ok", "Waiting", 1, "", "", 15.0, ready=15.0, began=15.0, action="approval", index=2),
        Told("later", "Pending", index=3),
    ]
    assert shown(steps, width=70, gantt=True) == [
        "● e  Running  1/2  20s",
        "├─ ✔ clone Succeeded 5.0s  ░░░░░░░░░░███████████",
        "├─ ● test  Running    10s                       █████████████████████",
        "├─ ○ ok    Waiting   5.0s                                 ───────────",
        "└─ ○ later Pending",
        "                           0         5s         10s       15s",
    ]


def test_without_room_for_bars_there_is_the_tree_alone() -> None:
    steps = [ran("a", 0, 1, 2)]
    assert not any("█" in line for line in shown(steps, width=80))
    assert any("█" in line for line in shown(steps, width=120))
    assert not any("█" in line for line in shown(steps, width=120, gantt=False))
    assert any("█" in line for line in shown(steps, width=60, gantt=True))


def painted(step: Told, now: float = 10.0) -> str:
    """A bar of one cell a second, in lines of ten."""
    return "".join(text for text, _ in bar(step, Axis(0, 10, 10), now))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (ran("a", 2, 4, 6), "  ░░██    "),
        (ran("a", 2, 4), "  ░░██████"),
        (Told("a", "Ready", 1, ready=7.0), "       ░░░"),
        (ran("a", 6, 7, 8, tries=(Try(0, 1, 2, "Error"), Try(3, None, 4, "SandboxLost"))), "░▓ ░  ░█  "),
        (Told("a", "BackingOff", 2, ready=12.0, tries=(Try(0, 1, 2, "Error"),)), "░▓        "),
        (Told("a", "Running", started=2.0, began=2.0, action="steps"), "  ━━━━━━━━"),
        (Told("a", "Waiting", 1, "", "", 4.0, ready=4.0, began=4.0, action="wait"), "    ──────"),
        (Told("a", "Skipped", finished=4.0), "          "),
        (Told("a", "Pending"), "          "),
        (ran("a", 3, 3, 3), "   █      "),
        (Told("a", "Succeeded", started=2.0, finished=4.0), "  ██      "),
        (Told("a", "Cancelled", 1, started=None, ready=2.0, finished=4.0), "  ░░      "),
        (ran("a", -5, -4, 99), "██████████"),
    ],
    ids=[
        "waited, then ran", "runs", "waits for a sandbox", "tries one after another",
        "waits for its next try", "a group", "waits outside", "skipped", "to come", "in no time",
        "of a status", "cancelled while it waited", "beyond the axis",
    ],
)  # fmt: skip
def test_bars(step: Told, expected: str) -> None:
    assert painted(step) == expected


@pytest.mark.parametrize(
    ("seconds", "marks"),
    [
        (0, ["0", "0.5s"]),
        (20, ["0", "5s", "10s", "15s"]),
        (200, ["0", "1m", "2m", "3m"]),
        (5400, ["0", "30m", "1h"]),
        (86400 * 30, ["0", "8d", "16d", "24d"]),
    ],
)
def test_scales_have_round_marks(seconds: float, marks: list[str]) -> None:
    found = scale(Axis(1000, 1000 + seconds, 40))
    assert len(found) <= 40
    assert found.split() == marks


def test_drawing_a_thousand_turns_takes_a_few_calls_for_each() -> None:
    def drawn(turns: int) -> int:
        ran_turns = (ran(f"load[{number}]", 0, 1) for number in range(turns))
        view = View("e", "Running", started=0.0, steps=Tree(loop("load", turns, *ran_turns)), counted="0/1")
        console = Console(
            width=140, height=50, file=io.StringIO(), force_terminal=True, color_system="standard"
        )
        calls = 0

        def count(frame: object, event: str, argument: object) -> None:
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            console.print(render(view, 9.0, Frame(140, 49, None, folded=True)), soft_wrap=True)
        finally:
            sys.setprofile(None)
        return calls

    drawn(10)
    assert (drawn(1010) - drawn(10)) / 1000 < 50
