"""The archive, and what is kept for how long: nothing that is referred to goes."""

from dataclasses import replace

import pytest

import build
from citadel.core import events as ev
from citadel.core.values import Content, Inline, Values, encode
from citadel.store.archive import Archived
from citadel.store.blobs import BlobLimits
from citadel.store.sql import journal as sql_journal

END = ev.StopRequested("Terminate", "Terminated", "enough")


async def ended(database, uid: str, name: str = "run", length: int = 1) -> None:
    """An execution that has ended."""
    document = build.chain(length)
    await database.journal.advance(uid, [build.created(uid, document, name=name)], definition=document)
    await database.journal.advance(uid, [END])


async def test_the_archive_has_what_is_marked_the_newest_first(sql_store) -> None:
    database = sql_store.database()
    for uid in ("a", "b", "c"):
        await ended(database, uid)
    assert set(await database.archive.present(10)) == {"a", "b", "c"}
    assert len(await database.archive.present(2)) == 2
    await database.archive.mark(["a", "c", "unknown"])
    await database.archive.mark([])
    assert await database.archive.present(10) == ["b"]
    first, second = await database.archive.of("team", 0.0, 10)
    assert (first.uid, second.uid) == ("c", "a")
    assert await database.archive.of("team", 0.0, 1) == [first]
    assert isinstance(first, Archived)
    assert (first.workflow, first.phase, first.reason, first.done, first.total) == (
        "flow", "Cancelled", "Terminated", 1, 1
    )  # fmt: skip
    assert first.created_at <= (first.finished_at or 0.0) <= first.deleted_at
    assert await database.archive.find("team", "run", 0.0) == first
    for namespace, name, since in (
        ("others", "run", 0.0),
        ("team", "other", 0.0),
        ("team", "run", first.created_at + 1),
    ):
        assert await database.archive.find(namespace, name, since) is None


async def test_when_it_was_deleted_is_noted_once_whatever_happens_later(sql_store) -> None:
    database = sql_store.database()
    document = build.chain(1)
    await database.journal.advance("a", [build.created("a", document)], definition=document)
    await database.archive.mark(["a"])
    (before,) = await database.archive.of("team", 0.0, 10)
    await database.journal.advance("a", [END])
    await database.archive.mark(["a"])
    (after,) = await database.archive.of("team", 0.0, 10)
    assert (after.deleted_at, before.finished_at) == (before.deleted_at, None)
    assert after.finished_at is not None


async def test_of_many_old_executions_a_few_go_at_a_time_until_none_is_left(sql_store, monkeypatch) -> None:
    monkeypatch.setattr(sql_journal, "_PRUNED_AT_ONCE", 2)
    database = sql_store.database()
    for number in range(5):
        await ended(database, f"old-{number}", length=number + 1)
    await ended(database, "young", length=1)
    await sql_store.sql("UPDATE executions SET finished_at = 1 WHERE uid LIKE 'old-%'")
    assert [await database.journal.prune(86400.0) for _ in range(4)] == [2, 2, 1, 0]
    assert await sql_store.sql("SELECT uid FROM executions") == [("young",)]
    # What another execution runs by stays, though the one that brought it is gone.
    assert await sql_store.sql("SELECT digest FROM definitions") == [(build.pinned(build.chain(1)),)]


async def kept(blobs, text: bytes) -> Content:
    """A blob that nothing names."""

    async def pieces():
        yield text

    return await blobs.put("team", pieces())


async def test_what_a_step_recalled_is_kept_as_long_as_its_execution(sql_store) -> None:
    database = sql_store.database()
    blobs = database.blobs(BlobLimits())
    content = await kept(blobs, b"a program")
    document = build.chain(1)
    await database.journal.advance("a", [build.created("a", document)], definition=document)
    await database.journal.advance("a", [ev.StepRecalled("s0", Inline(None), {"program": content})])
    assert await blobs.left("a", "s0", 0) == {"program": content}
    await sql_store.sql("UPDATE blobs SET stored_at = 0")
    assert await blobs.prune() == 0
    await database.journal.forget(["a"])
    assert await blobs.prune() == 1


@pytest.mark.parametrize("padding", ["", "x" * 2000], ids=["in its event", "by digest"])
async def test_what_an_execution_takes_over_is_kept_from_its_beginning(sql_store, padding: str) -> None:
    database = sql_store.database()
    blobs = database.blobs(BlobLimits())
    content = await kept(blobs, b"a tree")
    document, values = build.chain(2), Values()
    artifacts = {"src": {"digest": content.digest, "size": content.size}}
    # Of the second step: its turn comes when the first has run.
    taken = values.put({"s1": {"output": encode(Inline(padding)), "artifacts": artifacts}})
    start = replace(build.created("b", document), recalled=taken)
    await database.journal.advance("b", [start], definition=document, outputs=values.made)
    await sql_store.sql("UPDATE blobs SET stored_at = 0")
    assert await blobs.prune() == 0
    assert await blobs.left("b", "s1", 0) == {"src": content}
    await database.journal.forget(["b"])
    assert await blobs.prune() == 1
