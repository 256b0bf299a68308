"""Whether tests fit the workflow that they test: what they name is there, and may give what they say."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from citadel.api.model import ModelSpec
from citadel.api.problems import Path, Problem, found, shortened, suggestion
from citadel.api.reasons import Reason
from citadel.api.suite import Expected, Mock, Scenario, Suite
from citadel.core.compiled import CompiledStep
from citadel.core.expressions import Expression, InvalidExpression, compile_expression
from citadel.core.inputs import InvalidInputs, compile_inputs
from citadel.core.instances import ON_ERROR, around, definition, turn
from citadel.llm.scripted import InvalidScript, Script
from citadel.local.documents import Contents, WorkflowDocument

_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\[[0-9]+\])?(\.[A-Za-z][A-Za-z0-9_]*(\[[0-9]+\])?)*")
_IN_SANDBOX = ("output", "error", "timeout")
_ANSWERS = {
    "run": _IN_SANDBOX,
    "container": _IN_SANDBOX,
    "workflow": _IN_SANDBOX,
    "llm": _IN_SANDBOX,
    "agent": _IN_SANDBOX,
    "tool": _IN_SANDBOX,
    "approval": ("approve", "reject", "timeout"),
    "wait": ("signal", "timeout"),
}
_NEEDLESS = {
    "steps": "is made of others: mock what is within it",
    "switch": "is decided by its cases: mock what they read",
}


def misfits(suite: Suite, workflow: WorkflowDocument, contents: Contents) -> Iterator[Problem]:
    """What is wrong with tests, beyond their grammar."""
    for index, case in enumerate(suite.tests):
        place: Path = ("tests", index)
        yield from _inputs(case, workflow, place)
        yield from _models(case, contents, place)
        if case.now is not None and moment(case.now) is None:
            message = f"found {found(case.now)}, expected a time as in RFC 3339, such as 2030-01-31T08:00:00Z"
            yield Problem((*place, "now"), message)
        for path, mocks in case.mocks.items():
            at = (*place, "mocks", path)
            step = step_at(workflow, contents, path)
            if isinstance(step, str):
                yield Problem(at, step)
                continue
            if len(mocks) > 1 and kind_of(step) in ("approval", "wait"):
                message = f"found {len(mocks)} answers, expected one: there is one attempt"
                yield Problem(at, f"{message}; the turns of a loop have names such as {path}[1]")
                continue
            for number, mock in enumerate(mocks):
                inner = (*at, number) if len(mocks) > 1 else at
                for message in _unfit(step, mock, contents):
                    yield Problem(inner, message)
        yield from _expected(case.expect, workflow, contents, (*place, "expect"))


def _models(case: Scenario, contents: Contents, place: Path) -> Iterator[Problem]:
    """Models that are in no file, and scripts that cannot be understood."""
    for name, script in case.models.items():
        at = (*place, "models", name)
        if name not in contents.models:
            known = ", ".join(contents.models) or "none"
            near = suggestion(name, contents.models)
            yield Problem(at, f"Model {name} is in no file of this test; those that are: {known}{near}")
        try:
            Script(ModelSpec(provider="scripted", script=script))
        except InvalidScript as error:
            yield Problem(at, str(error))


def moment(text: str) -> float | None:
    """A time as in RFC 3339 in seconds since the epoch; None for anything else."""
    try:
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def kind_of(step: CompiledStep) -> str:
    """What a step does: one of the actions; a handler is a group."""
    return "steps" if step.children or step.path.endswith(f".{ON_ERROR}") else step.spec.action


def workflow_at(workflow: WorkflowDocument, contents: Contents, path: str) -> WorkflowDocument | str:
    """The workflow of the step of a path such as `bill/load[1]`: that which `bill` runs; or what is wrong."""
    at = workflow
    for part in path.split("/")[:-1]:
        step = _step(at, part)
        if isinstance(step, str):
            return step
        if step.spec.workflow is None:
            return f"found {path}, but step {part} runs no other workflow"
        name = step.spec.workflow.name
        if name not in contents.workflows:
            return f"Workflow {name} is in no file of this test; name its file in objects, or mock {part}"
        at = contents.workflows[name]
    return at


def step_at(workflow: WorkflowDocument, contents: Contents, path: str) -> CompiledStep | str:
    """The step of a path, or what is wrong with it."""
    at = workflow_at(workflow, contents, path)
    return at if isinstance(at, str) else _step(at, path.rpartition("/")[2])


def _step(workflow: WorkflowDocument, part: str) -> CompiledStep | str:
    steps = workflow.compiled.steps
    step = steps.get(definition(part))
    if step is None or not _ID.fullmatch(part):
        near = suggestion(definition(part), steps) or f", expected one of {', '.join(list(steps)[:12])}"
        return f"found {shortened(part)}, which is no step of Workflow {workflow.name}{near}"
    for instance in (part, *around(part)):
        own = turn(instance)
        if own is not None and steps[definition(instance)].loop is None:
            return f"found {part}, but {definition(instance)} is not repeated"
        if own is not None and own[1] == 0 and steps[definition(instance)].loop.items is None:  # type: ignore[union-attr]
            return f"found {part}, but the iterations of {definition(instance)} are counted from 1"
    return step


def _inputs(case: Scenario, workflow: WorkflowDocument, place: Path) -> Iterator[Problem]:
    try:
        workflow.compiled.inputs.apply(case.inputs)
    except InvalidInputs as error:
        if case.expect.error is None or case.expect.error.reason != Reason.INVALID_INPUTS:
            for message in error.messages:
                yield Problem((*place, "inputs"), re.sub("^inputs(\\.|: )", "", message))


def _unfit(step: CompiledStep, mock: Mock, contents: Contents) -> Iterator[str]:
    """Why a step cannot give what a mock says."""
    kind, answer = kind_of(step), mock.answer
    if mock.when is not None:
        yield from _unfit_condition(kind, mock.when)
    if kind in _NEEDLESS:
        yield f"step {step.path} {_NEEDLESS[kind]}"
        return
    if step.spec.wait is not None and step.spec.wait.signal is None:
        yield f"step {step.path} waits for a time, which passes at once in a test: it needs no mock"
        return
    if answer not in _ANSWERS[kind]:
        yield f"found {answer}, expected one of {', '.join(_ANSWERS[kind])} for {kind}"
    elif answer == "timeout" and step.timeout is None:
        yield f"found timeout, but step {step.path} has none"
    elif answer == "approve":
        yield from _unfit_approval(step, mock)
    elif answer == "reject" and mock.reject is not None:
        yield from _unfit_decision(step, mock.reject.by if "by" in mock.reject.model_fields_set else None)
        if step.spec.approval and step.spec.approval.reason_required and not mock.reject.reason:
            yield "reject.reason: missing, but the approval requires it"
    elif answer == "error" and mock.error is not None:
        expected = "ChildFailed" if kind == "workflow" else None
        reason = mock.error.reason
        if reason is not None and (reason == "ChildFailed") != (kind == "workflow"):
            told = f"expected {expected}" if expected else "which only a step that runs a workflow has"
            yield f"error.reason: found {reason}, {told}"
    elif answer == "output" and step.spec.workflow is not None:
        called = contents.workflows.get(step.spec.workflow.name)
        yield from _unfit_outputs(mock.output, called)
    yield from _unfit_artifacts(step, mock)


def _unfit_condition(kind: str, source: str) -> Iterator[str]:
    if kind not in ("run", "tool", "agent"):
        yield f"found when, which means nothing for {kind}; it is asked of the arguments of tools and code"
        return
    try:
        found = compile_expression(source)
    except InvalidExpression as error:
        yield f"when: {error}"
        return
    if extra := sorted(found.names - {"args"}):
        yield f"when: found {extra[0]}, expected args alone: the arguments"


def _unfit_approval(step: CompiledStep, mock: Mock) -> Iterator[str]:
    assert mock.approve is not None
    assert step.spec.approval is not None
    asks, given = step.spec.approval, mock.approve
    yield from _unfit_decision(step, given.by if "by" in given.model_fields_set else None)
    if asks.reason_required and not given.reason:
        yield "approve.reason: missing, but the approval requires it"
    if asks.form is not None:
        try:
            compile_inputs(asks.form).apply(given.form)
        except InvalidInputs as error:
            for message in error.messages:
                yield f"approve.{message.replace('inputs', 'form', 1)}"
    elif given.form:
        yield "approve.form: found one, but the approval has none"


def _unfit_decision(step: CompiledStep, by: str | None) -> Iterator[str]:
    assert step.spec.approval is not None
    approvers = step.spec.approval.approvers
    if by is not None and not approvers.groups and by not in approvers.users:
        yield f"by: found {found(by)}, expected one of the approvers: {', '.join(approvers.users)}"


def _unfit_outputs(output: Any, called: WorkflowDocument | None) -> Iterator[str]:
    if not isinstance(output, dict):
        yield f"output: found {found(output)}, expected a mapping: the outputs of a workflow by name"
    elif called is not None:
        for name in output.keys() - called.spec.outputs.keys():
            near = suggestion(name, called.spec.outputs)
            yield f"output: found {name}, which is no output of Workflow {called.name}{near}"


def _unfit_artifacts(step: CompiledStep, mock: Mock) -> Iterator[str]:
    for name, content in mock.artifacts.items():
        if name not in step.left:
            names = ", ".join(step.left) or "none"
            yield f"artifacts: found {name}, but what step {step.path} leaves is {names}"
        texts = content if isinstance(content, dict) else {"file": content}
        for path, text in texts.items():
            if not isinstance(text, str):
                yield f"artifacts.{name}: found {found(text)}, expected a text, or texts by path"
            parts = PurePosixPath(path).parts
            if not parts or parts[0] == "/" or ".." in parts:
                yield f"artifacts.{name}: found the path {found(path)}, expected one within the tree"


def _expected(
    expect: Expected, workflow: WorkflowDocument, contents: Contents, place: Path
) -> Iterator[Problem]:
    for path, wanted in expect.steps.items():
        at = (*place, "steps", path)
        step = step_at(workflow, contents, path)
        if isinstance(step, str):
            yield Problem(at, step)
            continue
        yield from _pattern((*at, "log"), wanted.log)
        if wanted.error is not None:
            yield from _pattern((*at, "error", "message"), wanted.error.message)
        if (loop := _unnamed_turn(workflow, contents, path)) is not None:
            yield Problem(at, f"it runs in each turn of {loop}; name one, such as {loop}[1]")
    for field, paths in (("ran", expect.ran or ()), ("order", expect.order)):
        for index, path in enumerate(paths):
            step = step_at(workflow, contents, path)
            if isinstance(step, str):
                yield Problem((*place, field, index), step)
    if expect.error is not None:
        yield from _pattern((*place, "error", "message"), expect.error.message)
        if expect.phase == "Succeeded":
            yield Problem((*place, "error"), "found an error beside phase Succeeded, expected one of them")
    for index, source in enumerate(expect.checks):
        if (unfit := _unfit_check(source, workflow)) is not None:
            yield Problem((*place, "checks", index), unfit)


def _unnamed_turn(workflow: WorkflowDocument, contents: Contents, path: str) -> str | None:
    """A loop around the step of a path that does not say which of its turns is meant."""
    for around_it in (path[: match.start()] for match in re.finditer("[./]", path)):
        step = step_at(workflow, contents, around_it)
        if not isinstance(step, str) and step.loop is not None and not around_it.endswith("]"):
            return around_it
    return None


def _pattern(place: Path, pattern: str | None) -> Iterator[Problem]:
    try:
        re.compile(pattern or "")
    except re.error as error:
        yield Problem(place, f"found {found(pattern)}, expected a regular expression: {error}")


def _unfit_check(source: str, workflow: WorkflowDocument) -> str | None:
    try:
        check: Expression = compile_expression(source)
    except InvalidExpression as error:
        return str(error)
    if extra := sorted(check.names - {"inputs", "output", "steps"}):
        return f"found {extra[0]}, expected inputs, output (the outputs of the workflow) and steps alone"
    steps = [path for path in workflow.compiled.steps if "." not in path]
    for read in sorted(check.reads, key=lambda read: read.step):
        if read.step not in steps:
            return f"found a reference to step {read.step!r}{suggestion(read.step, steps)}"
    return None
