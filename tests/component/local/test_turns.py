"""Concurrency groups among the executions of one run on this machine, by the rules of a cluster."""

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from component.local.conftest import COMMAND

Write = Callable[..., str]
Citadel = Callable[..., Any]

SUB = """
---
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {{name: sub}}
spec:
  inputs: {{type: object, properties: {{x: {{type: integer}}}}}}
  concurrency: {{group: "prod", {concurrency}}}
  steps:
  - name: a
    with: {{x: "${{inputs.x}}"}}
    run:
      runtime: python
      code: |
        import time
        def main(x):
            begun = time.monotonic()
            time.sleep({seconds})
            return {{"x": x, "begun": begun, "ended": time.monotonic()}}
{more}
  outputs: {{a: "${{steps.a.output}}"}}
"""
LOOP = """
- name: call
  forEach: {items: [0, 1, 2, 3], failFast: false}
  workflow: {name: sub}
  with: {x: "${item}"}
"""
ALL = 'outputs: {all: "${steps.call.output}"}'


def sub(concurrency: str = "limit: 1", seconds: float = 0.1, more: str = "") -> str:
    return SUB.format(concurrency=concurrency, seconds=seconds, more=more)


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Options that choose the journal."""
    return [] if request.param == "memory" else ["--journal", f"{tmp_path}/journal.db"]


def test_each_waits_for_the_one_before(citadel: Citadel, workflow: Write, journal: list[str]) -> None:
    done = citadel("run", "--local", *journal, workflow(LOOP, spec=ALL, after=sub()))
    assert done.code == 0, done.stderr
    found = sorted((one["a"] for one in done.outputs["all"]), key=lambda one: one["begun"])
    assert sorted(one["x"] for one in found) == [0, 1, 2, 3]
    assert all(later["begun"] >= earlier["ended"] for earlier, later in itertools.pairwise(found))


def test_they_have_their_turns_in_the_order_of_their_items(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow(LOOP, spec=ALL, after=sub()))
    found = sorted((one["a"] for one in done.outputs["all"]), key=lambda one: one["begun"])
    assert [one["x"] for one in found] == [0, 1, 2, 3]


def test_as_many_at_a_time_as_the_limit_says(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow(LOOP, spec=ALL, after=sub("limit: 2", 1.5)))
    found = sorted((one["a"] for one in done.outputs["all"]), key=lambda one: one["begun"])
    beside = [sum(other["ended"] > one["begun"] for other in found[:n]) for n, one in enumerate(found)]
    assert max(beside) == 1


def test_what_a_killed_run_left_in_the_journal_holds_nobody_up(
    citadel: Citadel, workflow: Write, tmp_path: Path
) -> None:
    options = ["--journal", "journal.db"]
    waits = workflow("- {name: b, wait: {for: 1h}}", spec="concurrency: {limit: 1}")
    command = [*COMMAND, "run", "--local", waits, *options]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as killed:
        assert killed.stderr is not None
        assert any("waits until" in line for line in iter(killed.stderr.readline, ""))
        killed.kill()
    file = workflow("- {name: b, wait: {for: 10ms}}", spec="concurrency: {limit: 1}")
    assert citadel("run", "--local", file, *options).code == 0


def test_the_newest_takes_the_place_of_those_before(citadel: Citadel, workflow: Write) -> None:
    last = '  finally: [{name: last, run: {runtime: python, code: "def main(): print(1)"}}]'
    after = sub("policy: cancelRunning", 5, last)
    done = citadel("run", "--local", workflow(LOOP, spec=ALL, after=after))
    assert [one and one["a"]["x"] for one in done.outputs["all"]] == [None, None, None, 3], done.stderr


def test_reject_and_an_ancestor_fail_at_once(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow(LOOP, spec=ALL, after=sub("policy: reject", 1)))
    assert [one is None for one in done.outputs["all"]] == [False, True, True, True]
    itself = "- {name: again, workflow: {name: flow}}"
    done = citadel("run", "--local", workflow(itself, spec="concurrency: {group: prod}"))
    assert done.code == 1
    assert "ConcurrencyLimit: waits for its own ancestor" in done.stderr
