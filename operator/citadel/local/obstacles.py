"""Why a workflow cannot run on this machine, though it is sound: one line for each reason."""

from collections.abc import Iterator

from citadel.api.runtime import LANGUAGES
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.engine import EngineError, find
from citadel.local.lacking import agent_reasons
from citadel.local.models import model_reasons
from citadel.local.tools import ToolMissing, Tools
from citadel.local.uses import called, language_of, reached


def obstacles(workflow: WorkflowDocument, contents: Contents, tools: Tools) -> Iterator[str]:
    """Why a workflow, or one that is run by it, cannot run here."""
    for one in reached(workflow, contents):
        where = "" if one is workflow else f"Workflow {one.name}: "
        for reason in (
            *_containers(one),
            *_runtimes(one, contents, tools),
            *_references(one, contents),
            *_places(one),
            *_entrypoints(one),
            *_revisions(one),
            *model_reasons(one, contents),
            *agent_reasons(one, contents, tools),
        ):
            yield f"{where}{reason}"
        for place, other in called(one, contents):
            if other not in contents.workflows:
                yield (
                    f"{where}{place}: Workflow {other} is not in this file; without a cluster, "
                    "workflows that steps run come from the same file"
                )


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


def _runtimes(workflow: WorkflowDocument, contents: Contents, tools: Tools) -> list[str]:
    """Steps whose runtime is not here, or is of a language that this machine has not."""
    messages = []
    for path, step in workflow.spec.every_step():
        if step.run is None:
            continue
        name, own = step.run.runtime, contents.runtimes.get(step.run.runtime)
        language = language_of(name, contents)
        if language is None:
            here = ", ".join(sorted({*LANGUAGES, *contents.runtimes}))
            messages.append(
                f"step {path}: found the runtime {name}, expected one of {here}: "
                "here there are the languages and the Runtimes of the file"
            )
        elif own is not None and own.packages is not None and list(own.packages.listed()):
            messages.append(
                f"step {path}: the Runtime {name} has packages, which a cluster installs; "
                "apply the file and run it without --local"
            )
        else:
            try:
                tools.get(language)
            except ToolMissing as missing:
                messages.append(f"step {path}: {missing}")
    return messages


def _entrypoints(workflow: WorkflowDocument) -> list[str]:
    return [
        f"step {path}: run.entrypoint {step.run.entrypoint} is a module of the Runtime's image, "
        "which is not here; apply the file and run it without --local"
        for path, step in workflow.spec.every_step()
        if step.run is not None and step.run.entrypoint is not None
    ]


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


def _revisions(workflow: WorkflowDocument) -> Iterator[str]:
    for path, step in workflow.spec.every_step():
        if step.workflow is not None and step.workflow.revision is not None:
            told = f"revision {step.workflow.revision} of Workflow {step.workflow.name}"
            yield f"step {path}: {told} is in a cluster's journal, not in this file"
