"""Plays the cases on a real cluster: each once with every control, and once without the one it is about."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from citadel.kube.resources import APPROVALS
from live import Cluster, decide
from rogue.cases import KINDS, Case, Control, Effect, Turn
from rogue.catalogue import PLAYS
from rogue.journal import Journal, read
from rogue.leaks import found_in
from rogue.staging import SECONDS, effects, town
from rogue.tenants import CAROL

#: Executions at a time: each has a sandbox.
AT_A_TIME = 4
#: Calls that an agent has under way.
CALLS_AT_ONCE = 8
#: Which agent plays a case of a control by itself, if not the clerk.
PLAYERS = {
    Control.CONVERSATION: "friend",
    Control.BUDGET: "spender",
    Control.TURNS: "thinker",
    Control.TENANT: "friend",
}
#: Which one plays those of a shelf, if not the tester.
SHELVES = {Control.EGRESS: "roamer", Control.CREDENTIAL: "keeper"}


@dataclass
class Played:
    """What became of one case."""

    status: dict[str, Any]
    journal: Journal
    talk: str
    """The conversation that it was to go on with."""
    effects: list[Effect] = field(default_factory=list)


@dataclass
class Both:
    """A case with every control, and its twin."""

    held: Played
    twin: Played


@dataclass
class Findings:
    """What became of all."""

    cases: dict[str, Both]
    complaint: dict[str, Any]
    """The status of an execution whose model was refused, by an error that shows the key."""
    leaks: Mapping[str, list[str]]
    """By key: where it was found afterwards."""


async def play(cluster: Cluster, cases: Iterable[Case]) -> Findings:
    """Plays cases, each with its twin."""
    plays = _plays(cases)
    few = asyncio.Semaphore(AT_A_TIME)
    async with town(cluster, scripts(plays)) as other:
        async with asyncio.TaskGroup() as group:
            # A teller who cannot decide fails all of it: nothing would be approved, and so nothing forged.
            deciding = group.create_task(_decide(cluster))
            complaint, *played = await asyncio.gather(
                _one(cluster, "complain", "keeper", "", few),
                *(_both(cluster, other, name, together, few) for name, together in plays.items()),
            )
            deciding.cancel()
        leaks = await asyncio.to_thread(found_in, cluster)
    seen = await asyncio.to_thread(effects, cluster)
    found: dict[str, Both] = {}
    for both, together in zip(played, plays.values(), strict=True):
        for case in together:
            held, twin = (
                replace(one, effects=[item for item in seen if _mentions(item, f"{case.name}-{kind}")])
                for kind, one in zip(KINDS, (both.held, both.twin), strict=True)
            )
            found[case.name] = Both(held, twin)
    return Findings(found, complaint.status, leaks)


def _plays(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """What is played in one conversation: cases of one shelf, any other by itself."""
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.shelf or case.name, []).append(case)
    return found


def scripts(plays: Mapping[str, list[Case]]) -> dict[str, list[Turn]]:
    """What the model does in each of them, with every control and without."""
    found = {name: list(turns) for name, turns in PLAYS.items()}
    for name, together in plays.items():
        for kind in KINDS:
            found[f"{name}-{kind}"] = _turns(together, kind)
    return found


def _turns(cases: Iterable[Case], kind: str) -> list[Turn]:
    """What the model does in a conversation, each case with its own reference; several cases in one turn."""
    turns: list[Turn] = []
    room = 0
    for case in cases:
        own = (case.twin or case.turns) if kind == "twin" else case.turns
        own = json.loads(json.dumps(own[:-1]).replace("$REF", f"{case.name}-{kind}"))
        many = len(own[0]) if len(own) == 1 and isinstance(own[0], list) else CALLS_AT_ONCE
        if many <= room:
            turns[-1] = [*turns[-1], *own[0]]
            room -= many
        else:
            turns += own
            room = CALLS_AT_ONCE - many
    return [*turns, "done"]


async def _both(
    cluster: Cluster, other: Cluster, name: str, cases: list[Case], few: asyncio.Semaphore
) -> Both:
    case = cases[0]
    players, usual = (SHELVES, "tester") if case.shelf else (PLAYERS, "clerk")
    player = players.get(case.control, usual)
    without = f"{player}-{case.control.name.lower().replace('_', '-')}"
    where, whom, talk = cluster, without, "alice"
    if case.control is Control.TENANT:
        where, whom, talk = other, player, CAROL
    held, twin = await asyncio.gather(
        _one(cluster, f"{name}-held", player, case.talk.replace("$OTHER", other.namespace), few),
        _one(where, f"{name}-twin", whom, talk, few),
    )
    return Both(held, twin)


async def _one(cluster: Cluster, name: str, workflow: str, talk: str, few: asyncio.Semaphore) -> Played:
    async with few:
        execution = await cluster.execute(workflow, name, inputs={"case": name, "ref": name, "talk": talk})
        found = await cluster.finished(execution, SECONDS)
    return Played(found["status"], await asyncio.to_thread(read, found["metadata"]["uid"]), talk)


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


def _mentions(effect: Effect, ref: str) -> bool:
    told = json.dumps([effect["path"], effect["query"], effect["body"]])
    return f'{ref}"' in told or f"{ref} " in told or f"{ref}\\" in told
