"""What agents remember, in every store: appended with a success, given unchanged, bounded, and deletable."""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

import build
from agents import agent, definition, run_agent
from citadel.core import events as ev
from citadel.core.values import Values
from citadel.store import conversations as c
from citadel.store.conversations import Key
from citadel.store.sql.conversations import SqlConversations

KEY = Key("team", "writer", "c-1")
DOCUMENT = definition(
    run_agent(agent={"conversation": "c-1"}), agents={"writer": agent(memory={"maxTokens": 100})}
)


async def say(
    store: Any, uid: str, prompt: str, output: Any, key: Key = KEY, summary: tuple[str, int] | None = None
) -> c.Remembered:
    """An execution whose agent was asked something and has answered; what it was given before.

    `summary` is what it made of so many messages.
    """
    journal = store.journal
    await journal.advance(uid, [build.created(uid, DOCUMENT, name=uid)], definition=DOCUMENT)
    (sandbox,) = (await journal.read(uid)).sandboxes
    await journal.advance(uid, [ev.SandboxRegistered(sandbox)], claim=sandbox)
    given = await store.conversations.recall(uid, "write", 1, key, prompt)
    assert summary is None or await store.conversations.summarise(uid, "write", 1, *summary)
    values = Values()
    fact = ev.AttemptSucceeded("write", 1, sandbox, values.put(output))
    await journal.advance(uid, [fact], outputs=values.made)
    return given


async def test_questions_and_answers_are_appended_in_their_order(store: Any) -> None:
    process = store.open()
    await say(process, "a", "one?", "eins")
    given = await say(process, "b", "two?", {"n": 2})
    assert [item["content"] for item in given.history] == ["one?", "eins"]
    found = await process.conversations.read(KEY)
    assert found is not None
    summary, said = found
    assert summary is None
    assert [(item.role, item.content, item.execution) for item in said] == [
        ("user", "one?", "a"),
        ("assistant", "eins", "a"),
        ("user", "two?", "b"),
        ("assistant", '{"n":2}', "b"),
    ]


async def test_it_outlives_its_executions(store: Any) -> None:
    process = store.open()
    await say(process, "a", "one?", "eins")
    await process.journal.forget(["a"])
    assert len((await process.conversations.read(KEY))[1]) == 2


async def test_large_answers_are_cut_and_many_messages_forgotten(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("citadel.store.sql.conversations", "citadel.store.memory_conversations"):
        monkeypatch.setattr(f"{name}.MOST_MESSAGES", 4)
    process = store.open()
    for number in range(3):
        await say(process, f"e{number}", f"{number}?", "é" * 100_000)
    _, said = await process.conversations.read(KEY)
    assert [item.content for item in said][::2] == ["1?", "2?"]
    assert all(len(item.content.encode()) <= c.CONTENT_LIMIT for item in said)


async def test_an_attempt_is_given_no_more_than_fits(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "GIVEN_BYTES", 10)
    process = store.open()
    await say(process, "a", "123456", "1234")
    given = await say(process, "b", "x", "1234567")
    assert [item["content"] for item in given.history] == ["123456", "1234"]


async def test_what_did_not_fit_waits_for_a_summary_and_is_none_of_what_it_stands_for(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c, "GIVEN_BYTES", 10)
    process = store.open()
    await say(process, "a", "123456", "1234")
    await say(process, "b", "x", "1234567")
    given = await say(process, "d", "y", "z", summary=("Digits.", 1))
    assert [item["content"] for item in given.history] == ["123456", "1234"]
    given = await say(process, "e", "?", "!", summary=("Digits, an x.", 2))
    assert (given.summary, [item["content"] for item in given.history]) == ("Digits.", ["1234", "x"])
    given = await say(process, "f", "?", "!")
    assert given.summary == "Digits, an x."
    assert [item["content"] for item in given.history] == ["1234567", "y", "z", "?"]


class Halting:
    """Connections of a database where `meanwhile` happens before the third statement of a transaction."""

    def __init__(self, connections: Any, meanwhile: Callable[[], Awaitable[Any]]) -> None:
        self._connections, self._meanwhile = connections, meanwhile

    async def transact(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def halting(connection: Any) -> Any:
            return await work(SimpleNamespace(execute=partial(self._execute, connection, count(1))))

        return await self._connections.transact(halting)

    @property
    def postgres(self) -> bool:
        return bool(self._connections.postgres)

    async def _execute(self, connection: Any, nth: Iterator[int], *statement: Any) -> Any:
        if next(nth) == 3:
            await self._meanwhile()
        return await connection.execute(*statement)


async def test_a_summary_that_comes_while_an_attempt_is_told_takes_nothing_from_it(
    postgres_store: Any,
) -> None:
    process = postgres_store.open()
    await say(process, "a", "one?", "eins")
    await process.journal.advance("c", [build.created("c", DOCUMENT, name="c")], definition=DOCUMENT)
    meanwhile = partial(say, process, "b", "two?", "zwei", summary=("They spoke of one.", 2))
    conversations = SqlConversations(Halting(process.conversations._connections, meanwhile))
    given = await conversations.recall("c", "write", 1, KEY, "three?")
    assert (given.summary, given.history) == ("They spoke of one.", [])


async def test_conversations_are_listed_and_deleted_and_nothing_of_others(store: Any) -> None:
    process = store.open()
    others = (Key("team", "writer", "c-2"), Key("team", "critic", "c-1"), Key("other", "writer", "c-1"))
    for number, key in enumerate((KEY, *others)):
        await say(process, f"e{number}", "?", "!", key)
    listed = await process.conversations.of("team", "writer")
    assert {(item.conversation, item.messages, item.summarised) for item in listed} == {
        ("c-1", 2, False),
        ("c-2", 2, False),
    }
    assert {name for name, _ in await process.conversations.namespaces()} == {"team", "other"}
    assert await process.conversations.forget("team", "writer", "c-1") == 1
    assert await process.conversations.forget("team", "writer", "c-1") == 0
    assert await process.conversations.read(KEY) is None
    assert all([await process.conversations.read(key) is not None for key in others])
    assert await process.conversations.forget("team", "writer") == 1
    assert await process.conversations.forget("team") == 1
    assert await process.conversations.forget("other") == 1


async def test_what_began_before_a_moment_is_deleted_and_what_came_after_is_not(store: Any) -> None:
    process = store.open()
    await say(process, "a", "?", "!")
    ((_, since),) = await process.conversations.namespaces()
    later = Key("team", "writer", "later")
    await say(process, "b", "?", "!", later)
    assert await process.conversations.forget("team", before=since) == 0
    (found,) = [
        item for item in await process.conversations.of("team", "writer") if item.conversation == "later"
    ]
    assert await process.conversations.forget("team", before=found.created_at) == 1
    assert await process.conversations.read(KEY) is None
    assert await process.conversations.read(later) is not None


async def test_what_is_deleted_amid_an_attempt_is_not_brought_back_by_it(store: Any) -> None:
    process = store.open()
    await say(process, "a", "one?", "eins")
    journal = process.journal
    await journal.advance("b", [build.created("b", DOCUMENT, name="b")], definition=DOCUMENT)
    (sandbox,) = (await journal.read("b")).sandboxes
    await journal.advance("b", [ev.SandboxRegistered(sandbox)], claim=sandbox)
    await process.conversations.recall("b", "write", 1, KEY, "two?")
    await process.conversations.forget("team", "writer")
    assert not await process.conversations.summarise("b", "write", 1, "s", 1)
    values = Values()
    await journal.advance("b", [ev.AttemptSucceeded("write", 1, sandbox, values.put("zwei"))])
    assert await process.conversations.read(KEY) is None
