"""`citadel lint`: the engine's own messages, with file, line and column, for every document of a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
Write = Callable[..., str]
Citadel = Callable[..., Any]

GOOD = "- name: a\n  run: {runtime: python, code: 'def main(): pass'}\n"


def test_sound_files_give_no_problem(citadel: Citadel, workflow: Write) -> None:
    done = citadel("lint", workflow(GOOD), str(ROOT / "examples/hello/workflow.yaml"))
    assert (done.code, done.stdout, done.stderr) == (0, "", "no problem in 2 files\n")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        pytest.param(
            "- name: a\n  needs: [ghost]\n  run: {runtime: python, code: x}\n",
            "flow.yaml:7:13: spec.steps[0].needs[0]: found a reference to step 'ghost', expected one of: a",
            id="an unknown step",
        ),
        pytest.param(
            "- name: a\n  when: 1 +\n  run: {runtime: python, code: x}\n",
            "flow.yaml:7:5: spec.steps[0].when: ",
            id="CEL that does not parse",
        ),
        pytest.param(
            "- name: a\n  run: {runtime: python, code: x}\n  with: {x: '${steps.b.output}'}\n",
            "flow.yaml:8:12: spec.steps[0].with.x: found a reference to step 'b'",
            id="a reference to nothing",
        ),
        pytest.param(
            "- name: a\n  run: {runtime: python, cod: x}\n",
            "did you mean code",
            id="a misspelt field",
        ),
        pytest.param(
            "- name: a\n  run: {runtime: python, code: x}\n  with: {answer: no}\n",
            "flow.yaml:8:20: spec.steps[0].with.answer: ",
            id="what YAML would twist",
        ),
        pytest.param("- name: a\n  when: {\n", "flow.yaml:8:1: ", id="YAML that ends early"),
        pytest.param("- name: a\n", "flow.yaml:6:5: spec.steps[0]: found no action", id="no action"),
    ],
)
def test_each_problem_has_its_place(citadel: Citadel, workflow: Write, steps: str, said: str) -> None:
    done = citadel("lint", workflow(steps))
    assert done.code == 1
    assert said in done.stdout
    assert "Traceback" not in done.stderr


def test_every_document_and_every_problem_is_told(citadel: Citadel, workflow: Write) -> None:
    after = """
---
apiVersion: citadel.dev/v1alpha1
kind: Wokflow
metadata: {name: x}
---
apiVersion: citadel.dev/v1alpha1
kind: Execution
metadata: {name: e}
spec: {workflowRef: {name: flow}, inputs: {ghost: 1}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {port: 80}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: not-ours}
---
just text
"""
    done = citadel("lint", workflow(GOOD, after=after))
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stdout
    assert "did you mean Workflow?" in lines[0]
    assert "data.port" in lines[1]
    assert "just text" in lines[2]
    assert "spec.inputs.ghost" in lines[3]
    assert done.stderr == "4 problems in flow.yaml\n"


def test_runtimes_and_objects_of_a_cluster_are_not_asked_for(citadel: Citadel, workflow: Write) -> None:
    steps = "- name: a\n  run: {runtime: science, codeFrom: {configMapKeyRef: {name: m, key: k}}}\n"
    assert citadel("lint", workflow(steps)).code == 0


def test_problems_as_json(citadel: Citadel, workflow: Write) -> None:
    done = citadel(
        "lint", "-o", "json", workflow("- name: a\n  needs: [ghost]\n  run: {runtime: python, code: x}\n")
    )
    (problem,) = json.loads(done.stdout)
    assert (done.code, problem["file"], problem["line"], problem["column"]) == (1, "flow.yaml", 7, 13)
    assert problem["message"].startswith("spec.steps[0].needs[0]: found a reference")
    assert json.loads(citadel("lint", "--output", "json", workflow(GOOD)).stdout) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "ghost.yaml: No such file or directory", id="a file that is not there"),
        pytest.param(b"\xff\xfe", "ghost.yaml: byte 0 is not UTF-8", id="a file that is no text"),
    ],
)
def test_a_file_that_cannot_be_read(
    citadel: Citadel, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "ghost.yaml").write_bytes(content)
    done = citadel("lint", "ghost.yaml")
    assert done.code == 2
    assert said in done.stderr


def test_a_trigger_gives_its_workflow_of_the_same_file_inputs_that_fit(
    citadel: Citadel, tmp_path: Path
) -> None:
    text = """\
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: report}
spec:
  inputs: {type: object, required: [day], properties: {day: {type: string}}}
  steps: [{name: a, run: {runtime: python, code: "def main(): pass"}}]
---
apiVersion: citadel.dev/v1alpha1
kind: Trigger
metadata: {name: nightly}
spec:
  workflowRef: {name: report}
  inputs: {day: "${trigger.scheduledTime}"}
  cron: {schedule: "@daily"}
"""
    (tmp_path / "both.yaml").write_text(text)
    assert citadel("lint", "both.yaml").code == 0
    (tmp_path / "both.yaml").write_text(text.replace('day: "${trigger.scheduledTime}"', "day: 3"))
    done = citadel("lint", "both.yaml")
    assert done.code == 1
    assert done.stdout == "both.yaml:13:3: spec.inputs.day: found 3 (integer), expected string\n"


def test_an_empty_file_holds_no_workflow(citadel: Citadel, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    done = citadel("lint", "empty.yaml")
    assert (done.code, done.stdout) == (1, "empty.yaml:1:1: found no object, expected a Workflow\n")


def test_help_lists_every_command_without_loading_any(citadel: Citadel) -> None:
    done = citadel("--help")
    assert done.code == 0
    for word in ("run", "lint", "citadel run --local FILE"):
        assert word in done.stdout


def test_a_file_of_tests_is_checked_as_one(citadel: Citadel, workflow: Write, tmp_path: Path) -> None:
    tests = "workflow: flow.yaml\ntests:\n- name: b\n  mocks: {b: {output: 1}}\n"
    (tmp_path / "test.yaml").write_text(tests)
    file = workflow(GOOD)
    done = citadel("lint", "test.yaml")
    assert (done.code, done.stderr) == (1, "1 problem in test.yaml\n")
    assert done.stdout.startswith(
        'test.yaml:4:11: tests[0].mocks.b: found "b", which is no step of Workflow flow'
    )
    (tmp_path / "test.yaml").write_text(tests.replace("{b:", "{a:"))
    assert citadel("lint", "test.yaml", file).code == 0
