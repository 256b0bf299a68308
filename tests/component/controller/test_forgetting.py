"""What agents remember goes with its namespace, whoever heard of that."""

import asyncio

import build
from agents import agent, definition, run_agent
from citadel.controller.forgetting import forget_gone
from citadel.core import events as ev
from citadel.core.values import Inline
from citadel.store.conversations import Key
from citadel.store.sql.database import Database
from component.controller.cluster import Cluster

DOCUMENT = definition(
    run_agent(agent={"conversation": "c"}), agents={"writer": agent(memory={"maxTokens": 100})}
)


async def say(database: Database, namespace: str) -> Key:
    """A conversation of an agent in a namespace."""
    key, uid = Key(namespace, "writer", "c"), f"uid-{namespace}"
    journal = database.journal
    await journal.advance(uid, [build.created(uid, DOCUMENT, name=uid)], definition=DOCUMENT)
    (sandbox,) = (await journal.read(uid)).sandboxes
    await journal.advance(uid, [ev.SandboxRegistered(sandbox)], claim=sandbox)
    await database.conversations.recall(uid, "write", 1, key, "Hi.")
    await journal.advance(uid, [ev.AttemptSucceeded("write", 1, sandbox, Inline("Hello."))])
    return key


async def remembered(cluster: Cluster, *keys: Key) -> list[bool]:
    return [await cluster.database.conversations.read(key) is not None for key in keys]


async def test_a_namespace_that_goes_while_somebody_watches_is_forgotten(cluster: Cluster) -> None:
    metadata = {"name": "gone", "resourceVersion": "1"}
    await cluster.api.change("ADDED", "/api/v1/namespaces/gone", {"metadata": metadata})
    key, other = await say(cluster.database, "gone"), await say(cluster.database, "team")
    await cluster.lead()
    await cluster.api.change("DELETED", "/api/v1/namespaces/gone", {"metadata": metadata})
    deadline = asyncio.get_running_loop().time() + 8
    while (await remembered(cluster, key, other))[0]:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    assert await remembered(cluster, key, other) == [False, True]


async def test_namespaces_that_went_unheard_are_forgotten_and_what_is_said_anew_is_not(
    cluster: Cluster,
) -> None:
    gone, again, here = [await say(cluster.database, name) for name in ("gone", "again", "here")]
    for name, year in (("again", 2999), ("here", 2000)):
        metadata = {"name": name, "creationTimestamp": f"{year}-01-01T00:00:00Z"}
        await cluster.api.change("ADDED", f"/api/v1/namespaces/{name}", {"metadata": metadata})
    await forget_gone(cluster.kube, cluster.database.conversations)
    assert await remembered(cluster, gone, again, here) == [False, False, True]
