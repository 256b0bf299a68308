"""Steps that a test mocks, made such that this machine could run them: without runtime, image and references.

Names, order, arguments, repetition and failure stay what they are: all that the engine decides upon.
"""

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from citadel.api.loader import load
from citadel.api.meta import API_VERSION
from citadel.api.model import ModelSpec, ScriptedAnswer
from citadel.api.validate import parse
from citadel.api.workflow import WorkflowSpec
from citadel.core.plan import compile_workflow
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.pinning import resolve

_CODE = "# no code of this step is here: "
_RUNTIME = "python"


#: A Model that is named and never asked.
_SILENT = ModelSpec(provider="scripted", script=(ScriptedAnswer(text="mocked"),))


def why_not(code: str | None) -> str | None:
    """Why a step cannot run, if this is the code of a stub."""
    return code.removeprefix(_CODE) if code is not None and code.startswith(_CODE) else None


def stubbed(workflow: WorkflowDocument, paths: Collection[str]) -> WorkflowDocument:
    """The workflow with stubs for these steps, and for containers."""
    spec = copy.deepcopy(workflow.spec.model_dump(by_alias=True, exclude_none=True, mode="json"))
    changed = False
    for path, step in _steps((*spec["steps"], *spec.get("finally", ())), ""):
        if "container" in step or (path in paths and step.keys() & {"run", "agent", "tool"}):
            _stub(step)
            changed = True
        elif "workflow" in step and path in paths:
            step["workflow"].pop("revision", None)
            changed = True
    if not changed:
        return workflow
    found = parse(
        "Workflow",
        {
            "apiVersion": API_VERSION,
            "kind": "Workflow",
            "metadata": {"name": workflow.name},
            "spec": spec,
        },
    )
    assert isinstance(found, WorkflowSpec)
    return replace(workflow, spec=found, compiled=compile_workflow(found))


def with_stubs(contents: Contents, mocked: Mapping[str, Collection[str]]) -> Contents:
    """All workflows of a test with stubs: `mocked` are the paths of steps that never run, by workflow."""
    workflows = {name: stubbed(one, mocked.get(name, ())) for name, one in contents.workflows.items()}
    models = dict(contents.models)
    for name, paths in mocked.items():
        for path in paths:
            # As it was read: a workflow with stubs has no steps for calls of agents yet.
            spec = contents.workflows[name].compiled.steps[path].spec
            if spec.llm is not None:
                models.setdefault(spec.llm.model, _SILENT)  # nor is it asked
            called = spec.workflow
            if called is not None:
                # It never runs either, so it need not be in a file.
                workflows.setdefault(called.name, replace(_empty(), name=called.name))
    found = replace(contents, workflows=workflows, models=models)
    resolve(found)
    return found


def _empty() -> WorkflowDocument:
    """A workflow that does nothing."""
    (document,) = load("{}")
    spec = WorkflowSpec.model_validate({"steps": [{"name": "nothing", "wait": {"for": "0s"}}]})
    return WorkflowDocument("", spec, compile_workflow(spec), document)


def _steps(steps: Any, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that acts, with its definition path."""
    for step in steps:
        path = f"{prefix}{step['name']}"
        yield path, step
        yield from _steps(step.get("steps") or (), f"{path}.")
        yield from _steps((step.get("onError") or {}).get("steps") or (), f"{path}.onError.")
        if step.get("compensate"):
            yield f"{path}.compensate", step["compensate"]


def _stub(step: dict[str, Any]) -> None:
    why = "is a container" if "container" in step else "is mocked for another execution only"
    asked = step.pop("agent", None) or step.pop("tool", None)
    action = step.pop("container", None) or ({} if asked is not None else step["run"])
    step["run"] = {"runtime": _RUNTIME, "code": f"{_CODE}{why}", "env": action.get("env", [])}
    step.pop("network", None)
    for field in ("with", "files"):
        by_reference = [name for name, value in step.get(field, {}).items() if _is_reference(value)]
        for name in by_reference:
            del step[field][name]
    if "artifacts" in step:
        given = step["artifacts"]
        # Paths of a sandbox need not exist here; who takes what of whom stays the same.
        step["artifacts"] = {
            "out": {name: f"left/{name}" for name in given.get("out", {})},
            "in": {f"taken/{number}": source for number, source in enumerate(given.get("in", {}).values())},
        }


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"valueFrom"}
