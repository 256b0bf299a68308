"""Agents on a real cluster, for tests: a scripted Model, tools that are code, what the database has of it."""

import asyncio
from collections.abc import Callable
from typing import Any

from citadel.kube.resources import AGENTS, MODELS, TOOLS, Resource
from live import Cluster, sql

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
DOUBLE = "def main(n): return n * 2"


async def create(cluster: Cluster, resource: Resource, kind: str, name: str, **spec: Any) -> None:
    metadata = {"name": name, "namespace": cluster.namespace}
    body = {"apiVersion": resource.api_version, "kind": kind, "metadata": metadata, "spec": spec}
    await cluster.kube.create(resource, body)


def call(name: str, turn: int, **arguments: Any) -> dict[str, Any]:
    """An answer of a script that calls one tool."""
    return {"turn": turn, "toolCalls": [{"name": name, "arguments": arguments}]}


async def agent(cluster: Cluster, *script: dict[str, Any], tools: Any = (), **spec: Any) -> None:
    """An agent `worker` whose model says what a script says."""
    prices = {"input": "1", "output": "1"}
    await create(cluster, MODELS, "Model", "script", provider="scripted", script=list(script), prices=prices)
    await create(cluster, AGENTS, "Agent", "worker", model="script", tools=list(tools), **spec)


async def code_tool(cluster: Cluster, name: str = "double", code: str = DOUBLE) -> None:
    run = {"runtime": "python", "code": code}
    await create(cluster, TOOLS, "Tool", name, description="Doubles.", parameters=NUMBER, code=run)


async def begun(cluster: Cluster, name: str = "run", inputs: Any = None, **step: Any) -> str:
    """An execution of the agent."""
    task = {"name": "worker", "prompt": "Go on.", **step.pop("agent", {})}
    steps = [{"name": "work", "agent": task, "timeout": "3m", **step}]
    await cluster.workflow("flow", steps, outputs={"said": "${steps.work.output}"})
    return await cluster.execute("flow", name)


async def calls_of(cluster: Cluster, name: str) -> int:
    """How many calls of models an execution has paid for."""
    uid = (await cluster.get(name))["metadata"]["uid"]
    return int(sql(f"SELECT count(*) FROM model_reservations WHERE uid = '{uid}'")[0])


async def steps_of(cluster: Cluster, name: str) -> dict[str, str]:
    """Its steps that have begun, calls of tools too, each with its attempt."""
    uid = (await cluster.get(name))["metadata"]["uid"]
    rows = sql(f"SELECT name, attempt FROM steps WHERE uid = '{uid}' AND attempt > 0")
    return dict(row.split("|") for row in rows)


async def until(check: Callable[[], bool], seconds: float = 90.0) -> None:
    """Returns when something holds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await asyncio.to_thread(check):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.2)
