"""Plays the cases on a real cluster: each once with every control, and once without the one it is about."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from citadel.kube.resources import AGENTS, APPROVALS, MODELS, PODS, TOOLS, Resource
from internet import python_image, ready, service
from live import Cluster, decide, kubectl, policy, sql
from rogue.cases import PLAYS, Case, Control, Effect, Turn
from rogue.setting import BUDGET_TOKENS, CLOSED_TOOLS, PORT, agents, model, tools

SERVER = Path(__file__).parent / "world_server.py"
#: Executions at a time: each has a sandbox.
AT_A_TIME = 4
SECONDS = 180.0
_KINDS = {AGENTS: "Agent", MODELS: "Model", TOOLS: "Tool"}
#: Which agent plays the cases of a control; the clerk plays the others.
PLAYERS = {
    Control.EGRESS: "roamer",
    Control.CONVERSATION: "friend",
    Control.BUDGET: "spender",
    Control.TURNS: "thinker",
}


@dataclass
class Played:
    """What became of one case."""

    effects: list[Effect] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    """Calls of tools in the journal."""


@dataclass
class Both:
    """A case with every control, and its twin."""

    held: Played
    twin: Played


async def play(cluster: Cluster, cases: Iterable[Case]) -> dict[str, Both]:
    """Plays cases, each with its twin; by name."""
    chosen = list(cases)
    host, private = await start_world(cluster, chosen)
    async with policy(cluster, egress={"allow": [host]}, privateDestinations=private):
        await _apply(cluster, host)
        await _remember(cluster)
        deciding = asyncio.create_task(_decide(cluster))
        few = asyncio.Semaphore(AT_A_TIME)
        try:
            plays = _plays(chosen)
            played = await asyncio.gather(
                *(_both(cluster, name, cases, few) for name, cases in plays.items())
            )
        finally:
            deciding.cancel()
    effects = json.loads(await asyncio.to_thread(_effects, cluster))
    found: dict[str, Both] = {}
    for both, together in zip(played, plays.values(), strict=True):
        for case in together:
            held, twin = (
                replace(one, effects=[item for item in effects if _mentions(item, f"{case.name}-{kind}")])
                for kind, one in (("held", both.held), ("twin", both.twin))
            )
            found[case.name] = Both(held, twin)
    return found


def _plays(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """What is played in one conversation: cases of one shelf, any other by itself."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.shelf or case.name, []).append(case)
    return found


def _turns(cases: Iterable[Case], kind: str) -> list[Turn]:
    """What the model does in a conversation, each case with its own reference."""
    turns: list[Turn] = []
    for case in cases:
        own = (case.twin or case.turns) if kind == "twin" else case.turns
        turns += json.loads(json.dumps(own[:-1]).replace("$REF", f"{case.name}-{kind}"))
    return [*turns, "done"]


async def start_world(cluster: Cluster, cases: Iterable[Case]) -> tuple[str, list[str]]:
    """The hostile model and the servers: where they are, and what a policy has to list."""
    plays = {name: list(turns) for name, turns in PLAYS.items()}
    host = f"world.{cluster.namespace}.svc.cluster.local"
    for name, together in _plays(cases).items():
        for kind in ("held", "twin"):
            plays[f"{name}-{kind}"] = _turns(together, kind)
    text = json.dumps(plays).replace("$WORLD", f"http://{host}:{PORT}").replace("$HOST", host)
    await cluster.config_map("world", **{"world_server.py": SERVER.read_text(), "plays.json": text})
    spec = {
        "containers": [
            {
                "name": "server",
                "image": await python_image(cluster),
                "command": ["python3", "/world/world_server.py"],
                "env": [{"name": "PLAYS", "value": "/world/plays.json"}],
                "volumeMounts": [{"name": "world", "mountPath": "/world"}],
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            }
        ],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [{"name": "world", "configMap": {"name": "world"}}],
        "enableServiceLinks": False,
    }
    metadata = {"name": "world", "namespace": cluster.namespace, "labels": {"port": str(PORT)}}
    await cluster.kube.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    address = await service(cluster, "world", PORT)
    # By these nobody may go there, though they lead to the same server.
    await service(cluster, "alias", PORT)
    await ready(cluster, "world")
    return f"{host}:{PORT}", [f"{address}/32:{PORT}"]


async def _apply(cluster: Cluster, host: str) -> None:
    name, _, _ = host.rpartition(":")
    closed = (
        f"alias.{name.partition('.')[2]}:{PORT}",
        f"{name}:{PORT + 1}",
        f"alias.{name.partition('.')[2]}:{PORT}",
    )
    places = (f"internal.{name.partition('.')[2]}:{PORT}", *closed)
    await _create(cluster, MODELS, {"hostile": model(host)})
    image = await python_image(cluster)
    await cluster.runtime("open", {"language": "python", "image": image, "network": {"egress": [host]}})
    await _create(cluster, TOOLS, tools(host, places[: len(CLOSED_TOOLS)]))
    inputs = {"type": "object", "properties": {name: {"type": "string"} for name in ("case", "ref", "talk")}}
    for twin in (None, *Control):
        specs = agents(twin)
        await _create(cluster, AGENTS, specs)
        for agent in specs:
            step: dict[str, Any] = {"name": agent, "prompt": "play ${inputs.case} ${inputs.ref}"}
            if "memory" in specs[agent]:
                step["conversation"] = "${inputs.talk}"
            limit = {"budget": {"tokens": BUDGET_TOKENS}} if agent == "spender" else {}
            steps = [{"name": "act", "agent": step, "timeout": "3m"}]
            await cluster.workflow(agent, steps, inputs=inputs, **limit)


async def _create(cluster: Cluster, resource: Resource, specs: dict[str, dict[str, Any]]) -> None:
    for name, spec in specs.items():
        metadata = {"name": name, "namespace": cluster.namespace}
        kind = _KINDS[resource]
        body = {"apiVersion": resource.api_version, "kind": kind, "metadata": metadata, "spec": spec}
        await cluster.kube.create(resource, body)


async def _remember(cluster: Cluster) -> None:
    """What alice says to her friend, and nobody else is to hear."""
    given = {"case": "remember", "ref": "remember hunter2", "talk": "alice"}
    for agent in ("friend", f"friend-{Control.CONVERSATION.name.lower()}"):
        status = await cluster.run(agent, SECONDS, inputs=given)
        assert status["phase"] == "Succeeded", status


async def _both(cluster: Cluster, name: str, cases: list[Case], few: asyncio.Semaphore) -> Both:
    case = cases[0]
    player = "tester" if case.shelf else PLAYERS.get(case.control, "clerk")
    without = f"{player}-{case.control.name.lower().replace('_', '-')}"
    held, twin = await asyncio.gather(
        _one(cluster, f"{name}-held", player, case.talk, few),
        _one(cluster, f"{name}-twin", without, "alice", few),
    )
    return Both(held, twin)


async def _one(cluster: Cluster, name: str, workflow: str, talk: str, few: asyncio.Semaphore) -> Played:
    async with few:
        execution = await cluster.execute(workflow, name, inputs={"case": name, "ref": name, "talk": talk})
        found = await cluster.finished(execution, SECONDS)
    uid = found["metadata"]["uid"]
    rows = await asyncio.to_thread(
        sql, f"SELECT count(*) FROM events WHERE uid = '{uid}' AND kind = 'ToolCalled'"
    )
    return Played([], found["status"], int(rows[0]))


async def _decide(cluster: Cluster) -> None:
    """A teller who approves 10 to acme, and rejects the rest."""
    seen: set[str] = set()
    while True:
        for item in (await cluster.kube.list(APPROVALS, cluster.namespace)).items:
            name = item["metadata"]["name"]
            if name in seen or item["spec"].get("decision"):
                continue
            seen.add(name)
            shown = json.dumps(item["spec"].get("shown"))
            fine = '"amount": 10,' in shown and '"to": "acme"' in shown
            await asyncio.to_thread(decide, item, "tina", "tellers", approve=fine)
        await asyncio.sleep(0.2)


def _effects(cluster: Cluster) -> str:
    return kubectl("get", "--raw", f"/api/v1/namespaces/{cluster.namespace}/pods/world:{PORT}/proxy/effects")


def _mentions(effect: Effect, ref: str) -> bool:
    told = json.dumps([effect["path"], effect["query"], effect["body"]])
    return f'{ref}"' in told or f"{ref} " in told or f"{ref}\\" in told
