"""Workflows that run workflows, on this machine: those of the same file, by the rules of a cluster."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from component.local.conftest import COMMAND

Write = Callable[..., str]
Citadel = Callable[..., Any]

SUB = """
---
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {{name: sub}}
spec:
  inputs: {{type: object, required: [x], properties: {{x: {{type: integer}}}}}}
  steps:
  - name: a
    with: {{x: "${{inputs.x}}"}}
    run: {{runtime: python, code: {code}}}
  outputs: {{twice: "${{steps.a.output}}"}}
"""
DOUBLE = SUB.format(code='"def main(x): print(x); return 2 * x"')
LOOP = """
- name: call
  forEach: {items: [1, 2, 3]}
  workflow: {name: sub}
  with: {x: "${item}"}
"""
ALL = 'outputs: {all: "${steps.call.output.map(one, one.twice)}"}'


def test_outputs_come_back_and_logs_name_the_step(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow(LOOP, spec=ALL, after=DOUBLE), "--logs")
    assert (done.code, done.outputs) == (0, {"all": [2, 4, 6]}), done.stderr
    assert "call[1]/a | 2" in done.stderr


def test_no_cache_holds_for_what_runs_within(citadel: Citadel, workflow: Write) -> None:
    loop = LOOP.replace("[1, 2, 3]", "[7, 7, 7], parallelism: 1")
    cached = DOUBLE.replace("  - name: a\n", "  - name: a\n    cache: {}\n")
    for options, times in (([], 1), (["--no-cache"], 3)):
        done = citadel("run", "--local", workflow(loop, spec=ALL, after=cached), "--logs", *options)
        assert (done.code, done.outputs) == (0, {"all": [14, 14, 14]}), done.stderr
        assert done.stderr.count("/a | 7") == times


def test_a_journal_in_a_file_keeps_them_all(citadel: Citadel, workflow: Write, tmp_path: Path) -> None:
    done = citadel(
        "run", "--local", workflow(LOOP, spec=ALL, after=DOUBLE), "--journal", str(tmp_path / "j.db")
    )
    assert (done.code, done.outputs) == (0, {"all": [2, 4, 6]}), done.stderr


def test_a_failure_names_the_execution_and_is_handled_as_any(citadel: Citadel, workflow: Write) -> None:
    steps = """
    - name: call
      workflow: {name: sub}
      with: {x: 1}
      onError: {output: "${error.message}"}
    """
    failing = SUB.format(code='"def main(x): raise KeyError(x)"')
    given = workflow(steps, spec='outputs: {why: "${steps.call.output}"}', after=failing)
    done = citadel("run", "--local", given)
    assert done.code == 0, done.stderr
    assert done.outputs["why"].startswith("Execution flow-")
    assert done.outputs["why"].endswith("(Workflow sub) failed: Error: step a: KeyError: 1")


def test_inputs_that_do_not_fit_fail_the_step(citadel: Citadel, workflow: Write) -> None:
    steps = """
    - name: which
      switch: {cases: [{when: "true", value: "${dyn('one')}"}]}
    - name: call
      workflow: {name: sub}
      with: {x: "${steps.which.output}"}
    """
    done = citadel("run", "--local", workflow(steps, after=DOUBLE))
    assert done.code == 1
    assert "failed: InvalidInputs: inputs.x: found 'one', expected integer" in done.stderr.replace('"', "'")


def test_a_workflow_that_runs_itself_is_bounded(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow("- {name: again, workflow: {name: flow}}"))
    assert done.code == 1
    assert "found 9 executions within each other, expected at most 8" in done.stderr


def test_what_a_workflow_of_the_file_cannot_do_here_is_told_before_anything_starts(
    citadel: Citadel, workflow: Write
) -> None:
    steps = "- {name: one, workflow: {name: sub}, with: {x: 1}}\n- {name: two, workflow: {name: other}}"
    go = DOUBLE.replace("runtime: python", "runtime: go")
    done = citadel("run", "--local", workflow(steps, after=go), PATH="/nowhere")
    assert done.code == 2
    assert done.stderr.splitlines() == [
        "citadel: step two: Workflow other is not in this file; without a cluster, workflows that steps run "
        "come from the same file",
        "citadel: Workflow sub: step a: go needs Go 1.24 or newer on this machine, found no go on PATH; "
        "install it (go.dev/dl), or apply the file and run it without --local",
    ]


def test_an_earlier_revision_of_a_workflow_is_not_here(citadel: Citadel, workflow: Write) -> None:
    steps = "- {name: one, workflow: {name: sub, revision: 1f7be03d55c2}, with: {x: 1}}"
    done = citadel("run", "--local", workflow(steps, after=DOUBLE))
    assert done.code == 2
    told = "revision 1f7be03d55c2 of Workflow sub is in a cluster's journal, not in this file"
    assert done.stderr == f"citadel: step one: {told}\n"


def test_an_interruption_cancels_what_is_within(workflow: Write, tmp_path: Path) -> None:
    code = '''"import time\\ndef main(x):\\n  open('began', 'w').close()\\n  time.sleep(60)"'''
    slow = SUB.format(code=code.replace("'began'", f"'{tmp_path}/began'"))
    given = workflow("- {name: call, workflow: {name: sub}, with: {x: 1}}", after=slow)
    with subprocess.Popen(
        [*COMMAND, "run", "--local", "--isolation", "none", given],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "began").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=25)
    assert process.returncode == 130, told
    assert "cancelled" in told
