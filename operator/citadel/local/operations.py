"""Tools of a file that name an operation of an OpenAPI document, which stands in a ConfigMap of the file."""

from collections.abc import Iterator
from typing import Any

from citadel.api.meta import API_VERSION
from citadel.api.problems import Problem
from citadel.api.tool import OpenApi
from citadel.api.validate import InvalidObject, parse
from citadel.core.agentchecks import tool_problems
from citadel.core.openapi import InvalidDocument
from citadel.core.operations import read_operation, templated
from citadel.local.contents import Contents


def operation_problems(contents: Contents) -> Iterator[Problem]:
    """What is wrong with the documents that are there; one that is not may be in a cluster."""
    for name in contents.tools:
        try:
            spec_of(contents, name)
        except InvalidDocument as error:
            document = contents.documents.get(("Tool", name))
            at = None if document is None else document.position(("spec", "http", "openapi"))
            yield Problem((), str(error), *(() if at is None else (at.line, at.column)))


def operation_of(contents: Contents, name: str) -> OpenApi | None:
    """Which operation a Tool names; None for one that does not."""
    http = contents.tools[name].http
    return None if http is None else http.openapi


def spec_of(contents: Contents, name: str) -> dict[str, Any] | None:
    """A Tool that names an operation, as the template of its request, which is what a definition pins.

    None where it names none, or its document is not there. Raises InvalidDocument.
    """
    wanted = operation_of(contents, name)
    if wanted is None:
        return None
    if name not in contents.operations:
        key = wanted.config_map_key_ref
        text = contents.data.get(("ConfigMap", key.name), {}).get(key.key)
        if text is None:
            return None
        written = contents.tools[name].model_dump(by_alias=True, exclude_none=True, mode="json")
        try:
            contents.operations[name] = _checked(
                name, templated(written, read_operation(text, wanted.operation))
            )
        except InvalidDocument as error:
            where = f"Tool {name}, http.openapi: key {key.key} of ConfigMap {key.name}"
            raise InvalidDocument(f"{where}: {error}") from None
    return contents.operations[name]


def _checked(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A document may say what no Tool may."""
    try:
        parsed = parse(
            "Tool", {"apiVersion": API_VERSION, "kind": "Tool", "metadata": {"name": name}, "spec": spec}
        )
    except InvalidObject as error:
        raise InvalidDocument(f"as it was read: {error}") from None
    for problem in tool_problems(parsed):
        raise InvalidDocument(f"as it was read: {problem.text}")
    return spec
