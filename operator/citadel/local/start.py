"""From the contents of a file to an execution that can run here; or one clear message why it cannot."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.runtime import LANGUAGES
from citadel.core import events as ev
from citadel.core.inputs import InvalidInputs
from citadel.core.jsonvalues import Json, canonical, digest
from citadel.core.values import Values
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.engine import EngineError, find
from citadel.local.models import model_reasons

#: The Runtime that every cluster has, and this machine is.
PYTHON: Mapping[str, Any] = {"image": "local"}


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
        for _, other in _runs(workflow)
        if other != name
    }
    outermost = [workflow for name, workflow in contents.workflows.items() if name not in run_by_others]
    if len(outermost) != 1:
        names = ", ".join(contents.workflows) or "none"
        hint = " that no other runs, or an Execution that names one" if contents.workflows else ""
        raise CannotRun(f"found {len(contents.workflows)} Workflows ({names}), expected one{hint}")
    return outermost[0], {}, None


def _runs(workflow: WorkflowDocument) -> Iterator[tuple[str, str]]:
    """The steps of a workflow that run others, and which."""
    for path, step in workflow.spec.every_step():
        if step.workflow is not None:
            yield path, step.workflow.name


def _revisions(workflow: WorkflowDocument) -> Iterator[str]:
    for path, step in workflow.spec.every_step():
        if step.workflow is not None and step.workflow.revision is not None:
            told = f"revision {step.workflow.revision} of Workflow {step.workflow.name}"
            yield f"step {path}: {told} is in a cluster's journal, not in this file"


def prepare(contents: Contents, given: Mapping[str, Json]) -> Start:
    """What to run: the file's workflow with `given` over the inputs of its Execution; raises CannotRun."""
    workflow, inputs, name = choose(contents)
    return begin(workflow, contents, {**inputs, **given}, name)


def begin(
    workflow: WorkflowDocument, contents: Contents, inputs: Mapping[str, Json], name: str | None = None
) -> Start:
    """The same for a workflow that is chosen already."""
    if reasons := list(_reasons(workflow, contents)):
        raise CannotRun(*reasons)
    return start_of(workflow, contents, inputs, name)


def _reasons(workflow: WorkflowDocument, contents: Contents) -> Iterator[str]:
    """Why a workflow, or one that is run by it, cannot run here."""
    seen: dict[str, WorkflowDocument] = {}
    left = [workflow]
    while left:
        one = left.pop(0)
        if one.name in seen:
            continue
        seen[one.name] = one
        where = "" if one is workflow else f"Workflow {one.name}: "
        for reason in (
            *_containers(one),
            *_runtimes(one, contents),
            *_references(one, contents),
            *_places(one),
            *_entrypoints(one),
            *_revisions(one),
            *model_reasons(one, contents),
        ):
            yield f"{where}{reason}"
        for path, other in _runs(one):
            if other in contents.workflows:
                left.append(contents.workflows[other])
            else:
                yield (
                    f"{where}step {path}: Workflow {other} is not in this file; without a cluster, "
                    "workflows that steps run come from the same file"
                )


def start_of(
    workflow: WorkflowDocument, contents: Contents, inputs: Mapping[str, Json], name: str | None
) -> Start:
    """An execution of a workflow on these inputs; raises CannotRun."""
    try:
        filled = workflow.compiled.inputs.apply(inputs)
    except InvalidInputs as error:
        raise CannotRun(*error.messages) from None
    definition = _definition(workflow, contents)
    values = Values()
    uid = str(uuid.uuid4())
    created = ev.Created(
        name=name or f"{workflow.name[:240]}-{uid[:8]}",
        namespace="local",
        uid=uid,
        workflow=workflow.name,
        definition=digest(canonical(definition)),
        inputs=values.put(dict(filled)),
    )
    return Start(workflow, created, definition, values.made)


def _definition(workflow: WorkflowDocument, contents: Contents) -> dict[str, Any]:
    runtimes: dict[str, Any] = {"python": dict(PYTHON)}
    used = {step.run.runtime for _, step in workflow.spec.every_step() if step.run is not None}
    for name in used & contents.runtimes.keys():
        runtimes[name] = contents.runtimes[name].model_dump(by_alias=True, exclude_none=True, mode="json")
    code = {}
    for path, step in workflow.spec.every_step():
        if step.run is not None and step.run.code_from is not None:
            reference = step.run.code_from.config_map_key_ref
            code[path] = contents.data["ConfigMap", reference.name][reference.key]
    spec = workflow.spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    return {"spec": spec, "runtimes": runtimes, "code": code}


def _containers(workflow: WorkflowDocument) -> list[str]:
    names = [path for path, step in workflow.spec.every_step() if step.container is not None]
    if not names:
        return []
    try:
        find()
    except EngineError as error:
        which = f"step {names[0]} is one" if len(names) == 1 else f"steps {', '.join(names[:8])} are some"
        return [
            f"container steps need podman or docker: {which}; {error}; install podman, "
            "or apply the file and run it without --local"
        ]
    return []


def _entrypoints(workflow: WorkflowDocument) -> list[str]:
    return [
        f"step {path}: run.entrypoint {step.run.entrypoint} is a module of the Runtime's image, "
        "which is not here; apply the file and run it without --local"
        for path, step in workflow.spec.every_step()
        if step.run is not None and step.run.entrypoint is not None
    ]


def _runtimes(workflow: WorkflowDocument, contents: Contents) -> list[str]:
    """Steps whose runtime is not here, or is of a language that only a cluster runs."""
    languages: dict[str, str] = {language: language for language in LANGUAGES}
    languages |= {name: runtime.language for name, runtime in contents.runtimes.items()}
    here = sorted({"python", *contents.runtimes})
    messages = []
    for path, step in workflow.spec.every_step():
        if step.run is None:
            continue
        language, own = languages.get(step.run.runtime), contents.runtimes.get(step.run.runtime)
        if own is not None and own.packages is not None and list(own.packages.listed()):
            messages.append(
                f"step {path}: the Runtime {step.run.runtime} has packages, which a cluster installs; "
                "apply the file and run it without --local"
            )
            continue
        if language == "python":
            continue
        if language is None:
            messages.append(
                f"step {path}: found the runtime {step.run.runtime}, expected one of "
                f"{', '.join(here)}: here there are python and the Runtimes of the file"
            )
        else:
            messages.append(
                f"step {path}: {language} needs a cluster, only python runs here; "
                "apply the file and run it without --local"
            )
    return messages


def _places(workflow: WorkflowDocument) -> list[str]:
    """Paths that only a sandbox has."""
    return [
        f"step {step.name}: {path} is a place of a sandbox; a path relative to the working directory is the "
        "same there and here"
        for step in workflow.compiled.steps.values()
        for path in (*step.taken, *step.left.values())
        if step.spec.container is None and not path.startswith("/work")
    ]


def _references(workflow: WorkflowDocument, contents: Contents) -> list[str]:
    """What is wrong with the references to ConfigMaps and Secrets, which here come from the same file."""
    wanted: list[tuple[str, str, str, str]] = []
    for step in workflow.compiled.steps.values():
        for _, place, value in step.by_reference():
            wanted.append((f"step {step.name}, {place}", value.kind, value.name, value.key))
        if step.spec.run is not None and step.spec.run.code_from is not None:
            reference = step.spec.run.code_from.config_map_key_ref
            wanted.append((f"step {step.name}, run.codeFrom", "ConfigMap", reference.name, reference.key))
    messages = []
    for place, kind, name, key in wanted:
        texts = contents.data.get((kind, name))
        if texts is None:
            messages.append(
                f"{place}: {kind} {name} is not in this file; without a cluster, values by reference come "
                "from ConfigMaps and Secrets in the same file"
            )
        elif key not in texts:
            messages.append(
                f"{place}: {kind} {name} has no key {key}, but {', '.join(sorted(texts)) or 'none'}"
            )
    return messages
