"""A Tool that names an operation of an OpenAPI document, as the template of its request. Pure.

The same in a cluster and on a developer's machine: both read the document where its ConfigMap is.
"""

import json
from collections.abc import Mapping
from typing import Any

from citadel.api.loader import LoadError, load
from citadel.core.openapi import InvalidDocument, Operation, operation_of


def read_operation(text: str, name: str) -> Operation:
    """The operation of this operationId in a document, YAML or JSON; raises InvalidDocument."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = _only(text)
    return operation_of(document, name)


def templated(spec: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    """The spec of a Tool that names an operation, as one that fills in its request."""
    http = spec["http"]
    request: dict[str, Any] = {
        "method": operation.method,
        "url": http["url"].rstrip("/") + operation.path,
        "query": dict(operation.query),
        "headers": {**operation.headers, **http.get("headers", {})},
        **({"body": operation.body} if operation.body is not None else {}),
        **{key: value for key, value in http.items() if key == "credential"},
    }
    return {
        **spec,
        "description": spec.get("description") or operation.description,
        "parameters": dict(operation.parameters),
        "http": request,
    }


def _only(text: str) -> Any:
    try:
        documents = load(text)
    except LoadError as error:
        raise InvalidDocument(str(error)) from None
    if len(documents) != 1:
        raise InvalidDocument(f"found {len(documents)} YAML documents, expected one")
    return documents[0].value
