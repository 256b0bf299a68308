"""Agents and Tools on a real cluster: what is missing is told, what changes is seen, the registry answers."""

import asyncio
import json
from typing import Any

import yaml

from live import Cluster, User, kubectl

SCRIPTED = {"provider": "scripted", "script": [{"text": "good"}]}
TEXT = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
FIND = {
    "description": "Finds.",
    "version": "1.0.0",
    "parameters": TEXT,
    "code": {"runtime": "python", "code": "def main(q): return q.upper()"},
}
CRM = {
    "description": "Reads a lead.",
    "parameters": TEXT,
    "http": {
        "method": "GET",
        "url": "https://crm.example.com/leads/${args.q}",
        "credential": {"secretKeyRef": {"name": "crm", "key": "token"}},
    },
}
WRITER: dict[str, Any] = {
    "model": "writer",
    "capabilities": ["write", "review"],
    "version": "1.2.0",
    "tools": [{"name": "find", "tool": "find", "constraints": [{"rule": "args.q.size() < 100"}]}],
    "dependsOn": {"tools": [{"name": "find", "version": ">=1,<2"}]},
    "compatibility": {"citadel": ">=0.1", "protocol": ">=1"},
}


def apply(namespace: str, kind: str, name: str, spec: dict[str, Any]) -> None:
    body = {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(body))


async def condition(cluster: Cluster, kind: str, name: str, text: str) -> str:
    """Reason and message of Ready, once they hold this text; `True` for one that is ready."""
    found = ""
    for _ in range(150):
        shown = kubectl("get", kind, name, "-n", cluster.namespace, "-o", "json")
        obj = json.loads(shown)
        for item in (obj.get("status") or {}).get("conditions") or ():
            if item["type"] == "Ready" and item["observedGeneration"] == obj["metadata"]["generation"]:
                found = "True" if item["status"] == "True" else f"{item['reason']}: {item['message']}"
        if text in found:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"expected {text!r}, found {found!r}")


async def test_an_agent_says_all_that_is_missing_and_is_ready_once_it_is_there(
    cluster: Cluster, user: User
) -> None:
    user.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(_agent(WRITER)))
    found = await condition(cluster, "agents", "writer", "ModelNotFound")
    for part in (
        "Agent writer, model: Model writer exists neither in namespace",
        "Agent writer, tool find: Tool find exists neither in namespace",
        "Agent writer, dependsOn: Tool find exists neither in namespace",
    ):
        assert part in found
    shown = user.kubectl("get", "agents", "writer")
    assert shown.split()[:5] == ["NAME", "MODEL", "TOOLS", "READY", "REASON"]
    assert "ModelNotFound" in shown
    apply(cluster.namespace, "Model", "writer", SCRIPTED)
    apply(cluster.namespace, "Tool", "find", {**FIND, "version": "2.0.0"})
    found = await condition(cluster, "agents", "writer", "Incompatible")
    assert "Tool find has version 2.0.0, expected >=1,<2" in found
    apply(cluster.namespace, "Tool", "find", FIND)
    await condition(cluster, "agents", "writer", "True")
    listed = user.citadel("agents", "--capability", "review").splitlines()
    assert listed[1].split() == [cluster.namespace, "writer", "writer", "write,review", "1.2.0", "True"]
    assert (
        user.citadel("agents", "--capability", "review", "-o", "name").strip() == "agent.citadel.dev/writer"
    )
    kubectl("delete", "tool", "find", "-n", cluster.namespace)
    await condition(cluster, "agents", "writer", "ToolNotFound")


async def test_a_tool_says_who_may_not_be_sent_its_credential_and_what_policies_say(
    cluster: Cluster, user: User
) -> None:
    apply(cluster.namespace, "Tool", "crm", CRM)
    found = await condition(cluster, "tools", "crm", "Secret")
    assert "Citadel may not read Secret crm" in found or "does not exist" in found
    assert f"no ExecutionPolicy of namespace {cluster.namespace} allows egress" in found
    listed = user.citadel("tools").splitlines()
    assert listed[1].split()[:4] == [
        cluster.namespace,
        "crm",
        "http",
        "https://crm.example.com/leads/${args.q}",
    ]
    astray = {"url": "https://crm.example.com/${args.other}"}
    closed = {**TEXT, "additionalProperties": False}
    apply(cluster.namespace, "Tool", "crm", {**CRM, "parameters": closed, "http": astray})
    await condition(cluster, "tools", "crm", "found args.other, expected one that parameters declare: q")


async def test_a_step_calls_a_tool_of_code_and_a_workflow_waits_for_one_that_is_not_there(
    cluster: Cluster, user: User
) -> None:
    steps = [{"name": "look", "tool": {"name": "find"}, "with": {"q": "${inputs.q}"}}]
    outputs = {"found": "${steps.look.output}"}
    await cluster.workflow("flow", steps, inputs=TEXT, outputs=outputs)
    found = await condition(cluster, "workflows", "flow", "ToolNotFound")
    assert "step look: Tool find exists neither in namespace" in found
    apply(cluster.namespace, "Tool", "find", FIND)
    await condition(cluster, "workflows", "flow", "True")
    name = await cluster.execute("flow", inputs={"q": "grüße"})
    status = (await cluster.finished(name))["status"]
    assert status.get("outputs") == {"found": "GRÜSSE"}, status


def _agent(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Agent",
        "metadata": {"name": "writer"},
        "spec": spec,
    }
