"""What a workflow of a file uses: other workflows, languages, code that stands elsewhere, and the network."""

from collections.abc import Iterator

from citadel.api.actions import Run
from citadel.api.runtime import LANGUAGES
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.pinning import agents_of, tools_of
from citadel.local.tools import AGENT


def called(workflow: WorkflowDocument, contents: Contents) -> Iterator[tuple[str, str]]:
    """What of a workflow runs others, steps and Tools, and which."""
    for path, step in workflow.spec.every_step():
        if step.workflow is not None:
            yield f"step {path}", step.workflow.name
    for name, tool in tools_of(workflow, contents).items():
        if tool.workflow is not None:
            yield f"Tool {name}", tool.workflow.name


def reached(workflow: WorkflowDocument, contents: Contents) -> list[WorkflowDocument]:
    """A workflow, and those of the file that it runs."""
    found = {workflow.name: workflow}
    left = [workflow]
    while left:
        for _, name in called(left.pop(0), contents):
            other = contents.workflows.get(name)
            if other is not None and name not in found:
                found[name] = other
                left.append(other)
    return list(found.values())


def language_of(runtime: str, contents: Contents) -> str | None:
    """The language of a Runtime: one of the file, else one that every cluster has."""
    own = contents.runtimes.get(runtime)
    return own.language if own is not None else runtime if runtime in LANGUAGES else None


def codes(workflow: WorkflowDocument, contents: Contents) -> dict[str, str]:
    """Code that stands in ConfigMaps, by the path of its step; what is not in the file is left out."""
    found = {}
    for path, step in workflow.spec.every_step():
        if step.run is not None and step.run.code_from is not None:
            reference = step.run.code_from.config_map_key_ref
            code = contents.data.get(("ConfigMap", reference.name), {}).get(reference.key)
            if code is not None:
                found[path] = code
    return found


def sources(workflow: WorkflowDocument, contents: Contents) -> dict[str, list[str]]:
    """The languages in which steps of a workflow are written, each with what stands there."""
    found: dict[str, list[str]] = {}
    for one in reached(workflow, contents):
        elsewhere = codes(one, contents)
        for path, step in one.spec.every_step():
            if step.run is not None and (language := language_of(step.run.runtime, contents)) is not None:
                found.setdefault(language, []).append(step.run.code or elsewhere.get(path, ""))
        for _, run in tool_codes(one, contents):
            if (language := language_of(run.runtime, contents)) is not None:
                found.setdefault(language, []).append(run.code or "")
        if agents_of(one, contents):
            found.setdefault(AGENT, [])
    return found


def tool_codes(workflow: WorkflowDocument, contents: Contents) -> Iterator[tuple[str, Run]]:
    """The Tools of a workflow that are code, by their names."""
    for name, tool in tools_of(workflow, contents).items():
        if tool.code is not None:
            yield name, tool.code


def containers(workflow: WorkflowDocument, contents: Contents) -> bool:
    """Whether steps of a workflow run in images of their own."""
    return any(
        step.container is not None for one in reached(workflow, contents) for _, step in one.spec.every_step()
    )


def egress(workflow: WorkflowDocument, contents: Contents) -> bool:
    """Whether steps of a workflow, or their Runtimes, name something that they reach."""
    steps = [step for one in reached(workflow, contents) for _, step in one.spec.every_step()]
    used = {step.run.runtime for step in steps if step.run is not None}
    networks = [step.network for step in steps]
    networks += [own.network for name, own in contents.runtimes.items() if name in used]
    return any(network is not None and network.egress for network in networks)
