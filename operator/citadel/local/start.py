"""From the contents of a file to an execution that can run here; or one clear message why it cannot."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citadel.core import events as ev
from citadel.core.inputs import InvalidInputs
from citadel.core.jsonvalues import Json, canonical, digest
from citadel.core.values import Values
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.obstacles import obstacles
from citadel.local.pinning import agents_of, pinned
from citadel.local.tools import AGENT, Tools
from citadel.local.uses import called, codes, language_of, tool_codes


class CannotRun(Exception):
    """The file is sound, but cannot run here; one line for each reason."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@dataclass(frozen=True)
class Start:
    """Everything a journal needs to take an execution in."""

    workflow: WorkflowDocument
    created: ev.Created
    definition: Mapping[str, Any]
    outputs: Mapping[str, bytes]


def choose(contents: Contents) -> tuple[WorkflowDocument, dict[str, Json], str | None]:
    """The workflow to run, the inputs of the file's Execution, and that one's name; raises CannotRun."""
    if len(contents.executions) > 1:
        names = ", ".join(contents.executions)
        raise CannotRun(f"found {len(contents.executions)} Executions ({names}), expected at most one")
    for name, (execution, _) in contents.executions.items():
        wanted = execution.workflow_ref.name
        if (revision := execution.workflow_ref.revision) is not None:
            raise CannotRun(
                f"Execution {name}: revision {revision} is in a cluster's journal, not in this file"
            )
        if wanted not in contents.workflows:
            raise CannotRun(f"Execution {name}: Workflow {wanted} is not in this file")
        return contents.workflows[wanted], dict(execution.inputs), name
    run_by_others = {
        other
        for name, workflow in contents.workflows.items()
        for _, other in called(workflow, contents)
        if other != name
    }
    outermost = [workflow for name, workflow in contents.workflows.items() if name not in run_by_others]
    if len(outermost) != 1:
        names = ", ".join(contents.workflows) or "none"
        hint = " that no other runs, or an Execution that names one" if contents.workflows else ""
        raise CannotRun(f"found {len(contents.workflows)} Workflows ({names}), expected one{hint}")
    return outermost[0], {}, None


def prepare(
    contents: Contents, given: Mapping[str, Json], tools: Tools | None = None, *, no_cache: bool = False
) -> Start:
    """What to run: the file's workflow with `given` over the inputs of its Execution; raises CannotRun."""
    workflow, inputs, name = choose(contents)
    return begin(workflow, contents, {**inputs, **given}, name, tools, no_cache=no_cache)


def begin(
    workflow: WorkflowDocument,
    contents: Contents,
    inputs: Mapping[str, Json],
    name: str | None = None,
    tools: Tools | None = None,
    *,
    no_cache: bool = False,
) -> Start:
    """The same for a workflow that is chosen already."""
    tools = tools or Tools()
    if reasons := list(obstacles(workflow, contents, tools)):
        raise CannotRun(*reasons)
    return start_of(workflow, contents, inputs, name, tools, no_cache=no_cache)


def start_of(
    workflow: WorkflowDocument,
    contents: Contents,
    inputs: Mapping[str, Json],
    name: str | None,
    tools: Tools,
    *,
    no_cache: bool = False,
) -> Start:
    """An execution of a workflow on these inputs; raises CannotRun."""
    try:
        filled = workflow.compiled.inputs.apply(inputs)
    except InvalidInputs as error:
        raise CannotRun(*error.messages) from None
    definition = _definition(workflow, contents, tools)
    values = Values()
    uid = str(uuid.uuid4())
    created = ev.Created(
        name=name or f"{workflow.name[:240]}-{uid[:8]}",
        namespace="local",
        uid=uid,
        workflow=workflow.name,
        definition=digest(canonical(definition)),
        inputs=values.put(dict(filled)),
        no_cache=no_cache,
    )
    return Start(workflow, created, definition, values.made)


def _definition(workflow: WorkflowDocument, contents: Contents, tools: Tools) -> dict[str, Any]:
    runtimes: dict[str, Any] = {}
    named = {step.run.runtime for _, step in workflow.spec.every_step() if step.run is not None}
    named |= {run.runtime for _, run in tool_codes(workflow, contents)}
    for name in named:
        own, language = contents.runtimes.get(name), language_of(name, contents)
        assert language is not None
        spec = own.model_dump(by_alias=True, exclude_none=True, mode="json") if own is not None else {}
        # What runs is what this machine has, whatever the image.
        runtimes[name] = {**spec, "language": language, "image": tools.image(language)}
    for agent in agents_of(workflow, contents).values():
        runtimes.setdefault(agent.runtime, {"language": "python", "image": tools.image(AGENT)})
    spec = workflow.spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    found = {"spec": spec, "runtimes": runtimes, "code": codes(workflow, contents)}
    return {**found, **pinned(workflow, contents)}
