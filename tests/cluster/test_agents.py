"""Agents on a real cluster, with a scripted Model and tools that need no network: what they do, what they are
refused, and that nothing is done or paid twice, whatever stops in between."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from citadel.core.spending import DOLLAR
from citadel.kube.resources import AGENTS, TOOLS
from live import SANDBOXES, Cluster, asked, citadel, crash, decide, environment, kubectl, sql
from liveagents import NUMBER, agent, begun, call, calls_of, code_tool, create, steps_of, until

SLOW = "import time\ndef main(n):\n    time.sleep(8)\n    return n * 2"


async def calling(cluster: Cluster, name: str) -> None:
    """Returns when the agent has called its slow tool, and that runs."""
    uid = (await cluster.get(name))["metadata"]["uid"]
    query = (
        f"SELECT count(*) FROM steps WHERE uid = '{uid}' AND name = 'work.double[1]' AND status = 'Running'"
    )
    await until(lambda: sql(query) == ["1"])


async def test_an_agent_calls_code_a_workflow_and_another_agent_and_its_answer_is_repaired(
    cluster: Cluster,
) -> None:
    await code_tool(cluster)
    await cluster.workflow(
        "add",
        [
            {
                "name": "a",
                "run": {"runtime": "python", "code": "def main(n): return n + 1"},
                "with": {"n": "${inputs.n}"},
            }
        ],
        inputs=NUMBER,
        outputs={"sum": "${steps.a.output}"},
    )
    await create(cluster, TOOLS, "Tool", "adder", description="Adds.", workflow={"name": "add"})
    script = [
        {"system": "critic", "text": "Looks fine, ü."},
        {"turn": 0, "toolCalls": [
            {"name": "double", "arguments": {"n": 21}},
            {"name": "adder", "arguments": {"n": 1}},
            {"name": "critic", "arguments": {"prompt": "Is it?"}},
            {"name": "rm", "arguments": {"path": "/"}},
            {"name": "double", "arguments": {"n": "many"}},
        ]},
        {"turn": 1, "text": "It is done."},
        {"turn": 2, "json": {"answer": 42}},
    ]  # fmt: skip
    tools = [
        {"name": "double", "tool": "double"},
        {"name": "adder", "tool": "adder"},
        {"name": "critic", "agent": "critic"},
    ]
    await create(cluster, AGENTS, "Agent", "critic", model="script", system="You are a critic.")
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
    await agent(cluster, *script, tools=tools, outputSchema=schema)
    status = (await cluster.finished(await begun(cluster), 150))["status"]
    assert status.get("outputs") == {"said": {"answer": 42}}, status
    log = citadel("logs", "run", "-n", cluster.namespace)
    for line in (
        "← double 42",
        '← adder {"sum":2}',
        '← critic "Looks fine, ü."',
        "✗ rm ToolNotAllowed",
        "✗ double ToolRefused",
        "asked again: answer: found no JSON",
    ):
        assert line in log, log
    assert await calls_of(cluster, "run") == 4
    assert status["usage"]["totalTokens"] > 0


async def test_a_call_that_people_approve_runs_once_they_have(cluster: Cluster) -> None:
    role = ("--clusterrole=citadel-approver", "--group=leads", "-n", cluster.namespace)
    kubectl("create", "rolebinding", "deciders", *role)
    await code_tool(cluster)
    approval = {"approvers": {"groups": ["leads"]}}
    tools = [{"name": "double", "tool": "double", "requireApproval": approval}]
    await agent(cluster, call("double", 0, n=4), {"turn": 1, "text": "Doubled."}, tools=tools)
    name = await begun(cluster)
    wanted = await asked(cluster, "work.double[1].approve", 90)
    assert wanted["spec"]["shown"]["arguments"] == {"n": 4}
    assert (await steps_of(cluster, name)).keys() == {"work", "work.double[1].approve"}
    decide(wanted, "ann", "leads")
    status = (await cluster.finished(name, 90))["status"]
    assert status.get("outputs") == {"said": "Doubled."}, status
    assert "← double 8" in citadel("logs", "run", "-n", cluster.namespace)


async def test_a_budget_stops_an_agent_that_would_go_on_for_ever(cluster: Cluster) -> None:
    await code_tool(cluster)
    tools = [{"name": "double", "tool": "double"}]
    forever = {"toolCalls": [{"name": "double", "arguments": {"n": 1}}]}
    await agent(cluster, forever, tools=tools, budget={"tokens": 3000}, maxTokens=100)
    status = (await cluster.finished(await begun(cluster), 150))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "BudgetExceeded"), status
    assert 0 < status["usage"]["totalTokens"] <= 3000


async def test_an_agent_that_is_cancelled_ends_with_all_that_it_has_begun(cluster: Cluster) -> None:
    await code_tool(cluster, code=SLOW)
    tools = [{"name": "double", "tool": "double"}]
    await agent(cluster, call("double", 0, n=4), {"turn": 1, "text": "never"}, tools=tools)
    name = await begun(cluster)
    await calling(cluster, name)
    citadel("cancel", name, "-n", cluster.namespace)
    status = (await cluster.finished(name, 60))["status"]
    assert status["phase"] == "Cancelled", status
    await until(lambda: not sandboxes(cluster))


def sandboxes(cluster: Cluster) -> list[str]:
    """Sandboxes of this namespace that are not gone."""
    return sql(f"SELECT name FROM sandboxes WHERE namespace = '{cluster.namespace}' AND status <> 'gone'")


#: Processes that serve every test.
SHARED = [pytest.param(name, marks=pytest.mark.alone) for name in ("gateway", "models", "controller")]


@pytest.mark.parametrize("what", ["sandbox", *SHARED])
async def test_what_is_killed_in_the_midst_does_nothing_twice_and_nothing_is_paid_again(
    cluster: Cluster, what: str
) -> None:
    await code_tool(cluster, code=SLOW)
    tools = [{"name": "double", "tool": "double"}]
    script = (call("double", 0, n=4), call("double", 1, n=5), {"turn": 2, "text": "Both are done."})
    await agent(cluster, *script, tools=tools)
    name = await begun(cluster)
    await calling(cluster, name)
    if what == "sandbox":
        uid = (await cluster.get(name))["metadata"]["uid"]
        [pod] = sql(f"SELECT sandbox FROM steps WHERE uid = '{uid}' AND name = 'work'")
        kubectl("-n", SANDBOXES, "delete", "pod", pod, "--force", "--grace-period=0")
    else:
        crash(what)
    status = (await cluster.finished(name, 170))["status"]
    assert status.get("outputs") == {"said": "Both are done."}, status
    assert await calls_of(cluster, name) == 3
    once = dict.fromkeys(("work", "work.double[1]", "work.double[2]"), "1")
    assert await steps_of(cluster, name) == once


@pytest.mark.parametrize("what", SHARED)
async def test_the_books_are_right_when_whatever_there_is_dies_while_a_model_thinks(
    cluster: Cluster, what: str
) -> None:
    await code_tool(cluster)
    thinks = {**call("double", 1, n=5), "delay": "8s"}
    script = (call("double", 0, n=4), thinks, {"turn": 2, "text": "Both are done."})
    await agent(cluster, *script, tools=[{"name": "double", "tool": "double"}], maxTokens=100)
    name = await begun(cluster)
    uid = (await cluster.get(name))["metadata"]["uid"]
    of_it = f"FROM model_reservations WHERE uid = '{uid}'"
    await until(lambda: sql(f"SELECT state {of_it} ORDER BY at") == ["settled", "reserved"])
    crash(what)
    status = (await cluster.finished(name, 170))["status"]
    assert status.get("outputs") == {"said": "Both are done."}, status
    # Only who asks a provider knows what its answer took: where that one is gone, all that it could have.
    states = sql(f"SELECT state {of_it} ORDER BY at")
    assert states == ["settled", *(["charged"] if what == "models" else []), "settled", "settled"]
    sums = "sum(cost)::bigint, sum(input_tokens + output_tokens)::bigint"
    (booked,) = sql(f"SELECT {sums} {of_it}")
    mine = f"SELECT cost, tokens FROM model_accounts WHERE uid = '{uid}'"
    assert set(sql(mine)) == {booked}, (sql(mine), booked)
    cost, tokens = map(int, booked.split("|"))
    usage = status["usage"]
    assert (usage["totalTokens"], float(usage["cost"])) == (tokens, cost / DOLLAR)
    assert usage.get("estimated", False) == (what == "models")


async def test_an_agent_remembers_a_conversation_and_no_other(cluster: Cluster) -> None:
    script = ({"turn": 0, "text": "Hello, stranger."}, {"turn": 1, "text": "Hello again."})
    await agent(cluster, *script, memory={"maxTokens": 1000})
    task = {"name": "worker", "prompt": "Hi.", "conversation": "${inputs.who}"}
    inputs = {"type": "object", "properties": {"who": {"type": "string"}}}
    steps = [{"name": "work", "agent": task}]
    await cluster.workflow("flow", steps, inputs=inputs, outputs={"said": "${steps.work.output}"})
    said = []
    for who in ("Åsa", "Åsa", "Bo"):
        said.append((await cluster.run("flow", 90, inputs={"who": who}))["outputs"]["said"])
    assert said == ["Hello, stranger.", "Hello again.", "Hello, stranger."]
    where = ("worker", "-n", cluster.namespace)
    listed = json.loads(await asyncio.to_thread(citadel, "memory", "list", *where, "-o", "json"))
    assert {item["conversation"]: item["messages"] for item in listed} == {"Åsa": 4, "Bo": 2}
    meant = (*where, "--conversation", "Åsa")
    assert "Hello again." in await asyncio.to_thread(citadel, "memory", "show", *meant)
    await asyncio.to_thread(citadel, "memory", "delete", *meant)
    again = await cluster.run("flow", 90, inputs={"who": "Åsa"})
    assert again["outputs"] == {"said": "Hello, stranger."}


async def test_what_an_agent_does_is_seen_while_it_does_it(cluster: Cluster) -> None:
    await code_tool(cluster, code=SLOW)
    tools = [{"name": "double", "tool": "double"}]
    await agent(
        cluster, {**call("double", 0, n=4), "text": "Let me see."}, {"turn": 1, "text": "8."}, tools=tools
    )
    name = await begun(cluster)
    program = str(Path(sys.executable).with_name("citadel"))
    logs = await asyncio.create_subprocess_exec(
        program,
        "logs",
        name,
        "-n",
        cluster.namespace,
        "-f",
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert logs.stdout is not None
    seen = ""
    async with asyncio.timeout(90):
        while "→ double" not in seen:
            seen += (await logs.stdout.readline()).decode()
    assert "Let me see." in seen
    assert "finishedAt" not in (await cluster.get(name)).get("status", {})
    rest = (await logs.stdout.read()).decode()
    assert "← double 8" in rest
    await logs.wait()
