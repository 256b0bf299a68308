"""What a file holds: the workflow to run, and beside it the objects that a cluster would have.

Everything that is wrong with a file is found here, with line and column, before anything runs. It knows no
cluster: a Runtime that the file does not define may exist there.
"""

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from citadel.api.agent import AgentSpec
from citadel.api.execution import ExecutionSpec
from citadel.api.loader import Document, LoadError, load
from citadel.api.meta import API_VERSION, GROUP
from citadel.api.model import ModelSpec
from citadel.api.policy import ExecutionPolicySpec
from citadel.api.problems import Problem, found, suggestion
from citadel.api.runtime import RuntimeSpec
from citadel.api.tool import ToolSpec
from citadel.api.trigger import TriggerSpec
from citadel.api.validate import SPECS, InvalidObject, parse, problems_with_positions
from citadel.core.agentchecks import agent_problems, constraint_problems, tool_problems
from citadel.core.inputs import InvalidInputs
from citadel.core.lookups import lookup_problems
from citadel.core.placing import InvalidDefinition
from citadel.core.plan import compile_workflow
from citadel.llm.scripted import InvalidScript, Script
from citadel.local.contents import Contents, WorkflowDocument
from citadel.local.pinning import resolve
from citadel.render.trigger import inputs_at

__all__ = ["Contents", "WorkflowDocument", "read"]


def read(text: str) -> Contents:
    """Every object of a YAML text, checked. Problems are collected, never raised."""
    contents = Contents()
    try:
        documents = load(text)
    except LoadError as error:
        contents.problems.append(Problem((), error.message, error.line, error.column))
        return contents
    if not documents:
        contents.problems.append(Problem((), "found no object, expected a Workflow", 1, 1))
    for document in documents:
        found_problems = [*document.problems, *_take(contents, document)]
        contents.problems += problems_with_positions(document, found_problems)
    contents.problems += resolve(contents)
    others = {name: workflow.compiled for name, workflow in contents.workflows.items()}
    for workflow in contents.workflows.values():
        lookups = lookup_problems(workflow.compiled, others)
        contents.problems += problems_with_positions(workflow.document, lookups)
    for name, agent in contents.agents.items():
        document = contents.documents["Agent", name]
        contents.problems += problems_with_positions(document, _constraint_problems(contents, agent))
    for spec, document in contents.executions.values():
        # One that names a revision is not of the Workflow as it stands here.
        if spec.workflow_ref.revision is None:
            contents.problems += _input_problems(contents, spec.workflow_ref.name, spec.inputs, document)
    for trigger, document in contents.triggers.values():
        # A time like any other: which one, no schema can ask.
        inputs = inputs_at(trigger, "name", datetime.fromtimestamp(0, UTC))
        contents.problems += _input_problems(contents, trigger.workflow_ref.name, inputs, document)
    return contents


def _take(contents: Contents, document: Document) -> list[Problem]:
    """Adds one document's object to the contents; what is wrong with it."""
    value = document.value
    if not isinstance(value, dict):
        return [Problem((), f"found {found(value)}, expected an object with apiVersion, kind and metadata")]
    kind, group = value.get("kind"), str(value.get("apiVersion", "")).partition("/")[0]
    if not isinstance(kind, str):
        return [Problem(("kind",) if "kind" in value else (), "expected kind: the kind of object this is")]
    if kind in ("ConfigMap", "Secret"):
        return _take_data(contents, kind, value)
    if group == GROUP and kind not in SPECS:
        known = ", ".join(SPECS)
        return [Problem(("kind",), f"found {found(kind)}, expected one of {known}{suggestion(kind, SPECS)}")]
    if kind not in SPECS or (group != GROUP and "apiVersion" in value):
        near = f", expected {API_VERSION}" if kind in SPECS else ""
        return [Problem(("apiVersion",), f"found {found(value['apiVersion'])}{near}")] if near else []
    try:
        spec = parse(kind, value)
    except InvalidObject as error:
        return list(error.problems)
    if isinstance(spec, ExecutionPolicySpec):
        return []
    name = str(value["metadata"].get("name") or value["metadata"].get("generateName"))
    if isinstance(spec, RuntimeSpec):
        contents.runtimes[name] = spec
    elif isinstance(spec, ExecutionSpec):
        contents.executions[name] = (spec, document)
    elif isinstance(spec, ModelSpec):
        contents.models[name] = spec
        return _script_problems(spec)
    elif isinstance(spec, AgentSpec):
        contents.agents[name], contents.documents["Agent", name] = spec, document
        return agent_problems(spec)
    elif isinstance(spec, ToolSpec):
        contents.tools[name], contents.documents["Tool", name] = spec, document
        return tool_problems(spec)
    elif isinstance(spec, TriggerSpec):
        contents.triggers[name] = (spec, document)
    else:
        if name in contents.workflows:
            return [
                Problem(("metadata", "name"), f"found {name!r}, which another Workflow of this file has too")
            ]
        try:
            compiled = compile_workflow(spec)
        except InvalidDefinition as error:
            return error.problems
        contents.workflows[name] = WorkflowDocument(name, spec, compiled, document)
    return []


def _constraint_problems(contents: Contents, agent: AgentSpec) -> Iterator[Problem]:
    """Constraints that fit no call of a Tool or Agent of the same file; others may be in a cluster."""
    for position, entry in enumerate(agent.tools):
        called = contents.tools.get(entry.tool or "") or contents.agents.get(entry.agent or "")
        parameters = called.parameters if called is not None else None
        for index, message in constraint_problems(entry, parameters or {}):
            yield Problem(("spec", "tools", position, "constraints", index, "rule"), message)


def _script_problems(spec: ModelSpec) -> list[Problem]:
    try:
        Script(spec)
    except InvalidScript as error:
        return [Problem(("spec", "script"), str(error))]
    return []


def _take_data(contents: Contents, kind: str, value: dict[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        return [Problem(("metadata",), f"expected metadata with the name of this {kind}")]
    for source in ("data", "stringData") if kind == "Secret" else ("data",):
        given = value.get(source) or {}
        if not isinstance(given, dict):
            return [Problem((source,), f"found {found(given)}, expected a mapping of texts")]
        for key, content in given.items():
            if not isinstance(content, str):
                problems.append(Problem((source, key), f"found {found(content)}, expected a text; quote it"))
                continue
            try:
                decoded = _decoded(content) if (kind, source) == ("Secret", "data") else content
            except ValueError as error:
                problems.append(Problem((source, key), str(error)))
            else:
                texts[key] = decoded
    contents.data[kind, name] = texts
    return problems


def _decoded(content: str) -> str:
    try:
        return base64.b64decode("".join(content.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("expected base64 of UTF-8 text; plain text belongs in stringData") from None


def _input_problems(
    contents: Contents, name: str, inputs: dict[str, Any], document: Document
) -> Iterator[Problem]:
    """What is wrong with inputs of a Workflow of the same file; others may be in a cluster."""
    workflow = contents.workflows.get(name)
    if workflow is None:
        return
    try:
        workflow.compiled.inputs.apply(inputs)
    except InvalidInputs as error:
        at = document.position(("spec", "inputs"))
        for message in error.messages:
            yield Problem((), f"spec.{message}", at.line, at.column)
