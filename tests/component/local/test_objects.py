"""Objects beside the workflow in a file, and what is refused before anything starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commandline import python_step

Write = Callable[..., str]
Citadel = Callable[..., Any]

OBJECTS = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: sales}
data: {sales.csv: "a,b", main.py: "def main(csv, token): print(token); return [csv, token]"}
---
apiVersion: v1
kind: Secret
metadata: {name: api}
stringData: {token: hunter22}
---
apiVersion: citadel.dev/v1alpha1
kind: Runtime
metadata: {name: science}
spec: {image: ignored, env: [{name: FROM, value: runtime}]}
---
apiVersion: citadel.dev/v1alpha1
kind: Execution
metadata: {name: flow-1}
spec: {workflowRef: {name: flow}, inputs: {size: 7}}
"""
REFERENCES = """
- name: a
  run: {runtime: science, codeFrom: {configMapKeyRef: {name: sales, key: main.py}}}
  with:
    csv: {valueFrom: {configMapKeyRef: {name: sales, key: sales.csv}}}
    token: {valueFrom: {secretKeyRef: {name: api, key: token}}}
"""


JAVASCRIPT = """
---
apiVersion: citadel.dev/v1alpha1
kind: Runtime
metadata: {name: mine}
spec: {language: javascript, image: ignored}
"""
PACKAGES = "{pip: ['a==1 --hash=sha256:" + "0" * 64 + "']}"
SPEC = """
inputs: {type: object, properties: {size: {type: integer}}}
outputs: {a: "${steps.a.output}", size: "${inputs.size}"}
"""
SOME = python_step("a", "main = dict")


def test_values_by_reference_come_from_the_same_file_and_secrets_are_masked(
    citadel: Citadel, workflow: Write
) -> None:
    done = citadel("run", "--local", workflow(REFERENCES, spec=SPEC, after=OBJECTS), "--logs")
    assert done.outputs == {"a": ["a,b", "***"], "size": 7}
    assert "a | ***\n" in done.stderr
    assert "hunter22" not in done.stderr


def test_a_secret_is_not_in_the_journal(citadel: Citadel, workflow: Write, tmp_path: Path) -> None:
    done = citadel("run", "--local", workflow(REFERENCES, spec=SPEC, after=OBJECTS), "--journal", "j.db")
    assert (done.code, done.outputs["size"]) == (0, 7)
    content = b"".join(path.read_bytes() for path in tmp_path.glob("j.db*") if path.is_file())
    assert list((tmp_path / "j.db.artifacts").iterdir()) == []
    assert b"sales.csv" in content
    assert b"hunter22" not in content


@pytest.mark.parametrize(
    ("steps", "after", "words"),
    [
        pytest.param(
            REFERENCES,
            "",
            [
                "step a: found the runtime science",
                "with.csv: ConfigMap sales is not in this file",
                "Secret api",
            ],
            id="references without their objects",
        ),
        pytest.param(
            REFERENCES,
            OBJECTS.replace("token: hunter22", "tokn: x").replace("size: 7", ""),
            ["Secret api has no key token, but tokn"],
            id="a key that is not there",
        ),
        pytest.param(
            "- {name: a, container: {image: busybox, command: [true]}}",
            "",
            ["found true (boolean), expected a string"],
            id="a command that is not text",
        ),
        pytest.param(
            python_step("a", "x", "needs: [b]") + python_step("b", "x"),
            "",
            ["flow.yaml:6:5: spec.steps[0]: found a cycle: a needs b needs a"],
            id="a cycle",
        ),
        pytest.param(
            "- {name: a, run: {runtime: cobol, code: x}}",
            "",
            ["found the runtime cobol, expected one of go, java, javascript, python: here there are"],
            id="a runtime that is not here",
        ),
        pytest.param(
            "- {name: a, run: {runtime: javascript, code: export default () => 1}}",
            "",
            ["step a: javascript needs Node.js 20.11 or newer on this machine, found no node on PATH"],
            id="a language that is not here",
        ),
        pytest.param(
            "- {name: a, run: {runtime: mine, code: export default () => 1}}",
            JAVASCRIPT,
            ["step a: javascript needs Node.js 20.11 or newer on this machine, found no node on PATH"],
            id="a runtime of the file in a language that is not here",
        ),
        pytest.param(
            "- {name: a, run: {runtime: mine, code: 'def main(): pass'}}",
            JAVASCRIPT.replace("javascript, image: ignored", f"python, image: ignored, packages: {PACKAGES}"),
            ["step a: the Runtime mine has packages, which a cluster installs; apply the file"],
            id="packages",
        ),
        pytest.param(
            "- {name: a, run: {runtime: python, entrypoint: 'jobs.load:main'}}",
            "",
            ["step a: run.entrypoint jobs.load:main is a module of the Runtime's image, which is not here"],
            id="a function of an image",
        ),
        pytest.param(
            SOME,
            OBJECTS.replace("name: flow}", "name: ghost}"),
            ["Execution flow-1: Workflow ghost is not in this file"],
            id="an execution of something else",
        ),
        pytest.param(
            SOME,
            OBJECTS.replace("name: flow}", "name: flow, revision: 1f7be03d55c2}"),
            ["Execution flow-1: revision 1f7be03d55c2 is in a cluster's journal"],
            id="an execution of an earlier revision",
        ),
        pytest.param(
            SOME, OBJECTS, ["spec.inputs.size"], id="an execution whose inputs the workflow does not take"
        ),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(
    citadel: Citadel, workflow: Write, steps: str, after: str, words: list[str]
) -> None:
    # A machine without Node.js, Go and Java.
    done = citadel("run", "--local", workflow(steps, after=after), PATH="/nowhere")
    assert (done.code, done.stdout) == (2, "")
    for word in words:
        assert word in done.stderr, done.stderr
    assert "running" not in done.stderr


OTHER = """
---
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: other}
spec:
  steps:
  - {name: b, run: {runtime: python, code: "def main(): return 1"}}
  outputs: {b: "${steps.b.output}"}
"""
CHOICE = """
---
apiVersion: citadel.dev/v1alpha1
kind: Execution
metadata: {name: e}
spec: {workflowRef: {name: other}}
"""


def test_several_workflows_need_an_execution_that_chooses(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--local", workflow(SOME, after=OTHER))
    assert done.code == 2
    told = "found 2 Workflows (flow, other), expected one that no other runs, or an Execution that names one"
    assert told in done.stderr
    done = citadel("run", "--local", workflow(SOME, after=OTHER + CHOICE))
    assert (done.code, done.outputs) == (0, {"b": 1})


def test_a_file_without_a_workflow_is_refused(citadel: Citadel, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("kind: ConfigMap\nmetadata: {name: a}\n")
    done = citadel("run", "--local", "empty.yaml")
    assert (done.code, done.stderr) == (2, "citadel: found 0 Workflows (none), expected one\n")


def test_a_file_that_is_not_there(citadel: Citadel) -> None:
    done = citadel("run", "--local", "ghost.yaml")
    assert done.code == 2
    assert "ghost.yaml: No such file or directory" in done.stderr
