"""What agents remember, as people get at it: who may, and what they get."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import build
from agents import agent, definition, run_agent
from citadel.core import events as ev
from citadel.core.values import Inline
from citadel.store.conversations import Key
from component.web.test_api import ALLOWED, Api, api

__all__ = ["api"]

BASE = "/api/v1/namespaces/team/agents"
DOCUMENT = definition(
    run_agent(agent={"conversation": "c"}), agents={"writer": agent(memory={"maxTokens": 100})}
)
ALLOWED |= {"keeper": {"memory"}, "archivist": {"memory", "log"}}


async def say(api: Api, uid: str, conversation: str, answer: str) -> None:
    journal = api.database.journal
    await journal.advance(uid, [build.created(uid, DOCUMENT, name=uid)], definition=DOCUMENT)
    (sandbox,) = (await journal.read(uid)).sandboxes
    await journal.advance(uid, [ev.SandboxRegistered(sandbox)], claim=sandbox)
    key = Key("team", "writer", conversation)
    await api.database.conversations.recall(uid, "write", 1, key, "Hi.")
    await journal.advance(uid, [ev.AttemptSucceeded("write", 1, sandbox, Inline(answer))])


async def ask(api: Api, path: str, user: str = "keeper", method: str = "GET") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {user}"}
    async with api.client.request(method, f"{api.url}{BASE}/{path}", headers=headers) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if answer.status == 200 else text


async def test_conversations_are_listed_shown_and_deleted(api: Api) -> None:
    for name in ("Kunde/7 ü?#", "other"):
        await say(api, name, name, f"Hello {name}.")
    status, found = await ask(api, "writer/conversations")
    assert status == 200
    assert [item["conversation"] for item in found["items"]] == ["other", "Kunde/7 ü?#"]
    path = f"writer/conversations/{quote('Kunde/7 ü?#', safe='')}"
    _, shown = await ask(api, path)
    assert [(item["role"], item["content"]) for item in shown["messages"]] == [
        ("user", "Hi."),
        ("assistant", "Hello Kunde/7 ü?#."),
    ]
    assert await ask(api, path, method="DELETE") == (200, {"deleted": 1})
    assert (await ask(api, path))[0] == 404
    assert (await ask(api, path, method="DELETE"))[0] == 404
    assert await ask(api, "writer/conversations", method="DELETE") == (200, {"deleted": 1})
    assert await ask(api, "writer/conversations") == (200, {"items": []})


async def test_only_those_get_at_it_whom_the_cluster_lets(api: Api) -> None:
    await say(api, "a", "c", "secret")
    for method in ("GET", "DELETE"):
        for path in ("writer/conversations", "writer/conversations/c"):
            status, told = await ask(api, path, "auditor", method)
            verb = "get" if method == "GET" else "delete"
            assert (status, told) == (403, f"user auditor may not {verb} agents/memory in namespace team")
    assert (await ask(api, "writer/conversations/c"))[0] == 200


async def test_what_was_said_in_an_earlier_namespace_of_the_name_is_not_shown(api: Api) -> None:
    await say(api, "a", "c", "old")
    made = datetime.now(UTC).replace(year=2999).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {"name": "team", "creationTimestamp": made}
    await api.cluster.change("ADDED", "/api/v1/namespaces/team", {"metadata": metadata})
    assert await ask(api, "writer/conversations") == (200, {"items": []})
    assert (await ask(api, "writer/conversations/c"))[0] == 404


async def test_what_was_remembered_is_recorded_for_those_who_may_read_it(api: Api) -> None:
    await say(api, "first", "c", "Hello.")
    await say(api, "uid-1", "c", "Hello again.")
    status, told = await api.get("/recording", "archivist")
    assert status == 200
    (attempt,) = json.loads(told)["attempts"]
    assert attempt["agent"]["history"] == [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
    ]
    status, told = await api.get("/recording", "auditor")
    assert (status, told) == (403, "user auditor may not get agents/memory in namespace team")
    assert await ask(api, "writer/conversations", method="DELETE") == (200, {"deleted": 1})
    status, told = await api.get("/recording", "auditor")
    assert status == 200
    assert json.loads(told)["attempts"][0]["agent"]["history"] == []
