"""Hostile code in the sandbox of an agent, in place of its loop: it gets what the agent may, and no more."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from citadel.kube.resources import AGENTS, MODELS, TOOLS
from hostile.conftest import namespace
from live import SYSTEM, Cluster, built_images, citadel, kubectl, policy, sql
from rogue import credentials, raid, setting
from rogue.running import scripts
from rogue.staging import create, effects, keep_secrets, start_world

pytestmark = pytest.mark.alone

CODE = (Path(__file__).parent / "raid.py").read_text()
TURNS, CALLS, PAYMENTS = 5, 40, 2
#: Whom a sandbox may reach by its network: who answers nobody without a session.
OPEN = {"citadel-gateway:443", "citadel-models:8444", "citadel-egress:443"}


@dataclass(frozen=True)
class Raids:
    """What came of it: outputs by execution, places that were tried, effects, journals, and a memory."""

    outputs: dict[str, Any]
    reasons: dict[str, str | None]
    places: dict[str, list[Any]]
    effects: list[dict[str, Any]]
    journals: dict[str, list[list[str]]]
    """By execution: kind, step and attempt of each event, in order."""
    paid: int
    """Calls of the model that were paid for where it was asked too often."""
    alice: tuple[str, str]
    """What the agent remembers of alice, before and after."""


async def _raided() -> Raids:
    async with namespace() as cluster:
        world = await start_world(cluster, scripts({}))
        async with policy(cluster, **world.policy()):
            return await _raid(cluster, world.host)


async def _raid(cluster: Cluster, host: str) -> Raids:
    await keep_secrets(cluster, credentials.secrets(cluster.namespace))
    image = built_images()["CITADEL_IMAGE_ROGUE"]
    await cluster.runtime("rogue", {"language": "python", "image": image})
    await create(cluster, MODELS, {"hostile": setting.model(host)})
    wanted = ("pay", "wire", "lookup")
    locked = {"echo": credentials.tools(cluster.namespace)["echo"]}
    tools = setting.tools(host, ("a.example.com",) * len(setting.CLOSED_TOOLS))
    await create(cluster, TOOLS, {name: tools[name] for name in wanted} | locked)
    await create(cluster, AGENTS, {"raider": setting.raider(TURNS, CALLS, PAYMENTS)})
    places = await asyncio.to_thread(_places, cluster)
    given = {
        "code": CODE,
        "what": "${inputs.what}",
        "say": "told by ${inputs.talk}",
        "other": "${inputs.other}",
    }
    step = {"name": "raider", "prompt": "play small-0 raid", "conversation": "${inputs.talk}"}
    inputs = {"type": "object", "additionalProperties": {"type": "string"}}
    steps = [
        {"name": "act", "agent": step, "with": {**given, "places": list(places.values())}, "timeout": "2m"}
    ]
    await cluster.workflow("flow", steps, inputs=inputs, outputs={"found": "${steps.act.output}"})

    async def run(name: str, what: str, talk: str, other: str = "") -> dict[str, Any]:
        await cluster.execute("flow", name, inputs={"what": what, "talk": talk, "other": other})
        return await cluster.finished(name, 150)

    alice, _ = await asyncio.gather(run("alice", "seed", "alice"), run("mallory", "seed", "mallory"))
    before = await asyncio.to_thread(_memory, cluster)
    found = await asyncio.gather(
        run("raid", "raid", "mallory", alice["metadata"]["uid"]),
        run("flood", "flood", "flood"),
        run("turns", "turns", "turns"),
        run("late", "late", "late"),
    )
    runs = {item["metadata"]["name"]: item for item in (alice, *found)}
    turns = runs["turns"]["metadata"]["uid"]
    rows = await asyncio.to_thread(sql, f"SELECT count(*) FROM model_reservations WHERE uid = '{turns}'")
    return Raids(
        {name: item["status"].get("outputs", {}).get("found") for name, item in runs.items()},
        {name: item["status"].get("reason") for name, item in runs.items()},
        places,
        await asyncio.to_thread(effects, cluster),
        {name: await asyncio.to_thread(_journal, item["metadata"]["uid"]) for name, item in runs.items()},
        int(rows[0]),
        (before, await asyncio.to_thread(_memory, cluster)),
    )


def _places(cluster: Cluster) -> dict[str, list[Any]]:
    """Addresses that code might go for, by name."""
    found: dict[str, list[Any]] = {}
    for where in (SYSTEM, cluster.namespace, "default", "kube-system"):
        for item in json.loads(kubectl("get", "services", "-n", where, "-o", "json"))["items"]:
            if (address := item["spec"].get("clusterIP")) not in (None, "None"):
                ports = {port["port"] for port in item["spec"]["ports"]}
                found |= {f"{item['metadata']['name']}:{port}": [address, port] for port in sorted(ports)}
    for node in json.loads(kubectl("get", "nodes", "-o", "json"))["items"]:
        address = next(
            item["address"] for item in node["status"]["addresses"] if item["type"] == "InternalIP"
        )
        found |= {f"node:{port}": [address, port] for port in (6443, 10250, 22)}
    return {**found, "metadata:80": ["169.254.169.254", 80]}


def _memory(cluster: Cluster) -> str:
    return citadel("memory", "show", "raider", "-n", cluster.namespace, "--conversation", "alice")


def _journal(uid: str) -> list[list[str]]:
    fields = "kind, coalesce(data->>'step', '-'), coalesce(data->>'attempt', '-')"
    return [row.split("|") for row in sql(f"SELECT {fields} FROM events WHERE uid = '{uid}' ORDER BY seq")]


@pytest.fixture(scope="module")
def raids() -> Raids:
    return asyncio.run(_raided())


def test_what_the_agent_may_it_gets(raids: Raids) -> None:
    found = raids.outputs["raid"]
    assert found, raids.reasons
    assert (found["honest"], found["model"]) == ("Succeeded", 200), found
    assert found["memory"] == 200, found


@pytest.mark.parametrize("name", sorted(raid.calls("")))
def test_a_call_beyond_that_is_refused(raids: Raids, name: str) -> None:
    assert raids.outputs["raid"]["calls"][name] in ("ToolNotAllowed", "ToolRefused"), raids.outputs["raid"]


def test_it_has_no_effect_beyond_what_the_agent_may(raids: Raids) -> None:
    paths = [effect["path"] for effect in raids.effects if not effect["path"].startswith("/customers/")]
    assert set(paths) == {"/model", "/pay"}
    paid = [effect["body"] for effect in raids.effects if effect["path"] == "/pay"]
    assert [(body["amount"], body["to"]) for body in paid] == [(10, "acme")] * (1 + PAYMENTS), paid


def test_calls_at_once_are_no_more_than_there_may_be(raids: Raids) -> None:
    race = raids.outputs["raid"]["race"]
    assert race.count("Succeeded") == PAYMENTS, race
    assert set(race) <= {"Succeeded", "ToolLimitExceeded", "TooManyRequests", "429"}, race


def test_the_door_has_no_other_way(raids: Raids) -> None:
    through = [way for way in raids.outputs["raid"]["paths"] if not 300 <= way[2] < 500]
    assert not through


@pytest.mark.parametrize("what", ["bodies", "chats"])
def test_what_is_no_request_is_refused(raids: Raids, what: str) -> None:
    # Of what is too large the connection may end before the answer.
    *said, large = raids.outputs["raid"][what]
    assert all(one in ("ToolRefused", "ToolNotAllowed") or one.startswith("4") for one in said), said
    assert large in ("0", "400", "413")


def test_by_its_network_it_reaches_who_answers_sessions_alone(raids: Raids) -> None:
    reached = dict(zip(raids.places, raids.outputs["raid"]["reached"], strict=True))
    answered = {name: status for name, status in reached.items() if status is not None}
    assert answered.keys() <= OPEN, reached
    assert answered
    assert all(status == 0 or 400 <= status < 500 for status in answered.values()), answered


def test_no_key_is_where_it_can_read(raids: Raids) -> None:
    assert raids.outputs["raid"]["secrets"] == []


def test_it_is_told_of_its_own_conversation_alone_and_changes_no_other(raids: Raids) -> None:
    assert raids.outputs["raid"]["told"] == ["told by mallory"]
    before, after = raids.alice
    assert "told by alice" in before
    assert after == before


def test_each_call_is_in_the_journal_as_one_of_its_own_attempt(raids: Raids) -> None:
    called = [row for row in raids.journals["raid"] if row[0] == "ToolCalled"]
    assert len(called) > len(raids.outputs["raid"]["calls"])
    assert {tuple(row[1:]) for row in called} == {("act", "1")}
    assert not any(row[0] == "ToolCalled" for row in raids.journals["alice"])


def test_a_flood_ends_its_own_step_and_pays_for_no_more_than_its_turns(raids: Raids) -> None:
    assert raids.reasons["flood"] == "ToolLimitExceeded", raids.reasons
    assert raids.reasons["turns"] == "TurnLimitExceeded", raids.reasons
    assert raids.paid == TURNS
    assert sum(row[0] == "ToolCalled" for row in raids.journals["flood"]) <= CALLS + 1


def test_what_stays_behind_calls_nothing_when_the_step_has_ended(raids: Raids) -> None:
    kinds = [row[0] for row in raids.journals["late"]]
    assert "ToolCalled" in kinds
    assert "ToolCalled" not in kinds[kinds.index("AttemptSucceeded") :]
    looked = sum(effect["path"].startswith("/customers/") for effect in raids.effects)
    assert looked <= kinds.count("ToolCalled")
