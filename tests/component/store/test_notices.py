"""Notices: whoever waits hears of what was committed, in whatever process it happened."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection

import build
from build import begin, only_sandbox
from citadel.core import events as ev
from citadel.core.plan import compile_definition
from citadel.store.journal import TOPICS, Journal, LogChunk, Notice
from citadel.store.sandboxes import SandboxRow
from component.store.conftest import Store

SECRET = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
SECONDS = 10.0


class Ear:
    """Everything that was heard so far."""

    def __init__(self) -> None:
        self.heard: list[Notice] = []
        self._news = asyncio.Event()

    async def listen(self, journal: Journal, topics: Collection[str]) -> None:
        async for notice in journal.listen(topics):
            self.heard.append(notice)
            self._news.set()

    async def hears(self, *notices: Notice) -> bool:
        """Whether all of these are heard within some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                while not set(notices) <= set(self.heard):
                    self._news.clear()
                    await self._news.wait()
        return set(notices) <= set(self.heard)


@contextlib.asynccontextmanager
async def ear(store: Store, speaker: Journal, *topics: str) -> AsyncIterator[Ear]:
    """An ear that is known to listen: in Postgres to what happens in other processes."""
    is_shared = store.url is not None and store.url.startswith("postgres")
    await begin(speaker, build.chain(1), "probe")
    found = Ear()
    listening = found.listen(store.open().journal if is_shared else speaker, topics or TOPICS)
    task = asyncio.create_task(listening)
    number = 0
    deadline = time.monotonic() + SECONDS
    while Notice("log", "probe") not in found.heard:
        assert time.monotonic() < deadline
        await speaker.append_logs("probe", [LogChunk("s0", 1, number, "stdout", "", "x")])
        number += 1
        await asyncio.sleep(0.02)
        assert not task.done()
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_every_change_is_announced(store) -> None:
    process = store.open()
    async with ear(store, process.journal) as listener:
        definition = build.definition(
            build.python_step("a", arguments={"password": SECRET}), build.python_step("b")
        )
        sandbox = only_sandbox(await begin(process.journal, definition))
        assert await listener.hears(
            Notice("execution", "uid-1"), Notice("sandbox", sandbox), Notice("delivery", sandbox)
        )
        await process.sandboxes.delivery(sandbox, {"password": "c2VhbGVk"})
        await process.journal.append_logs("uid-1", [LogChunk("a", 1, 0, "stdout", "", "x")])
        assert await listener.hears(Notice("sealed", sandbox), Notice("log", "uid-1"))
        listener.heard.clear()
        await process.journal.advance("uid-1", [ev.StopRequested("Cancel", "CancelRequested", "")])
        assert await listener.hears(Notice("control", "uid-1"), Notice("execution", "uid-1"))
        listener.heard.clear()
        await process.sandboxes.observe(sandbox, pod_uid="pod-1")
        assert await listener.hears(Notice("sandbox", sandbox))


async def test_a_member_of_a_pool_hears_that_it_was_claimed(store) -> None:
    process = store.open()
    definition = build.chain(1)
    place = compile_definition(definition).placements["s0"]
    async with ear(store, process.journal) as listener:
        row = SandboxRow("cp-1", None, "", "python", "", place.template, "wanted", 0.0, pool=place.pool)
        await process.pools.add(row)
        await process.sandboxes.observe("cp-1", pod_uid="pod-1", answered="")
        assert await process.sandboxes.register("cp-1", "pod-1", "hash", "key")
        await process.journal.append_logs("probe", [LogChunk("s0", 1, 1000, "stdout", "", "mark")])
        assert await listener.hears(Notice("sandbox", "cp-1"), Notice("log", "probe"))
        listener.heard.clear()
        started = await process.journal.advance(
            "uid-1", [build.created("uid-1", definition)], definition=definition
        )
        assert only_sandbox(started) == "cp-1"
        assert await listener.hears(Notice("sandbox", "cp-1"))


async def test_who_listens_to_some_topics_hears_of_nothing_else(store) -> None:
    process = store.open()
    async with ear(store, process.journal, "log", "control") as listener:
        await begin(process.journal, build.chain(1))
        await process.journal.advance("uid-1", [ev.StopRequested("Cancel", "CancelRequested", "")])
        await process.journal.append_logs("uid-1", [LogChunk("s0", 1, 0, "stdout", "", "mark")])
        assert await listener.hears(Notice("log", "uid-1"))
        assert [notice for notice in listener.heard if notice.id == "uid-1"] == [
            Notice("control", "uid-1"),
            Notice("log", "uid-1"),
        ]


async def test_notices_of_executions_say_how_far_their_logs_go(store) -> None:
    process = store.open()
    async with ear(store, process.journal) as listener:
        state = (await begin(process.journal, build.chain(1))).state
        assert await listener.hears(Notice("execution", "uid-1"))
        await process.journal.append_logs("uid-1", [LogChunk("s0", 1, 0, "stdout", "", "mark")])
        assert await listener.hears(Notice("log", "uid-1"))
        told = [notice.seq for notice in listener.heard if notice == Notice("execution", "uid-1")]
        assert told == sorted(told)
        assert 0 < told[0] <= told[-1] == state.seq


async def test_what_is_no_notice_disturbs_nobody(postgres_store) -> None:
    process = postgres_store.open()
    async with ear(postgres_store, process.journal) as listener:
        for payload in ("", "log", "log ", "log uid-1 x", " ", "a b c d"):
            await postgres_store.sql("SELECT pg_notify('citadel-log', :payload)", payload=payload)
        await begin(process.journal, build.chain(1))
        assert await listener.hears(Notice("execution", "uid-1"))


async def test_what_changes_nothing_is_not_announced(store) -> None:
    process = store.open()
    async with ear(store, process.journal) as listener:
        sandbox = only_sandbox(await begin(process.journal, build.chain(2)))
        await process.sandboxes.observe(sandbox, pod_uid="pod-1")
        assert await listener.hears(Notice("execution", "uid-1"), Notice("sandbox", sandbox))
        # What is said in order is heard in order: all before the mark has been heard with it.
        await process.journal.append_logs("uid-1", [LogChunk("s0", 1, 0, "stdout", "", "mark 1")])
        assert await listener.hears(Notice("log", "uid-1"))
        listener.heard.clear()
        await process.journal.advance("uid-1", [build.succeeded("s1", sandbox)], claim=sandbox)
        await process.sandboxes.observe(sandbox, pod_uid="pod-1")
        await process.sandboxes.heartbeat([sandbox])
        await process.journal.append_logs("uid-1", [LogChunk("s0", 1, 1, "stdout", "", "mark 2")])
        assert await listener.hears(Notice("log", "uid-1"))
        assert [notice for notice in listener.heard if notice.id in ("uid-1", sandbox)] == [
            Notice("log", "uid-1")
        ]
