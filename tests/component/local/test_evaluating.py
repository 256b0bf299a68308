"""`citadel eval` on this machine: what it tells, how it ends, and the Workflow that it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

Citadel = Callable[..., Any]

OBJECTS = """
apiVersion: citadel.dev/v1alpha1
kind: Model
metadata: {name: m}
spec:
  provider: scripted
  prices: {input: "1", output: "5"}
  script:
  - {turn: 1, json: {mood: bad}}
  - {when: broken, toolCalls: [{name: count, arguments: {text: ünï}}]}
  - {when: odd, error: {status: 400, message: refused}}
  - {json: {mood: good}}
---
apiVersion: citadel.dev/v1alpha1
kind: Model
metadata: {name: other}
spec: {provider: scripted, script: [{json: {mood: meh}}]}
---
apiVersion: citadel.dev/v1alpha1
kind: Agent
metadata: {name: judge}
spec:
  model: m
  outputSchema: {type: object, required: [mood]}
  tools: [{name: count, tool: count}]
---
apiVersion: citadel.dev/v1alpha1
kind: Tool
metadata: {name: count}
spec:
  description: Counts.
  parameters: {type: object, properties: {text: {type: string}}, required: [text]}
  code: {runtime: python, code: "def main(text): return len(text)"}
"""
FILE = """
agent: judge
objects: [objects.yaml]
prompt: "Judge: ${case.text}"
casesFrom: cases.csv
assertions:
- output.mood == case.mood
- tools.all(tool, tool.name == "count" && tool.arguments.text == "ünï")
- {rule: usage.cost < 0.0001, message: cheap}
threshold: 0.3
"""
CASES = "name,text,mood\npraise,Great,good\nlate,broken 📦,bad\nstrange,odd,bad\n"


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "objects.yaml").write_text(OBJECTS)
    (tmp_path / "cases.csv").write_text(CASES)
    (tmp_path / "judge.eval.yaml").write_text(FILE)
    return "judge.eval.yaml"


def test_each_run_is_told_with_what_it_took_and_what_of_it_does_not_hold(
    citadel: Citadel, file: str, tmp_path: Path
) -> None:
    done = citadel("eval", file, "--junit", "report.xml")
    assert done.code == 0, done.stderr + done.stdout
    for line in (
        "ok   praise (52 tokens, $6.8e-05)",
        "FAIL late (",
        "does not hold: cheap (usage.cost < 0.0001)",
        'output: {"mood": "bad"}',
        "failed: ModelError: Model m: status 400: refused",
        "1 of 3 runs passed, expected 0.3 of them;",
    ):
        assert line in done.stdout
    cases = ElementTree.parse(tmp_path / "report.xml").getroot().iter("testcase")
    assert [(case.get("name"), case.find("failure") is None) for case in cases] == [
        ("praise", True),
        ("late", False),
        ("strange", False),
    ]


def test_below_the_threshold_it_fails_and_another_model_is_another_result(
    citadel: Citadel, file: str
) -> None:
    done = citadel("eval", file, "--threshold", "0.5")
    assert done.code == 1
    done = citadel("eval", file, "--model", "other", "-k", "praise", "--repeat", "2")
    assert done.code == 1
    assert "FAIL praise #2" in done.stdout
    assert 'output: {"mood": "meh"}' in done.stdout
    assert "0 of 2 runs passed" in done.stdout


def test_the_workflow_that_it_prints_runs_by_itself(citadel: Citadel, file: str, tmp_path: Path) -> None:
    done = citadel("eval", file, "-o", "yaml", "-k", "praise")
    assert done.code == 0
    (tmp_path / "flow.yaml").write_text(f"{done.stdout}---{OBJECTS}")
    ran = citadel("run", "--local", "flow.yaml")
    assert (ran.code, ran.outputs) == (0, {"passed": 1, "runs": 1}), ran.stderr


def test_a_workflow_of_which_too_few_runs_pass_fails(citadel: Citadel, file: str, tmp_path: Path) -> None:
    done = citadel("eval", file, "-o", "yaml", "-k", "strange")
    (tmp_path / "flow.yaml").write_text(f"{done.stdout}---{OBJECTS}")
    ran = citadel("run", "--local", "flow.yaml")
    assert ran.code == 1
    assert "0 of 1 runs passed, expected at least 30%" in ran.stderr


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        (
            ("casesFrom: cases.csv", "casesFrom: gone.csv"),
            (),
            "eval.yaml:5:1: casesFrom: gone.csv: No such",
        ),
        (("case.mood", "cse.mood"), (), "found the unknown name cse"),
        (
            ("agent: judge", "agent: jury"),
            (),
            "Agent jury is in none of the files in objects",
        ),
        (("", ""), ("-k", "nobody"), "none of 3 cases has this text"),
        (("", ""), ("--model", "gone"), "Model gone is not in this file"),
        (("", ""), ("--repeat", "0"), "0 is not in the range"),
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(
    citadel: Citadel,
    file: str,
    tmp_path: Path,
    change: tuple[str, str],
    options: tuple[str, ...],
    told: str,
) -> None:
    (tmp_path / file).write_text(FILE.replace(*change) if change[0] else FILE)
    done = citadel("eval", file, *options)
    assert done.code == 2
    assert told in done.stderr
