"""Agents and Tools as objects: what they may say, and every complaint in words."""

from typing import Any

import pytest

from citadel.api.validate import parse, problems


def agent(**spec: Any) -> dict[str, Any]:
    return _object("Agent", {"model": "writer", **spec})


def tool(**spec: Any) -> dict[str, Any]:
    return _object("Tool", {"description": "Searches.", **spec})


def _object(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}


TEXT = {"type": "object", "properties": {"text": {"type": "string"}}}
URL = "https://crm.example.com/v1/leads/${args.id}"


def test_an_agent_says_its_model_and_has_defaults_for_the_rest() -> None:
    spec = parse("Agent", agent())
    assert (spec.runtime, spec.limits.turns, spec.limits.tool_calls, spec.tools) == ("agent", 25, 50, ())
    assert spec.parameters["required"] == ["prompt"]


def test_a_tool_is_of_one_kind() -> None:
    assert parse("Tool", tool(http={"url": URL}, parameters=TEXT)).kind == "http"
    assert parse("Tool", tool(mcp={"url": "https://mcp.example.com/mcp"}, description=None)).kind == "mcp"
    assert parse("Tool", tool(workflow={"name": "w"})).kind == "workflow"
    code = {"runtime": "python", "code": "def main(): return 1"}
    assert parse("Tool", tool(code=code, parameters=TEXT)).kind == "code"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"tools": [{"name": "s"}]}, "spec.tools[0]: found none of tool and agent, expected exactly one"),
        (
            {"tools": [{"name": "s", "tool": "a", "agent": "b"}]},
            "spec.tools[0]: found tool and agent of tool and agent, expected exactly one",
        ),
        (
            {"tools": [{"name": "s", "agent": "b", "function": "f"}]},
            "spec.tools[0]: found function, which means nothing for an agent; leave it out",
        ),
        (
            {"tools": [{"name": "refused", "tool": "a"}]},
            "spec.tools[0]: found the name 'refused', which is reserved, expected another",
        ),
        (
            {"tools": [{"name": "s", "tool": "a"}, {"name": "s", "tool": "b"}]},
            'spec.tools[1].name: found "s", which spec.tools[0] has too, expected a name of its own',
        ),
        (
            {"tools": [{"name": "Suche", "tool": "a"}]},
            'spec.tools[0].name: found "Suche" (string), expected a name: a lower-case letter, then at most'
            " 40 letters, digits or _",
        ),
        ({"budget": {}}, "spec.budget: found none of cost, tokens, costPerDay and tokensPerDay, expected"),
        ({"system": "x", "systemFrom": {"configMapKeyRef": {"name": "a", "key": "k"}}}, "spec: found system"),
        ({"parameters": {"type": "string"}}, "spec: found parameters of the type 'string', expected a JSON"),
        ({"version": "1.2"}, 'spec.version: found "1.2" (string), expected a version such as 1.2.0'),
        (
            {"dependsOn": {"tools": [{"name": "a", "version": "^1.0"}]}},
            'spec.dependsOn.tools[0].version: found "^1.0" (string), expected versions such as >=1.0,<2',
        ),
        ({"capabilities": ["Write Text"]}, 'spec.capabilities[0]: found "Write Text" (string), expected a'),
    ],
)
def test_what_is_wrong_with_an_agent_is_said(spec: dict[str, Any], message: str) -> None:
    (problem,) = problems("Agent", agent(**spec))
    assert problem.text.startswith(message)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "spec: found no kind, expected exactly one of http, mcp, workflow, code"),
        (
            {"workflow": {"name": "w"}, "mcp": {"url": "https://mcp.example.com/"}},
            "spec: found mcp and workflow, expected exactly one of http, mcp, workflow, code",
        ),
        ({"http": {"url": URL}}, "spec: found no parameters, expected a JSON Schema of the arguments"),
        (
            {"mcp": {"url": "https://mcp.example.com/"}, "parameters": TEXT},
            "spec: found parameters beside mcp, which says them; leave them out",
        ),
        (
            {"workflow": {"name": "w"}, "description": None},
            "spec: found no description, expected what a model is told of it",
        ),
        (
            {"http": {"url": "https://${args.host}.example.com/"}, "parameters": TEXT},
            'spec.http.url: found "https://${args.host}.example.com/" (string), expected a URL such as',
        ),
        (
            {"http": {"url": "https://10.0.0.1/"}, "parameters": TEXT},
            "spec.http.url: found the host '10.0.0.1', expected a full name in lower case",
        ),
        (
            {"http": {"url": URL, "body": {"a": ["${inputs.x}"]}}, "parameters": TEXT},
            "spec.http: found '${inputs.x}', expected arguments alone in dollar-brace form",
        ),
        (
            {"http": {"url": URL, "headers": {"Host": "evil.example.com"}}, "parameters": TEXT},
            "spec.http: found the header host, which is not the tool's to set; leave it out",
        ),
        (
            {
                "http": {
                    "url": "http://crm.example.com/",
                    "credential": {"secretKeyRef": {"name": "s", "key": "k"}},
                },
                "parameters": TEXT,
            },
            "spec.http: found a credential and a URL without TLS, expected https",
        ),
    ],
)
def test_what_is_wrong_with_a_tool_is_said(spec: dict[str, Any], message: str) -> None:
    (problem,) = problems("Tool", tool(**spec))
    assert problem.text.startswith(message)


@pytest.mark.parametrize("text", ["a\nb\n", "line\r\nHost: x"])
def test_a_header_is_one_line(text: str) -> None:
    (problem,) = problems("Tool", tool(http={"url": URL, "headers": {"X-A": text}}, parameters=TEXT))
    assert problem.path == ("spec", "http", "headers", "X-A")
