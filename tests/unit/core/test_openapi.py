"""Operations of OpenAPI documents become templates of requests, and what cannot is named."""

from typing import Any

import pytest

from citadel.core.inputs import compile_inputs
from citadel.core.openapi import InvalidDocument, operation_of

ISSUE: dict[str, Any] = {
    "type": "object",
    "required": ["title"],
    "properties": {"title": {"type": "string"}, "labels": {"type": "array", "items": {"type": "string"}}},
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "paths": {
        "/projects/{project-id}/issues": {
            "parameters": [{"$ref": "#/components/parameters/Project"}],
            "get": {
                "operationId": "listIssues",
                "summary": "All issues.",
                "parameters": [
                    {"name": "state", "in": "query", "schema": {"type": "string", "nullable": True}},
                    {"name": "per page", "in": "query", "schema": {"type": "integer", "example": 3}},
                    {
                        "name": "X-Trace",
                        "in": "header",
                        "schema": {"type": "string"},
                        "description": "An id.",
                    },
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "required": True, "schema": {}},
                ],
            },
            "post": {
                "operationId": "createIssue",
                "description": "Opens an issue.",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Issue"}},
                    },
                },
            },
        },
        "/tree": {
            "put": {
                "operationId": "putTree",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}
                },
            },
            "post": {
                "operationId": "upload",
                "requestBody": {"content": {"multipart/form-data": {"schema": {}}}},
            },
            "delete": {
                "operationId": "elsewhere",
                "parameters": [{"name": "a", "in": "query", "schema": {"$ref": "https://evil.example/x"}}],
            },
            "patch": {
                "operationId": "nowhere",
                "parameters": [{"name": "a", "in": "query", "schema": {"$ref": "#/components/schemas/No"}}],
            },
        },
        "/cookie": {
            "get": {
                "operationId": "cookie",
                "parameters": [{"name": "s", "in": "cookie", "required": True, "schema": {}}],
            }
        },
        "/lost/{id}": {"get": {"operationId": "lost"}},
    },
    "components": {
        "parameters": {
            "Project": {"name": "project-id", "in": "path", "required": True, "schema": {"type": "integer"}}
        },
        "schemas": {
            "Issue": ISSUE,
            "Tree": {"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Tree"}}},
        },
    },
}


def test_parameters_become_arguments_and_the_request_has_their_places() -> None:
    found = operation_of(DOCUMENT, "listIssues")
    assert (found.method, found.path) == ("GET", "/projects/${args.project_id}/issues")
    assert found.query == {"state": "${args.state}", "per page": "${args.per_page}"}
    assert found.headers == {"X-Trace": "${args.X_Trace}"}
    assert found.body is None
    assert found.parameters == {
        "type": "object",
        "properties": {
            "project_id": {"type": "integer"},
            "state": {"type": ["string", "null"]},
            "per_page": {"type": "integer"},
            "X_Trace": {"type": "string", "description": "An id."},
        },
        "required": ["project_id"],
        "additionalProperties": False,
    }
    assert found.description == "All issues."
    compile_inputs(dict(found.parameters))


def test_a_path_in_any_script_is_one_that_a_url_can_have() -> None:
    get = {"operationId": "a", "parameters": [{"name": "größe", "in": "path", "schema": {}}]}
    found = operation_of({"openapi": "3.1.0", "paths": {"/über uns/{größe}": {"get": get}}}, "a")
    assert found.path == "/%C3%BCber%20uns/${args.gr__e}"


def test_a_body_is_one_argument_with_its_schema_in_place() -> None:
    found = operation_of(DOCUMENT, "createIssue")
    assert (found.method, found.body) == ("POST", "${args.body}")
    assert found.parameters["properties"]["body"] == ISSUE
    assert found.parameters["required"] == ["project_id", "body"]


def test_what_the_older_version_writes_otherwise_is_what_json_schema_says() -> None:
    schema = {
        "type": "integer",
        "minimum": 1,
        "exclusiveMinimum": True,
        "maximum": 9,
        "exclusiveMaximum": False,
    }
    document = {
        "openapi": "3.0.0",
        "paths": {
            "/": {"get": {"operationId": "a", "parameters": [{"name": "n", "in": "query", "schema": schema}]}}
        },
    }
    found = operation_of(document, "a")
    assert found.parameters["properties"]["n"] == {"type": "integer", "exclusiveMinimum": 1, "maximum": 9}


@pytest.mark.parametrize(
    ("document", "name", "says"),
    [
        ({"swagger": "2.0"}, "a", "expected an OpenAPI document of version 3"),
        ([], "a", "expected an OpenAPI document of version 3"),
        (DOCUMENT, "nope", "found no operation nope, expected one of: cookie, createIssue"),
        ({"openapi": "3.1.0"}, "a", "expected one of: none"),
        (DOCUMENT, "putTree", "found $ref #/components/schemas/Tree, which leads back to itself"),
        (DOCUMENT, "upload", "found a body of multipart/form-data, expected application/json"),
        (DOCUMENT, "elsewhere", "found $ref 'https://evil.example/x', expected one into the document"),
        (DOCUMENT, "nowhere", "found $ref #/components/schemas/No, which leads nowhere"),
        (DOCUMENT, "cookie", "found the parameter s in cookie, expected path, query or header"),
        (DOCUMENT, "lost", "found {id} in the path /lost/{id}, expected a parameter of that name"),
    ],
)
def test_what_no_request_can_be_made_of_is_named(document: Any, name: str, says: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        operation_of(document, name)
    assert says in str(caught.value)


def test_references_that_multiply_end() -> None:
    schemas = {
        f"s{n}": {
            "type": "object",
            "properties": {c: {"$ref": f"#/components/schemas/s{n + 1}"} for c in "abcd"},
        }
        for n in range(20)
    }
    schemas["s20"] = {"type": "string"}
    get = {
        "operationId": "a",
        "parameters": [{"name": "n", "in": "query", "schema": {"$ref": "#/components/schemas/s0"}}],
    }
    document = {"openapi": "3.1.0", "paths": {"/": {"get": get}}, "components": {"schemas": schemas}}
    with pytest.raises(InvalidDocument, match="more than 10000 parts"):
        operation_of(document, "a")
