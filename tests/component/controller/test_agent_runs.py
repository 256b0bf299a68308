"""Executions with agents: what is pinned, what attempts are granted, and which calls of tools are placed."""

import asyncio
import base64
import hashlib
import json
from typing import Any

from nacl.public import PrivateKey, SealedBox

from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.spending import Account, Amount, Reservation
from citadel.core.values import Inline
from citadel.store.calls import PlacedCall
from citadel.store.model_grants import Grant
from component.controller.agentworld import (
    DIGEST,
    FUNCTIONS,
    HTTP,
    MCP,
    RUNTIME,
    SCRIPTED,
    SESAME,
    TEXT,
    TOOL,
    allow,
    checked,
    lead,
    public_key,
    put,
    says,
    secret,
    shared,
    told,
)
from component.controller.cluster import Cluster

MODELS_KEY, TOOLS_KEY = PrivateKey.generate(), PrivateKey.generate()
WRITE = {"name": "write", "agent": {"name": "writer", "prompt": "Write about ${inputs.q}."}}
INPUTS = {"type": "object", "properties": {"q": {"type": "string", "default": "bees"}}}


async def prepare(cluster: Cluster, **agent: Any) -> None:
    """A controller that leads, a Model, and the Agent `writer`."""
    for name, key in (("models", MODELS_KEY), ("tools", TOOLS_KEY)):
        await public_key(cluster, name, key)
    await lead(cluster)
    await cluster.apply("agents", "writer", {"model": "writer", "system": "You write.", **agent})


async def run(cluster: Cluster, *steps: Any, **spec: Any) -> str:
    """An Execution of these steps, taken in."""
    await cluster.define(*steps, inputs=INPUTS, **spec)
    uid = await cluster.submit()
    await cluster.state(uid, lambda state: state.created is not None or state.rejected is not None)
    return uid


async def granted(cluster: Cluster, uid: str, step: str = "write", attempt: int = 1) -> Grant:
    async with asyncio.timeout(8):
        while True:
            found = await cluster.database.model_grants.get(uid, step, attempt)
            if found is not None:
                return found
            await asyncio.sleep(0.01)


async def taken_back(cluster: Cluster, uid: str, step: str = "write", attempt: int = 1) -> None:
    async with asyncio.timeout(8):
        while True:
            if await cluster.database.model_grants.get(uid, step, attempt) is None:
                return
            await asyncio.sleep(0.01)


async def begun(cluster: Cluster, uid: str, step: str = "write") -> str:
    """The step's code begins in a sandbox that a test plays; its name."""
    journal = cluster.database.journal
    state = await cluster.state(uid, lambda state: bool(state.sandboxes))
    sandbox = next(name for name, item in state.sandboxes.items() if item.usable)
    await journal.advance(uid, [ev.SandboxRegistered(sandbox)], claim=sandbox)
    item = (await journal.read(uid)).steps[step]
    await journal.advance(uid, [ev.Delivered(step, item.attempt, item.placing)])
    return sandbox


async def placed(cluster: Cluster) -> PlacedCall:
    """The call of a tool that waits to be made."""
    async with asyncio.timeout(8):
        while True:
            taken = await cluster.database.tool_calls.take("test", {"token": "hash"}, 60)
            if taken:
                return taken[0][0]
            await asyncio.sleep(0.01)


async def pinned(cluster: Cluster, uid: str) -> Any:
    state = await cluster.database.journal.read(uid)
    assert state.created is not None
    _, document = await cluster.database.revisions.document("team", "flow", state.created.definition)
    return document


def by_key(accounts: Any) -> list[tuple[str, Any, Any]]:
    return [(item["key"], item["cost"], item["tokens"]) for item in accounts]


async def test_agents_and_tools_are_pinned_with_all_that_they_need(cluster: Cluster) -> None:
    await prepare(
        cluster,
        systemFrom={"configMapKeyRef": {"name": "prompts", "key": "writer"}},
        system=None,
        tools=[{"name": "find", "tool": "find"}, {"name": "judge", "agent": "critic"}],
    )
    await put(cluster, "configmaps", "prompts", data={"writer": "You write ${x}."})
    await put(cluster, "configmaps", "sources", data={"main": "def main(q): return 1"})
    await cluster.apply("agents", "critic", {"model": "writer", "runtime": "small", "parameters": TEXT})
    await cluster.apply("runtimes", "small", RUNTIME)
    source = {"configMapKeyRef": {"name": "sources", "key": "main"}}
    await cluster.apply("tools", "find", {**TOOL, "code": {"runtime": "python", "codeFrom": source}})
    uid = await run(cluster, WRITE)
    found = await pinned(cluster, uid)
    assert sorted(found["agents"]) == ["critic", "writer"]
    assert found["agents"]["writer"]["system"] == "You write ${x}."
    assert "systemFrom" not in found["agents"]["writer"]
    assert found["tools"]["find"]["spec"]["code"] == {"runtime": "python", "code": "def main(q): return 1"}
    assert found["tools"]["find"]["parameters"] == TEXT
    assert sorted(found["runtimes"]) == ["agent", "python", "small"]


async def test_what_is_not_there_is_waited_for_and_then_the_execution_fails_with_all_that_is_missing(
    cluster: Cluster,
) -> None:
    await prepare(cluster, tools=[{"name": "find", "tool": "find"}, {"name": "other", "tool": "other"}])
    await cluster.apply("workflows", "flow", {"steps": [WRITE], "inputs": INPUTS})
    await says(cluster, "flow", "ToolNotFound: ", "workflows")
    assert "step write: Agent writer, tool find: Tool find exists neither" in told(
        cluster, "flow", "workflows"
    )
    await cluster.submit()
    await cluster.until(lambda: cluster.status().get("reason") == "ToolNotFound")
    assert cluster.status()["phase"] == "Pending"
    cluster.ahead = 60.0
    status = await cluster.phase("Failed")
    assert status["reason"] == "ToolNotFound"
    assert "Agent writer, tool find: Tool find exists" in status["message"]
    assert "Agent writer, tool other: Tool other exists" in status["message"]
    for name in ("find", "other"):
        await cluster.apply("tools", name, TOOL)
    await says(cluster, "flow", "ready", "workflows")


async def test_a_workflow_is_as_ready_as_the_tool_that_its_step_calls(cluster: Cluster) -> None:
    await prepare(cluster)
    await cluster.apply("tools", "find", HTTP)
    step = {"name": "look", "tool": {"name": "find"}, "with": {"q": "x"}}
    await cluster.apply("workflows", "flow", {"steps": [step]})
    await says(cluster, "flow", "PolicyDenied: Workflow flow, step look: Tool find is not ready", "workflows")
    await allow(cluster, "api.example.com:443")
    await says(cluster, "flow", "ready", "workflows")


async def test_an_attempt_is_granted_its_model_and_who_pays_until_it_is_over(cluster: Cluster) -> None:
    budget = {"cost": "0.25", "tokensPerDay": 7000}
    await prepare(cluster, budget=budget, limits={"turns": 3}, maxTokens=99)
    step = {**WRITE, "agent": {**WRITE["agent"], "budget": {"tokens": 500}}}  # type: ignore[dict-item]
    uid = await run(cluster, step, budget={"cost": "1"})
    grant = await granted(cluster, uid)
    dollar = 10**12
    assert by_key(grant.body["accounts"]) == [
        ("day:team", None, None),
        (f"step:{uid}/write", None, 500),
        (f"step:{uid}/write", dollar // 4, None),
        ("agent:team/writer", None, 7000),
        (f"execution:{uid}", dollar, None),
    ]
    assert grant.body["agent"]["limits"] == {"turns": 3, "toolCalls": 50}
    assert (grant.body["agent"]["name"], grant.body["agent"]["maxTokens"]) == ("writer", 99)
    assert [item["key"] for item in grant.body["models"]] == ["team/writer"]
    assert grant.sealed is not None
    token = SealedBox(MODELS_KEY).decrypt(base64.b64decode(grant.sealed["token"])).decode()
    assert token.startswith("model.")
    assert hashlib.sha256(token.encode()).hexdigest() == grant.token_hash
    assert token not in json.dumps(dict(grant.body))
    sandbox = await begun(cluster, uid)
    paying = tuple(Account(**item) for item in grant.body["accounts"])
    need = Reservation(uid, "write", 1, "team", "team/writer", Amount(9, 9), 1, paying)
    await cluster.database.ledger.reserve(need)
    await cluster.database.journal.advance(uid, [ev.AttemptSucceeded("write", 1, sandbox, Inline("hi"))])
    status = await cluster.phase("Succeeded")
    expected = {"inputTokens": 8, "outputTokens": 1, "totalTokens": 9, "cost": "0.000000000009"}
    assert status["usage"] == {**expected, "estimated": True}
    await taken_back(cluster, uid)
    spent = await cluster.database.ledger.spent(uid, "write", 1)
    assert (spent.cost, spent.estimated) == (9, True)


async def test_each_attempt_has_a_grant_of_its_own(cluster: Cluster) -> None:
    await prepare(cluster)
    uid = await run(cluster, {**WRITE, "retry": {"attempts": 2, "backoff": {"initial": "1ms"}}})
    first = await granted(cluster, uid)
    sandbox = await begun(cluster, uid)
    failed = ev.AttemptFailed("write", 1, sandbox, Failure("Error", "oops"))
    await cluster.database.journal.advance(uid, [failed])
    second = await granted(cluster, uid, attempt=2)
    await taken_back(cluster, uid)
    assert first.token_hash != second.token_hash


async def test_an_execution_that_is_deleted_leaves_no_grant(cluster: Cluster) -> None:
    await prepare(cluster)
    uid = await run(cluster, WRITE)
    await granted(cluster, uid)
    path = "/apis/citadel.dev/v1alpha1/namespaces/team/executions/run"
    await cluster.api.change("DELETED", path, cluster.api.objects[path])
    await taken_back(cluster, uid)


async def test_what_a_controller_left_behind_the_next_one_takes_back(cluster: Cluster) -> None:
    await prepare(cluster)
    uid = await run(cluster, WRITE)
    grant = await granted(cluster, uid)
    await cluster.database.journal.advance(uid, [ev.StopRequested("Terminate", "Terminated", "stopped")])
    await cluster.phase("Cancelled")
    await taken_back(cluster, uid)
    await cluster.database.model_grants.place(grant)
    controller = await cluster.lead()
    await controller.executions.outside.agents.left()
    await taken_back(cluster, uid)


async def test_an_attempt_whose_model_has_no_credential_any_more_fails_with_that_reason(
    cluster: Cluster,
) -> None:
    await prepare(cluster)
    await secret(cluster, "team", "paid", key=SESAME)
    await allow(cluster, "api.anthropic.com:443")
    credential = {"secretKeyRef": {"name": "paid", "key": "key"}}
    spec = {"provider": "anthropic", "model": "m", "credential": credential}
    await cluster.apply("models", "writer", spec)
    await cluster.until(lambda: cluster.ready("writer", "models") == "True")
    await cluster.define(WRITE, inputs=INPUTS)
    path = "/api/v1/namespaces/team/secrets/paid"
    await cluster.api.change("DELETED", path, cluster.api.objects[path])
    uid = await cluster.submit()
    await begun(cluster, uid)
    status = await cluster.phase("Failed")
    assert status["reason"] == "SecretNotFound"
    assert "step write: Model writer, credential: Secret paid does not exist" in status["message"]


async def test_agents_within_agents_and_steps_of_models_pay_from_all_accounts_around(
    cluster: Cluster,
) -> None:
    await prepare(
        cluster,
        budget={"tokens": 900},
        tools=[{"name": "judge", "agent": "critic"}, {"name": "ask", "tool": "ask"}],
    )
    await cluster.apply("agents", "critic", {"model": "writer", "budget": {"cost": "0.1"}})
    await cluster.apply("tools", "ask", {"description": "Asks.", "workflow": {"name": "inner"}})
    ask = {"name": "ask", "llm": {"model": "writer", "prompt": "?", "budget": {"tokens": 50}}}
    await cluster.apply("workflows", "inner", {"steps": [ask]})
    uid = await run(cluster, WRITE)
    await granted(cluster, uid)
    await begun(cluster, uid)
    called = ev.ToolCalled("write", 1, "c1", "judge", Inline({"prompt": "Is it good?"}))
    await cluster.database.journal.advance(uid, [called])
    inner = await granted(cluster, uid, "write.judge[1]")
    assert by_key(inner.body["accounts"]) == [
        ("day:team", None, None),
        (f"step:{uid}/write.judge[1]", 10**11, None),
        ("agent:team/critic", None, None),
        (f"step:{uid}/write", None, 900),
        ("agent:team/writer", None, None),
        (f"execution:{uid}", None, None),
    ]
    called = ev.ToolCalled("write", 1, "c2", "ask", Inline({}))
    await cluster.database.journal.advance(uid, [called])
    async with asyncio.timeout(8):
        while True:
            taken = await cluster.database.model_calls.take("test", {"token": "hash"}, 60)
            if taken:
                break
            await asyncio.sleep(0.01)
    call = taken[0][0]
    assert by_key(call.body["accounts"]) == [
        ("day:team", None, None),
        (f"step:{call.uid}/ask", None, 50),
        (f"execution:{call.uid}", None, None),
        (f"step:{uid}/write", None, 900),
        ("agent:team/writer", None, None),
        (f"execution:{uid}", None, None),
    ]


async def test_a_call_of_a_tool_is_placed_with_its_arguments_and_its_sealed_credential(
    cluster: Cluster,
) -> None:
    await prepare(cluster)
    await allow(cluster, "api.example.com:443")
    await secret(cluster, "team", "crm", "api.example.com:443", token=SESAME)
    credential = {"secretKeyRef": {"name": "crm", "key": "token"}}
    await cluster.apply("tools", "find", {**HTTP, "http": {**HTTP["http"], "credential": credential}})
    step = {"name": "look", "tool": {"name": "find"}, "with": {"q": "${inputs.q}"}, "timeout": "9s"}
    uid = await run(cluster, step, outputs={"found": "${steps.look.output.n}"})
    call = await placed(cluster)
    assert (call.key, call.namespace, call.hosts) == ((uid, "look", 1), "team", ("api.example.com:443",))
    assert call.body["name"] == "find"
    assert call.body["arguments"] == {"q": "bees"}
    assert call.body["spec"]["http"]["url"] == "https://api.example.com/v1/find/${args.q}"
    assert call.sealed is not None
    opened = json.loads(SealedBox(TOOLS_KEY).decrypt(base64.b64decode(call.sealed["credential"])))
    assert opened == {"key": SESAME, "host": "api.example.com:443"}
    assert SESAME not in json.dumps(dict(call.body)) + json.dumps(cluster.status())
    await cluster.database.journal.advance(uid, [ev.ToolAnswered("look", 1, Inline({"n": 3}))])
    assert (await cluster.phase("Succeeded"))["outputs"] == {"found": 3}


async def test_a_call_of_an_mcp_server_names_the_function_as_it_was_pinned(cluster: Cluster) -> None:
    await prepare(cluster)
    await allow(cluster, "mcp.example.com:443")
    await cluster.apply("tools", "hub", {"mcp": {**MCP["mcp"], "digest": DIGEST}})
    await checked(cluster, {"digest": DIGEST, "functions": FUNCTIONS})
    await says(cluster, "hub", "ready", "tools")
    step = {"name": "look", "tool": {"name": "hub", "function": "search"}, "with": {"q": "x"}}
    await run(cluster, step)
    call = await placed(cluster)
    assert (call.body["name"], call.body["function"]) == ("hub", "search")
    assert call.body["digest"].startswith("sha256:")
    await cluster.apply("workflows", "flow", {"steps": [{**step, "tool": {"name": "hub"}}]})
    await says(cluster, "flow", "step look: Tool hub: found no function, expected one of", "workflows")


async def test_a_call_that_an_earlier_version_wanted_and_did_not_place_is_placed(cluster: Cluster) -> None:
    await prepare(cluster)
    await allow(cluster, "api.example.com:443")
    await cluster.apply("tools", "find", HTTP)
    uid = await run(cluster, {"name": "look", "tool": {"name": "find"}, "with": {"q": "bees"}})
    first = await placed(cluster)
    await cluster.database.tool_calls.remove("test", first)
    again = await placed(cluster)
    assert (again.key, again.body) == (first.key, first.body)
    await cluster.database.journal.advance(uid, [ev.ToolAnswered("look", 1, Inline({"n": 3}))])
    await cluster.phase("Succeeded")


async def test_a_tool_whose_credential_is_gone_fails_its_call_with_that_reason(cluster: Cluster) -> None:
    await prepare(cluster)
    await allow(cluster, "api.example.com:443")
    await cluster.apply("tools", "find", HTTP)
    await cluster.define({"name": "look", "tool": {"name": "find"}, "with": {"q": "x"}})
    credential = {"secretKeyRef": {"name": "crm", "key": "token"}}
    await cluster.apply("tools", "find", {**HTTP, "http": {**HTTP["http"], "credential": credential}})
    await cluster.submit()
    status = await cluster.phase("Failed")
    assert status["reason"] == "SecretNotFound"
    assert (
        "step look: Tool find, credential: Secret crm does not exist in namespace team" in status["message"]
    )


async def test_a_shared_agent_brings_its_own_tools_and_models_even_where_names_are_the_same(
    cluster: Cluster,
) -> None:
    await prepare(cluster, tools=[{"name": "help", "agent": "helper"}, {"name": "find", "tool": "find"}])
    await cluster.apply("tools", "find", TOOL)
    await shared(cluster, "runtimes", "agent", RUNTIME)
    await shared(cluster, "models", "writer", SCRIPTED)
    await shared(cluster, "tools", "find", HTTP)
    tools = [{"name": "find", "tool": "find"}]
    await shared(cluster, "agents", "helper", {"model": "writer", "tools": tools})
    await allow(cluster, "api.example.com:443")
    uid = await run(cluster, WRITE)
    found = await pinned(cluster, uid)
    assert sorted(found["tools"]) in (["citadel-system.find", "find"], ["find", "team.find"])
    ours = found["tools"][found["agents"]["writer"]["tools"][1]["tool"]]
    theirs = found["agents"]["helper"]["tools"][0]["tool"]
    assert "code" in ours["spec"]
    assert "http" in found["tools"][theirs]["spec"]
    assert (found["sharedAgents"], found["sharedTools"]) == (["helper"], [theirs])
    await granted(cluster, uid)
    await begun(cluster, uid)
    called = ev.ToolCalled("write", 1, "c1", "help", Inline({"prompt": "Help."}))
    await cluster.database.journal.advance(uid, [called])
    grant = await granted(cluster, uid, "write.help[1]")
    assert [item["key"] for item in grant.body["models"]] == ["citadel-system/writer"]
