"""Files of evaluations: what is wrong with one, the Workflow that one is, and what its runs came to."""

from pathlib import Path
from typing import Any

import pytest

from citadel.api.validate import parse
from citadel.cli.yamltext import text_of_objects
from citadel.core.expressions import compile_expression
from citadel.core.plan import compile_workflow
from citadel.local.assembling import agent_of, items_of, objects_of, workflow_of
from citadel.local.beside import InvalidFile
from citadel.local.documents import read
from citadel.local.evaluations import ASSERTED, EvaluationDocument, read_evaluation
from citadel.local.outcomes import outcomes
from citadel.local.suites import problems_of

FILE = """
agent: critic
prompt: "Judge: ${case.text} $${x}"
with: {lang: "${case.lang}"}
cases:
- {name: praise, text: Great, lang: en, mood: good}
- {text: "Bäd ${x}", lang: de, mood: bad}
assertions:
- output.mood == case.mood
- rule: size(tools) <= 2 && usage.cost < 0.05 // few
  message: little work
repeat: 2
"""
AGENTS = """
apiVersion: citadel.dev/v1alpha1
kind: Agent
metadata: {name: critic}
spec: {model: m, system: You judge.}
"""


def evaluation(text: str = FILE, **files: str) -> EvaluationDocument:
    def read_file(path: Path) -> str:
        if path.name not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path.name]

    return read_evaluation("e.yaml", text, read_file)


def problems(text: str, **files: str) -> list[str]:
    with pytest.raises(InvalidFile) as invalid:
        evaluation(text, **files)
    return [problem.text for problem in invalid.value.problems]


def test_each_case_is_run_as_often_as_it_is_repeated() -> None:
    items = items_of(evaluation())
    assert [item["name"] for item in items] == ["praise #1", "praise #2", "2 #1", "2 #2"]
    assert items[2]["prompt"] == "Judge: Bäd ${x} ${x}"
    assert items[2]["with"] == {"lang": "de"}
    assert items[0]["case"]["mood"] == "good"


def test_the_workflow_is_one_that_can_be_written_and_read() -> None:
    made = workflow_of(evaluation())
    (document,) = [read(text_of_objects([made])).workflows["eval-critic"]]
    assert document.spec.steps[0].name == "runs"
    spec = parse("Workflow", made)
    steps = compile_workflow(spec).steps
    assert {"runs.ask", "runs.check1", "runs.check2", "verdict"} <= steps.keys()
    assert steps["runs.check1"].when is not None


def test_who_asserts_something_of_a_failure_is_asked_after_one_too() -> None:
    made = workflow_of(evaluation(FILE.replace("output.mood == case.mood", "error == null || true")))
    checks = made["spec"]["steps"][0]["steps"]
    assert "when" not in checks[1]
    assert "when" in checks[2]
    assert "has(steps.ask.error)" not in made["spec"]["steps"][0]["output"]["passed"]


@pytest.mark.parametrize(
    ("rule", "seen", "expected"),
    [
        ("output.mood == case.mood", {"output": {"mood": "good"}}, True),
        ("output.mood == case.mood", {"output": {"mood": "bad"}}, False),
        ("output == null", {}, True),
        ('tools.map(tool, tool.name) == ["search"]', {"tools": [{"name": "search"}]}, True),
        ("size(tools) == 0 && usage.tokens == 0", {}, True),
        ('error.reason == "BudgetExceeded"', {"error": {"reason": "BudgetExceeded"}}, True),
    ],
)
def test_an_assertion_sees_case_output_tools_usage_and_error(
    rule: str, seen: dict[str, Any], expected: bool
) -> None:
    made = workflow_of(evaluation(FILE.replace("output.mood == case.mood", f"'{rule}'")))
    when = made["spec"]["steps"][0]["steps"][1]["switch"]["cases"][0]["when"]
    scope = {"item": {"case": {"mood": "good"}}, "steps": {"ask": {"status": "Succeeded", **seen}}}
    assert compile_expression(when).evaluate(scope) is expected


def test_every_name_that_assertions_see_means_something_in_the_workflow() -> None:
    for source in ASSERTED.values():
        compile_expression(source)


def test_another_model_is_another_agent() -> None:
    document = evaluation(f"{FILE}\nmodel: cheap\nobjects: [a.yaml]", **{"a.yaml": AGENTS})
    agent, workflow = objects_of(document)
    assert agent["metadata"]["name"] == agent_of(document) == "critic-with-cheap"
    assert (agent["spec"]["model"], agent["spec"]["system"]) == ("cheap", "You judge.")
    assert workflow["spec"]["steps"][0]["steps"][0]["agent"]["name"] == "critic-with-cheap"


def test_cases_by_name_can_be_chosen() -> None:
    assert [run.name for run in evaluation().narrowed("PRA").runs] == ["praise"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "1:1: found a list of 0 items, expected a mapping with agent and cases"),
        ("kind: Agent", "1:1: kind: found a Agent, expected a file of an evaluation"),
        (FILE.replace("agent: critic", "agnet: critic"), "agnet: unknown field, did you mean agent?"),
        ("agent: a", "found neither of cases and casesFrom"),
        ("agent: a\ncases: []", "cases: found 0 items, expected at least 1"),
        ("agent: a\ncases: [{prompt: x}]\ncasesFrom: a.csv", "found both of cases and casesFrom"),
        ("agent: a\ncases: [{text: x}]", "cases[0]: case 1: found no prompt, expected a text there"),
        ("agent: a\ncases: [{prompt: 3}]", "case 1: found 3 (integer), expected a text there"),
        (FILE.replace("case.text", "cas.text"), "prompt: found the unknown name cas, expected one of: case"),
        (FILE.replace("case.text", "case.txt"), "cases[0].prompt: case praise: no such key: txt"),
        (FILE.replace("case.lang", "inputs.lang"), "with.lang: found the unknown name inputs"),
        (FILE.replace("case.text} ", "case.text "), "prompt: found ${ without its closing }"),
        (FILE.replace("usage.cost", "usge.cost"), "the unknown name usge, expected one of: case, output"),
        (FILE.replace("output.mood ==", "output.mood ="), "assertions[0]: output.mood = case.mood: syntax"),
        (FILE.replace("name: praise", 'name: "2"'), 'cases[1]: found the name "2", which another case has'),
        (FILE.replace("repeat: 2", "repeat: 0"), "repeat: found 0 (integer), expected at least 1"),
        (FILE.replace("repeat: 2", "threshold: 2"), "threshold: found 2 (integer), expected at most 1"),
        ("agent: a\ncasesFrom: gone.csv", "casesFrom: gone.csv: No such file or directory"),
        ("agent: a\nobjects: [gone.yaml]\ncases: [{prompt: x}]", "objects[0]: gone.yaml: No such file"),
        ("agent: a\ncases: [{prompt: x}]\n---\nagent: b", "found 2 documents, expected one"),
        ("agent: [", "1:"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(text: str, message: str) -> None:
    found = problems(text)
    assert any(message in problem for problem in found), found
    assert found[0].startswith("e.yaml:")


def test_cases_that_no_execution_could_take_as_inputs_are_refused() -> None:
    rows = "\n".join(["prompt", *("x" * 1000 + str(number) for number in range(400))])
    (problem,) = problems("agent: a\nrepeat: 3\ncasesFrom: a.csv", **{"a.csv": rows})
    assert "bytes of JSON with prompts and repetitions, expected at most 524288" in problem
    (problem,) = problems("agent: a\nrepeat: 100\ncases: [" + "{prompt: x}," * 21 + "]")
    assert "found 21 cases, 100 times each, expected at most 2000 runs" in problem


def a_run(**changes: Any) -> dict[str, Any]:
    usage = {"calls": 1, "tokens": 12, "cost": 0.25}
    found = {"name": "x", "passed": True, "assertions": [True, True], "tools": ["search"], "usage": usage}
    return {**found, "error": None, "output": None, **changes}


def test_a_run_that_does_not_pass_says_what_of_it_does_not_hold() -> None:
    failed = {"reason": "BudgetExceeded", "message": "too dear"}
    runs = [
        a_run(),
        a_run(passed=False, assertions=[False, "no such key: mood"], output={"mood": "x" * 600}),
        a_run(passed=False, assertions=[None, None], error=failed),
        None,
    ]
    found = outcomes(evaluation(FILE.replace("\nrepeat: 2", "")), ["a", "b", "c", "d"], runs)
    assert [one.passed for one in found] == [True, False, False, False]
    assert found[0].problems == ()
    assert (found[0].tools, found[0].tokens, found[0].cost) == (("search",), 12, 0.25)
    first, second, output = found[1].problems
    assert first == "does not hold: output.mood == case.mood"
    assert second.startswith("cannot be told: little work (size(tools)")
    assert len(output) < 520
    assert found[2].problems == ("failed: BudgetExceeded: too dear",)
    assert found[3].broken


def test_lint_knows_files_of_evaluations() -> None:
    def read_file(path: Path) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    assert not list(problems_of("e.yaml", FILE, read_file))
    ((file, problem),) = problems_of("e.yaml", FILE.replace("case.mood", "cse.mood"), read_file)
    assert file == "e.yaml"
    assert "the unknown name cse" in problem.text
