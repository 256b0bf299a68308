"""Which instance of a step a mock is for, and what is left of a step that has one."""

import pytest

from citadel.local.documents import read
from citadel.local.mocks import stands_for
from citadel.local.stubs import why_not, with_stubs


@pytest.mark.parametrize(
    ("path", "instance", "stands"),
    [
        ("load", "load", True),
        ("load", "load[3]", True),
        ("load[3]", "load[3]", True),
        ("load[3]", "load[4]", False),
        ("load[3]", "load[33]", False),
        ("load.get", "load[3].get", True),
        ("load[3].get", "load[3].get[1]", True),
        ("load", "load[3].get", False),
        ("load.get", "load[3].get.compensate", False),
        ("load.get.compensate", "load[3].get.compensate", True),
        ("bill/load", "bill[2]/load[1]", True),
        ("bill.load", "bill/load", False),
    ],
)
def test_a_path_stands_for_all_turns_that_it_does_not_number(path: str, instance: str, stands: bool) -> None:
    assert stands_for(path, instance) is stands


FLOW = """\
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: flow}
spec:
  steps:
  - {name: first, run: {runtime: python, code: own}, artifacts: {out: {a: /data/a}}}
  - name: load
    needs: []
    when: "true"
    container: {image: x, command: [run], env: [{name: A, value: "${execution.name}"}]}
    with: {key: {valueFrom: {secretKeyRef: {name: s, key: k}}}, level: "${steps.first.output}"}
    files: {a: {valueFrom: {secretKeyRef: {name: s, key: k}}}, b: x}
    artifacts: {in: {/data/in: steps.first.artifacts.a}, out: {b: /tmp/b}}
    retry: {attempts: 7}
    timeout: 3m
    network: {egress: [example.org:443]}
    compensate: {run: {runtime: cobol, entrypoint: "a:b"}, retry: {attempts: 5}}
    onError: {steps: [{name: tell, run: {runtime: go, code: z}}], output: 1}
"""


def test_a_stub_keeps_all_that_the_engine_decides_upon() -> None:
    contents = with_stubs(read(FLOW), {"flow": {"load.compensate", "load.onError.tell"}})
    workflow = contents.workflows["flow"]
    first, load = workflow.spec.steps
    assert first.run is not None
    assert first.run.code == "own"
    assert load.run is not None
    assert why_not(load.run.code) == "is a container"
    assert [item.name for item in load.run.env] == ["A"]
    assert load.arguments == {"level": "${steps.first.output}"}
    assert load.files == {"b": "x"}
    assert (load.needs, load.when, load.timeout, load.network) == ((), "true", "3m", None)
    assert load.retry is not None
    assert load.retry.attempts == 7
    compiled = workflow.compiled.steps["load"]
    assert [source.step for source in compiled.taken.values()] == ["first"]
    assert list(compiled.left) == ["b"]
    undo = workflow.compiled.steps["load.compensate"].spec
    assert undo.run is not None
    assert (undo.run.runtime, undo.retry.attempts) == ("python", 5)  # type: ignore[union-attr]
    tell = workflow.compiled.steps["load.onError.tell"].spec
    assert tell.run is not None
    assert tell.run.runtime == "python"


def test_a_workflow_without_stubs_is_the_same() -> None:
    contents = read(FLOW.partition("  - name: load")[0])
    assert with_stubs(contents, {}).workflows["flow"] is contents.workflows["flow"]


def test_a_workflow_that_only_a_mocked_tool_runs_need_not_be_in_a_file_whatever_else_is_a_stub() -> None:
    document = """\
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: flow}
spec:
  steps:
  - {name: load, container: {image: x, command: [run]}}
  - {name: write, agent: {name: writer, prompt: Go.}}
---
apiVersion: citadel.dev/v1alpha1
kind: Agent
metadata: {name: writer}
spec: {model: m, tools: [{name: bill, tool: bill}]}
---
apiVersion: citadel.dev/v1alpha1
kind: Tool
metadata: {name: bill}
spec: {description: Bills., workflow: {name: invoice}}
"""
    contents = with_stubs(read(document), {"flow": {"write.bill"}})
    assert "write.bill" in contents.workflows["flow"].compiled.steps
    assert contents.workflows["invoice"].compiled.steps.keys() == {"nothing"}
