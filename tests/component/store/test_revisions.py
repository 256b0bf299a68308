"""Revisions of a workflow: what the journal knows of the definitions that ran."""

import pytest

import build
from citadel.store.revisions import NoRevision, Revision, chosen, short

OLD, NEW = build.chain(1), build.chain(2)


async def test_revisions_are_those_that_ran_the_last_first(sql_store) -> None:
    database = sql_store.database()
    for uid, definition in (("a", OLD), ("b", NEW), ("c", OLD), ("d", NEW), ("e", OLD)):
        await database.journal.advance(uid, [build.created(uid, definition)], definition=definition)
    first, second = await database.revisions.of("team", "flow")
    assert (first.digest, first.executions) == (build.pinned(OLD), 3)
    assert (second.digest, second.executions) == (build.pinned(NEW), 2)
    assert first.first_at <= second.first_at <= second.last_at <= first.last_at
    assert await database.revisions.of("team", "other") == []
    assert await database.revisions.of("others", "flow") == []


async def test_a_document_is_had_by_the_beginning_of_its_digest_within_its_own_workflow(sql_store) -> None:
    database = sql_store.database()
    await database.journal.advance("a", [build.created("a", OLD)], definition=OLD)
    digest = build.pinned(OLD)
    for given in (digest, short(digest), digest.removeprefix("sha256:")[:8]):
        assert await database.revisions.document("team", "flow", given) == (digest, OLD)
    for namespace, workflow in (("team", "other"), ("others", "flow")):
        with pytest.raises(NoRevision):
            await database.revisions.document(namespace, workflow, digest)


async def test_one_that_was_rejected_is_of_no_revision(sql_store) -> None:
    database = sql_store.database()
    rejected = build.ev.Rejected("run", "team", "a", "flow", build.Failure.cut("InvalidInputs", "no"))
    await database.journal.advance("a", [rejected])
    assert await database.revisions.of("team", "flow") == []


def test_what_is_not_one_revision_is_told_with_those_that_there_are() -> None:
    known = [Revision(f"sha256:{start:0<64}", 1.0, 1.0, 1) for start in ("abcdef01", "abcdef02", "12345678")]
    assert chosen("flow", "1234", known) == known[2].digest
    with pytest.raises(NoRevision) as caught:
        chosen("flow", "abcdef", known)
    assert str(caught.value) == (
        "Workflow flow: 2 revisions begin with abcdef, as abcdef010000 and abcdef020000; give more of it"
    )
    with pytest.raises(NoRevision) as caught:
        chosen("flow", "sha256:99999999", known)
    assert str(caught.value) == (
        "Workflow flow: found no execution that ran by revision 99999999; the last that ran is abcdef010000"
    )
    with pytest.raises(NoRevision, match=r"found no execution that ran by revision 99999999$"):
        chosen("flow", "99999999", [])
