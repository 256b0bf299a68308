"""What steps with a cache gave, in the database: the first stays while it is valid, its files with it."""

from typing import Any

import pytest

import build
from citadel.core import events as ev
from citadel.core.values import Content, Values
from citadel.store.blobs import BlobLimits

LARGE = "x" * 5000


def document(**cache: Any) -> dict[str, Any]:
    found = build.chain(1)
    found["spec"]["steps"][0]["cache"] = cache
    return found


async def begin(database: Any, uid: str, doc: dict[str, Any]) -> Any:
    """An execution, and its step as it stands then."""
    await database.journal.advance(uid, [build.created(uid, doc, name=f"run-{uid}")], definition=doc)
    return (await database.journal.read(uid)).steps["s0"]


async def end(database: Any, uid: str, output: Any, artifacts: dict[str, Content] | None = None) -> None:
    state = await database.journal.read(uid)
    (name,) = state.sandboxes
    await database.journal.advance(uid, [ev.SandboxRegistered(name)], claim=name)
    values = Values()
    fact = ev.AttemptSucceeded("s0", 1, name, values.put(output), artifacts or {})
    await database.journal.advance(uid, [fact], outputs=values.made)


@pytest.mark.parametrize("output", [7, LARGE])
async def test_a_later_execution_has_the_output_without_a_sandbox(sql_store, output: Any) -> None:
    database, doc = sql_store.database(), document()
    assert (await begin(database, "a", doc)).status == "Ready"
    await end(database, "a", output)
    found = await begin(database, "b", doc)
    assert (found.status, found.message) == ("Succeeded", "from execution run-a")
    await database.journal.forget(["a"])
    values = Values()
    expected = values.put(output)
    assert found.output == expected
    if values.made:
        assert list((await database.journal.values("b", [expected.digest])).values()) == [output]


async def test_the_first_stays_while_it_is_valid_and_another_takes_its_place_then(sql_store) -> None:
    database, doc = sql_store.database(), document(ttl="1h")
    await begin(database, "a", doc)
    await begin(database, "b", doc)
    await end(database, "a", 1)
    await end(database, "b", 2)
    assert (await begin(database, "c", doc)).output.value == 1
    await sql_store.sql("UPDATE cached SET at = at - 3700, expires_at = expires_at - 3700")
    assert (await begin(database, "d", doc)).status == "Ready"
    await end(database, "d", 4)
    assert (await begin(database, "e", doc)).output.value == 4


async def test_files_stay_as_long_as_they_are_known_here_and_go_after_it(sql_store) -> None:
    database, doc = sql_store.database(), document()
    blobs = database.blobs(BlobLimits())

    async def pieces():
        yield b"a file"

    content = await blobs.put("team", pieces())
    await begin(database, "a", doc)
    await end(database, "a", 1, {"text": content})
    await database.journal.forget(["a"])
    await sql_store.sql("UPDATE blobs SET stored_at = 0")
    assert await blobs.prune() == 0
    assert (await begin(database, "b", doc)).artifacts == {"text": content}
    await database.journal.forget(["b"])
    await sql_store.sql("UPDATE cached SET expires_at = 0")
    assert await blobs.prune() == 1
    assert await sql_store.sql("SELECT * FROM cached_artifacts") == []
