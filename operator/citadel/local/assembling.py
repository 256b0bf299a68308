"""The Workflow that an evaluation is: each case a turn of a loop, each assertion a step. Pure.

It says nothing that a user could not have written, and so runs wherever workflows run.
"""

from typing import Any

from citadel.api.meta import API_VERSION
from citadel.core.expressions import with_names
from citadel.local.evaluations import ASSERTED, EvaluationDocument

#: Names of its steps.
RUNS, ASK, VERDICT = "runs", "ask", "verdict"
_CODE = """\
def main(runs, threshold):
    passed = sum(1 for run in runs if run and run["passed"])
    if passed < threshold * len(runs) - 1e-9:
        raise SystemExit(f"{passed} of {len(runs)} runs passed, expected at least {threshold:.0%}")
    return passed
"""


def objects_of(document: EvaluationDocument) -> list[dict[str, Any]]:
    """All that is to be applied: the Workflow, and the Agent with another Model where one is wanted."""
    agent = document.contents.agents.get(document.evaluation.agent)
    if document.evaluation.model is None or agent is None:
        return [workflow_of(document)]
    spec = agent.model_dump(by_alias=True, exclude_none=True, mode="json")
    changed = {
        "apiVersion": API_VERSION,
        "kind": "Agent",
        "metadata": {"name": agent_of(document)},
        "spec": {**spec, "model": document.evaluation.model},
    }
    return [changed, workflow_of(document)]


def workflow_of(document: EvaluationDocument) -> dict[str, Any]:
    """The Workflow, as it can be applied."""
    evaluation = document.evaluation
    spec: dict[str, Any] = {
        "inputs": {
            "type": "object",
            "properties": {"cases": {"type": "array", "minItems": 1, "default": items_of(document)}},
        },
        "steps": [_runs(document), _verdict(evaluation.threshold)],
        "outputs": {"passed": f"${{steps.{VERDICT}.output}}", "runs": "${size(inputs.cases)}"},
    }
    if evaluation.budget is not None:
        spec["budget"] = evaluation.budget.model_dump(by_alias=True, exclude_none=True)
    return {
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {
            "name": evaluation.name or f"eval-{evaluation.agent}"[:253],
            # Flux would take expressions for variables of its own.
            "annotations": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"},
        },
        "spec": spec,
    }


def items_of(document: EvaluationDocument) -> list[dict[str, Any]]:
    """What is run, one after the other: each case as often as it is repeated."""
    repeat = document.evaluation.repeat
    return [
        {
            "name": run.name if repeat == 1 else f"{run.name} #{turn + 1}",
            "prompt": run.prompt,
            "with": dict(run.arguments),
            "case": dict(run.case),
        }
        for run in document.runs
        for turn in range(repeat)
    ]


def _runs(document: EvaluationDocument) -> dict[str, Any]:
    evaluation = document.evaluation
    ask: dict[str, Any] = {
        "name": ASK,
        "agent": {"name": agent_of(document), "prompt": "${item.prompt}"},
        "timeout": evaluation.timeout,
        # An explicit null would not outlive the API server.
        "onError": {"output": "${null}"},
    }
    if evaluation.arguments:
        ask["with"] = {name: f"${{item.with.{name}}}" for name in evaluation.arguments}
    if evaluation.output_schema is not None:
        ask["outputSchema"] = evaluation.output_schema
    checks = [_check(number, assertion.rule) for number, assertion in enumerate(evaluation.assertions, 1)]
    held = [f"steps.{check['name']}.?output.orValue(false)" for check in checks]
    # Who asserts something of a failure expects that there may be one.
    fails = "" if any("when" not in check for check in checks) else " && !has(steps.ask.error)"
    passed = f"[{', '.join(held)}].all(one, one == true){fails}"
    return {
        "name": RUNS,
        "forEach": {
            "items": "${inputs.cases}",
            "parallelism": evaluation.parallelism,
            "failFast": False,
        },
        "steps": [ask, *checks],
        "output": {
            "name": "${item.name}",
            "passed": f"${{{passed}}}",
            "assertions": [f"${{steps.{check['name']}.?output.orValue(null)}}" for check in checks],
            "error": f"${{{ASSERTED['error']}}}",
            "output": f"${{({passed}) ? null : {ASSERTED['output']}}}",
            "tools": f"${{{ASSERTED['tools']}.map(tool, tool.name)}}",
            "usage": f"${{{ASSERTED['usage']}}}",
        },
    }


def _check(number: int, rule: str) -> dict[str, Any]:
    """A step that asks an assertion: true, false, or why nobody can say."""
    check: dict[str, Any] = {
        "name": f"check{number}",
        "needs": [ASK],
        "switch": {"cases": [{"when": with_names(rule, ASSERTED, "all"), "value": True}], "default": False},
        "onError": {"output": "${error.message}"},
    }
    if not reads_error(rule):
        check["when"] = f"!has(steps.{ASK}.error)"
    return check


def reads_error(rule: str) -> bool:
    """Whether an assertion is about failures, too."""
    return f"[{ASSERTED['error']}]" in with_names(rule, ASSERTED, "all")


def _verdict(threshold: float) -> dict[str, Any]:
    return {
        "name": VERDICT,
        "run": {"runtime": "python", "code": _CODE},
        "with": {"runs": f"${{steps.{RUNS}.output}}", "threshold": threshold},
    }


def agent_of(document: EvaluationDocument) -> str:
    """The Agent that is asked: with another Model it is another one."""
    evaluation = document.evaluation
    if evaluation.model is None:
        return evaluation.agent
    return f"{evaluation.agent}-with-{evaluation.model}"[:253]
