"""Approvals and signals on this machine: answered ahead, at the terminal, or by nobody."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commandline import python_step
from terminals import on_terminal

CITADEL = str(Path(sys.executable).with_name("citadel"))
Write = Callable[..., str]
Citadel = Callable[..., Any]

FORM = """
type: object
required: [limit]
properties: {limit: {type: integer, maximum: 10, description: how much}, note: {type: string, default: "-"}}
"""
ASKS = f"""
- name: ok
  approval:
    approvers: {{groups: [finance]}}
    reasonRequired: true
    form:
{"".join(f"      {line}" for line in FORM.strip().splitlines(keepends=True))}
  with: {{order: "nr. 7, ünï"}}
- name: paid
  wait: {{signal: payment}}
"""
OUTPUTS = (
    'outputs: {form: "${steps.ok.output.form}", by: "${steps.ok.output.by}", paid: "${steps.paid.output}"}'
)
CALLS = """
- name: each
  forEach: {items: [1, 2]}
  workflow: {name: inner}
"""
INNER = """
---
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: inner}
spec:
  steps:
  - {name: ok, approval: {approvers: {users: [ann]}}}
  - {name: paid, wait: {signal: payment}}
  outputs: {paid: "${steps.paid.output}"}
"""


def test_answers_given_ahead_are_taken(citadel: Citadel, workflow: Write) -> None:
    ahead = ["--approve", 'ok={"limit": 5}', "--reason", "fine", "--signal", 'payment={"amount": 3}']
    done = citadel("run", "--local", workflow(ASKS, spec=OUTPUTS), *ahead, LOGNAME="ann")
    assert done.code == 0, done.stderr
    assert done.outputs == {"form": {"limit": 5, "note": "-"}, "by": "ann", "paid": {"amount": 3}}


def test_a_rejection_given_ahead_fails_the_step(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow(ASKS), "--reject", "ok=too much", LOGNAME="ann")
    assert done.code == 1
    assert "citadel: failed: step ok: ann rejected it: too much\n" in done.stderr


def test_steps_of_loops_and_of_workflows_within_are_answered_too(citadel: Citadel, workflow: Write) -> None:
    file = workflow(CALLS, spec='outputs: {all: "${steps.each.output}"}', after=INNER)
    signals = ["--signal", "payment=1", "--signal", "payment"]
    done = citadel("run", "--local", file, "--approve", "each/ok", *signals)
    assert done.code == 0, done.stderr
    assert sorted(map(str, done.outputs["all"])) == ["{'paid': 1}", "{'paid': None}"]
    done = citadel("run", "--local", file, "--approve", "each/ok", "--reject", "each[1]/ok=no", *signals)
    assert done.code == 1
    assert "rejected it: no" in done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--approve", "ko"],
            '--approve: found "ko", which is no step of Workflow flow, expected one of ok, paid',
        ),
        (["--approve", "paid"], "--approve: step paid asks for no approval; those that do: ok"),
        (["--approve", "ok={}"], "--approve ok: reason: found none, and the step requires one"),
        (
            ["--approve", 'ok={"limit": 50}', "--reason", "x"],
            "--approve ok: form.limit: found 50 (integer), expected maximum 10",
        ),
        (["--reject", "ok"], "--reject ok: reason: found none, and the step requires one"),
        (["--signal", "pay=1"], "--signal: found 'pay', expected a signal that a step waits for: payment"),
        (["--signal", "payment={"], "expected JSON"),
        (["--approve", "ok=5", "--reason", "x"], "the form: expected a JSON object"),
        (["--approve", "ok", "--reject", "ok=x"], "step ok is decided twice"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_runs(
    citadel: Citadel, workflow: Write, given: list[str], message: str
) -> None:
    done = citadel("run", "--local", workflow(ASKS), *given)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "ok: waits" not in done.stderr


def test_what_nobody_answers_ends_at_once_and_says_how_to_answer(citadel: Citadel, workflow: Write) -> None:
    last = "finally:\n" + python_step("last", "def main(): print('tidied up')")
    done = citadel("run", "--local", "--logs", workflow(ASKS, spec=last))
    assert done.code == 1
    how = "decide ahead: --approve ok=JSON --reason TEXT, or --reject ok=REASON"
    assert f"cancelled: step ok waits for a decision, and nobody is here to be asked; {how}\n" in done.stderr
    assert "last | tidied up" in done.stderr
    done = citadel("run", "--local", workflow("- {name: paid, wait: {signal: payment}}"))
    assert "nobody is here to be asked; give it ahead: --signal payment=JSON\n" in done.stderr


def test_what_nobody_answers_waits_until_its_timeout_where_it_has_one(
    citadel: Citadel, workflow: Write
) -> None:
    steps = "- {name: ok, approval: {approvers: {users: [ann]}}, timeout: 1s, onTimeout: approve}"
    done = citadel("run", "--local", workflow(steps, spec='outputs: {by: "${steps.ok.output.by}"}'))
    assert (done.code, done.outputs) == (0, {"by": ""})
    assert "nobody is here to be asked" in done.stderr
    assert "it waits until its timeout\n" in done.stderr


async def test_people_at_the_terminal_are_asked_until_what_they_say_fits(
    workflow: Write, tmp_path: Path
) -> None:
    file = str(tmp_path / workflow(ASKS, spec=OUTPUTS))
    answers = [
        ("step ok waits for a decision", ""),
        ("approve? [y/n]: ", "maybe\n"),
        ("expected y or n", ""),
        ("approve? [y/n]: ", "y\n"),
        ("limit (integer; required), how much: ", "50\n"),
        ('note (string; else "-"): ', "ünï\n"),
        ("form.limit: found 50", ""),
        ("limit (integer; required), how much: ", "5\n"),
        ('note (string; else "-"): ', "\n"),
        ("reason (required): ", "\n"),
        ("the step requires one", ""),
        ("reason (required): ", "fine\n"),
        ("step paid waits for the signal payment", ""),
        ("payload as JSON (null if empty): ", "{\n"),
        ("expected JSON: ", ""),
        ("payload as JSON (null if empty): ", '{"amount": 3}\n'),
    ]
    async with on_terminal(CITADEL, "run", "--local", file, env=dict(os.environ)) as terminal:
        at = 0
        for shown, said in answers:
            assert await terminal.shows(lambda text, shown=shown, at=at: shown in text[at:]), terminal.text[
                at:
            ]
            at = terminal.text.index(shown, at) + len(shown)
            if said:
                terminal.type(said)
        assert await terminal.end() == 0
    assert "nr. 7, ünï" in terminal.text
    assert '"limit": 5' in terminal.text
    assert '"amount": 3' in terminal.text


async def test_an_interruption_ends_a_run_that_asks(workflow: Write, tmp_path: Path) -> None:
    file = str(tmp_path / workflow(ASKS))
    async with on_terminal(CITADEL, "run", "--local", file, env=dict(os.environ)) as terminal:
        assert await terminal.shows(lambda text: "approve? [y/n]: " in text)
        terminal.type("\x03")
        assert await terminal.end() == 130


async def test_a_question_goes_when_its_time_is_up(workflow: Write, tmp_path: Path) -> None:
    steps = "- {name: ok, approval: {approvers: {users: [ann]}}, timeout: 2s, onTimeout: approve}\n"
    steps += python_step("last", "def main(): print('tidied up')")
    file = str(tmp_path / workflow(steps))
    async with on_terminal(CITADEL, "run", "--local", "--logs", file, env=dict(os.environ)) as terminal:
        assert await terminal.shows(lambda text: "approve? [y/n]: " in text)
        assert await terminal.end() == 0
    assert "tidied up" in terminal.text
    assert "flow  Succeeded  2/2" in re.sub(r"\x1b\[[0-9;]*m", "", terminal.text)


async def test_whoever_leaves_the_terminal_is_told_how_to_answer(workflow: Write, tmp_path: Path) -> None:
    file = str(tmp_path / workflow(ASKS))
    async with on_terminal(CITADEL, "run", "--local", file, env=dict(os.environ)) as terminal:
        assert await terminal.shows(lambda text: "approve? [y/n]: " in text)
        terminal.type("\x04")
        assert await terminal.end() == 1
    assert "the input has ended; decide ahead: --approve ok=JSON" in terminal.text
