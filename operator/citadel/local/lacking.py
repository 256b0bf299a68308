"""What the agents and tools of a workflow lack on this machine: one line for each."""

from collections.abc import Iterator

from citadel.core.openapi import InvalidDocument
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.operations import operation_of, spec_of
from citadel.local.pinning import agents_of, named_agents, named_tools, tools_of
from citadel.local.tools import AGENT, ToolMissing, Tools
from citadel.local.uses import language_of, tool_codes

_FROM_FILE = "without a cluster, {} come from the same file"


def agent_reasons(workflow: WorkflowDocument, contents: Contents, tools: Tools) -> Iterator[str]:
    """Why agents of a workflow cannot run here, or tools not be called."""
    for where, name in named_agents(workflow, contents):
        if name not in contents.agents:
            yield f"{where}: Agent {name} is not in this file; {_FROM_FILE.format('Agents')}"
    for where, name, _ in named_tools(workflow, contents):
        if name not in contents.tools:
            yield f"{where}: Tool {name} is not in this file; {_FROM_FILE.format('Tools')}"
    yield from _of_agents(workflow, contents, tools)
    yield from _of_tools(workflow, contents)
    yield from _of_codes(workflow, contents, tools)


def _of_agents(workflow: WorkflowDocument, contents: Contents, tools: Tools) -> Iterator[str]:
    agents = agents_of(workflow, contents)
    for name, agent in agents.items():
        if agent.system_from is not None:
            reference = agent.system_from.config_map_key_ref
            place = f"Agent {name}, systemFrom"
            yield from _missing(contents, "ConfigMap", reference.name, reference.key, place)
        own = contents.runtimes.get(agent.runtime)
        if own is not None and own.language != "python":
            yield f"Agent {name}: Runtime {agent.runtime} is of {own.language}, expected one of python"
    if agents:
        try:
            tools.get(AGENT)
        except ToolMissing as missing:
            yield f"Agent {next(iter(agents))}: {missing}"


def _of_tools(workflow: WorkflowDocument, contents: Contents) -> Iterator[str]:
    for name, tool in tools_of(workflow, contents).items():
        if (operation := operation_of(contents, name)) is not None:
            reference = operation.config_map_key_ref
            place = f"Tool {name}, http.openapi"
            yield from _missing(contents, "ConfigMap", reference.name, reference.key, place)
            try:
                spec_of(contents, name)
            except InvalidDocument as error:
                yield str(error)
        remote = tool.http or tool.mcp
        if remote is None or remote.credential is None:
            continue
        reference = remote.credential.secret_key_ref
        yield from _missing(contents, "Secret", reference.name, reference.key, f"Tool {name}, credential")


def _of_codes(workflow: WorkflowDocument, contents: Contents, tools: Tools) -> Iterator[str]:
    for name, run in tool_codes(workflow, contents):
        where, language = f"Tool {name}", language_of(run.runtime, contents)
        if run.entrypoint is not None:
            yield f"{where}: code.entrypoint is a module of the Runtime's image, which is not here"
        if run.code_from is not None:
            reference = run.code_from.config_map_key_ref
            yield from _missing(contents, "ConfigMap", reference.name, reference.key, f"{where}, codeFrom")
        if language is None:
            yield f"{where}: found the runtime {run.runtime}, expected a language or a Runtime of the file"
            continue
        try:
            tools.get(language)
        except ToolMissing as missing:
            yield f"{where}: {missing}"


def _missing(contents: Contents, kind: str, name: str, key: str, where: str) -> Iterator[str]:
    texts = contents.data.get((kind, name))
    if texts is None:
        yield f"{where}: {kind} {name} is not in this file; {_FROM_FILE.format(f'{kind}s')}"
    elif key not in texts:
        yield f"{where}: {kind} {name} has no key {key}, but {', '.join(sorted(texts)) or 'none'}"
