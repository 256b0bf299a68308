"""`citadel watch`: what is shown while an execution goes on, on a terminal and elsewhere."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from component.cli.conftest import NAMESPACE, Cli
from component.cli.test_archive import archived
from terminals import Terminal, on_terminal

CITADEL = str(Path(sys.executable).with_name("citadel"))
LOAD = {"name": "load", "status": "Running", "attempt": 1, "startedAt": 1.0, "readyAt": 1.0, "beganAt": 1.0}
DONE = {**LOAD, "status": "Succeeded", "finishedAt": 2.0}
CALL = {"name": "bill", "status": "Succeeded", "attempt": 1, "execution": "e-child", "action": "workflow"}


async def becomes(cli: Cli, **status: Any) -> None:
    path = f"{NAMESPACE}/executions/e"
    await cli.api.change("MODIFIED", path, {**cli.api.objects[path], "status": status})


async def test_where_nothing_can_be_redrawn_each_change_is_a_line(cli: Cli) -> None:
    await cli.execution("e", phase="Running")
    cli.citadel.steps = [LOAD]

    async def play() -> None:
        await cli.api.watched()
        cli.citadel.steps = [DONE, {"name": "tell", "status": "Skipped", "reason": "ConditionFalse"}]
        await becomes(cli, phase="Succeeded")

    player = asyncio.create_task(play())
    code, out, err = await cli.run("watch", "e")
    await player
    assert (code, err) == (0, "")
    assert out.splitlines()[-3:] == [
        "load  Succeeded  1.0s",
        "tell  Skipped  ConditionFalse",
        "e  Succeeded  2/2  1.5s",
    ]


async def test_into_a_file_bars_are_drawn_once_it_has_ended(cli: Cli) -> None:
    await cli.execution("e", phase="Succeeded")
    cli.citadel.steps = [DONE]
    _, out, _ = await cli.run("watch", "e", "--gantt", env={"COLUMNS": "60"})
    title, load, scale = out.splitlines()
    assert title == "✔ e  Succeeded  1/1  1.5s"
    assert load.startswith("└─ ✔ load Succeeded 1.0s  ██████")
    assert scale.split() == ["0", "0.5s", "1s"]


async def test_one_that_has_ended_is_shown_as_it_ended(cli: Cli) -> None:
    await cli.execution("e", phase="Failed", reason="Error", message="step load: no rows")
    cli.citadel.steps = [
        {**LOAD, "status": "Failed", "reason": "Error", "message": "no rows", "finishedAt": 2.0}
    ]
    code, out, _ = await cli.run("watch", "e")
    assert (code, out.splitlines()) == (
        1,
        ["load  Failed  1.0s  Error: no rows", "e  Failed  1/1  1.5s: step load: no rows"],
    )


async def test_executions_that_steps_wait_for_are_shown_as_deep_as_is_asked(cli: Cli) -> None:
    await cli.execution("e", phase="Succeeded")
    await cli.execution("e-child", phase="Succeeded")
    cli.citadel.steps = [CALL]
    cli.citadel.within = {"e-child": [DONE]}
    _, out, _ = await cli.run("watch", "e")
    assert "bill/load  Succeeded  1.0s" in out.splitlines()
    _, out, _ = await cli.run("watch", "e", "--depth", "0")
    assert "bill/load" not in out
    code, _, err = await cli.run("watch", "e", "--depth", "9")
    assert code == 2
    assert "9 is not in the range 0<=x<=8" in err


async def test_the_archive_is_shown_with_what_was_within(cli: Cli) -> None:
    cli.citadel.archived = {"old": archived("old"), "e-child": archived("e-child")}
    cli.citadel.steps = [CALL]
    cli.citadel.within = {"e-child": [DONE]}
    code, out, err = await cli.run("watch", "old", "--archived")
    assert (code, err) == (0, "")
    assert {"bill  Succeeded", "bill/load  Succeeded  1.0s"} <= set(out.splitlines())
    code, _, err = await cli.run("watch", "other", "--archived")
    assert (code, "is not in the archive" in err) == (2, True)


async def test_a_broken_connection_is_opened_again(cli: Cli) -> None:
    await cli.execution("e", phase="Succeeded")
    cli.citadel.steps = [DONE]
    cli.citadel.cut = 0
    code, out, err = await cli.run("watch", "e")
    assert (code, err) == (0, "")
    assert "load  Succeeded  1.0s" in out.splitlines()
    assert len(cli.kubectl) == 2


async def test_without_a_right_to_forward_ports_the_status_is_shown(cli: Cli) -> None:
    await cli.execution("e", phase="Succeeded", steps=[{"name": "load", "status": "Succeeded"}])
    cli.refuse("error: jane cannot create pods/portforward")
    code, out, err = await cli.run("watch", "e")
    assert (code, out.splitlines()[0]) == (0, "load  Succeeded")
    assert "only steps that the status names are shown" in err


async def test_one_that_never_started_is_shown_without_steps(cli: Cli) -> None:
    await cli.execution("e", phase="Failed", reason="InvalidInputs", message="inputs.n: expected integer")
    cli.citadel.status, cli.citadel.text = (
        404,
        "Execution e has not started, or the journal keeps it no longer",
    )
    code, out, _ = await cli.run("watch", "e")
    assert (code, out) == (1, "e  Failed: inputs.n: expected integer\n")


def bars(text: str) -> list[str]:
    """The lines with a bar, without what steers the terminal."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [line for line in plain.splitlines() if "█" in line]


async def showing(cli: Cli, terminal: Terminal) -> None:
    assert await terminal.shows(lambda text: bool(bars(text))), terminal.text


async def test_on_a_terminal_it_is_drawn_in_place_and_its_end_stays(cli: Cli) -> None:
    await cli.execution("e", phase="Running")
    cli.citadel.steps = [LOAD]
    async with on_terminal(CITADEL, "watch", "e", env=cli.surroundings) as terminal:
        await showing(cli, terminal)
        cli.citadel.steps = [DONE]
        await becomes(cli, phase="Succeeded")
        assert await terminal.end() == 0
    last = terminal.text[terminal.text.rindex("✔ ", 0, terminal.text.rindex("load")) :]
    assert "Succeeded" in last
    assert "\x1b[?25h" in terminal.text
    assert cli.objects("executions")[0]["spec"] == {"workflowRef": {"name": "sales"}}


@pytest.mark.parametrize("interruption", ["\x03", "\x03\x03"])
async def test_an_interruption_leaves_the_execution_running_and_says_so(cli: Cli, interruption: str) -> None:
    await cli.execution("e", phase="Running")
    cli.citadel.steps = [LOAD]
    async with on_terminal(CITADEL, "watch", "e", env=cli.surroundings) as terminal:
        await showing(cli, terminal)
        terminal.type(interruption)
        assert await terminal.end() == 130
    assert "execution e goes on: `citadel watch -n team e`, `citadel cancel -n team e`" in terminal.text
    assert "Traceback" not in terminal.text
    assert "\x1b[?25h" in terminal.text
    assert "stop" not in cli.objects("executions")[0]["spec"]
    assert not cli.forwarding


async def test_a_window_that_becomes_narrow_gets_lines_that_fit(cli: Cli) -> None:
    await cli.execution("e", phase="Running", reason="Running", message="m" * 300)
    cli.citadel.steps = [{**LOAD, "message": "e" * 300}]
    async with on_terminal(CITADEL, "watch", "e", env=cli.surroundings) as terminal:
        await showing(cli, terminal)
        before = len(terminal.text)
        terminal.resize(50, 10)
        assert await terminal.shows(lambda text: "\x1b[2J" in text[before:])
        begin = terminal.text.index("\x1b[2J", before)
        assert await terminal.shows(lambda text: text[begin:].count("load") > 1)
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", terminal.text[begin:])
        assert max(len(line) for line in plain.replace("\r", "\n").split("\n")) <= 50


async def test_no_color_is_respected(cli: Cli) -> None:
    await cli.execution("e", phase="Succeeded")
    cli.citadel.steps = [DONE]
    async with on_terminal(CITADEL, "watch", "e", env={**cli.surroundings, "NO_COLOR": "1"}) as terminal:
        assert await terminal.end() == 0
    assert bars(terminal.text)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.text)


async def test_a_dumb_terminal_gets_lines(cli: Cli) -> None:
    await cli.execution("e", phase="Succeeded")
    cli.citadel.steps = [DONE]
    async with on_terminal(CITADEL, "watch", "e", env={**cli.surroundings, "TERM": "dumb"}) as terminal:
        assert await terminal.end() == 0
    assert "load  Succeeded  1.0s\r\n" in terminal.text
    assert "\x1b" not in terminal.text
