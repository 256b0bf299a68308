"""Blobs in databases and in object storage: the same bytes again, of nobody else, and not for ever."""

import hashlib
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from build import begin, chain
from citadel.core.values import Content
from citadel.settings import S3Settings
from citadel.store.blobs import PIECE, BlobLimits, BlobLost, Blobs, BlobTooLarge
from citadel.store.journal import ExecutionUnknown, JournalUnavailable
from citadel.store.objects import open_objects
from component.s3 import BUCKET, s3_server
from component.store.conftest import Store

LIMITS = BlobLimits(in_database=4 * PIECE)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def all_of(blobs: Blobs, namespace: str, content: Content, offset: int = 0) -> bytes:
    return b"".join([piece async for piece in await blobs.read(namespace, content, offset)])


async def rows(store: Store) -> int:
    return int((await store.sql("SELECT count(*) FROM blob_pieces"))[0][0])


@pytest.fixture
async def blobs(sql_store: Store) -> Blobs:
    return sql_store.database().blobs(LIMITS)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Settings, Path]]:
    folder = tmp_path_factory.mktemp("s3")
    with s3_server(folder) as settings:
        yield settings, folder / "objects" / BUCKET


@pytest.fixture
async def remote(sql_store: Store, s3: tuple[S3Settings, Path]) -> AsyncIterator[Blobs]:
    """Blobs of which the large ones go to object storage."""
    async with AsyncExitStack() as stack:
        yield sql_store.database().blobs(LIMITS, await open_objects(s3[0], stack))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 4 * PIECE])
async def test_what_is_stored_is_read_again_from_anywhere(blobs: Blobs, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    content = await blobs.put("team", pieces(data[: size // 3], data[size // 3 :]))
    assert content == Content(f"sha256:{hashlib.sha256(data).hexdigest()}", size)
    for offset in (0, size // 2, size):
        assert await all_of(blobs, "team", content, offset) == data[offset:]


async def test_a_namespace_has_nothing_of_another(blobs: Blobs) -> None:
    content = await blobs.put("team", pieces(b"ours"))
    with pytest.raises(BlobLost):
        await blobs.read("other", content)


async def test_the_same_bytes_are_kept_once(sql_store: Store, blobs: Blobs) -> None:
    assert await blobs.put("team", pieces(b"same")) == await blobs.put("team", pieces(b"sa", b"me"))
    assert await rows(sql_store) == 1


async def test_what_breaks_off_or_is_too_large_leaves_nothing(sql_store: Store, blobs: Blobs) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(2 * PIECE)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await blobs.put("team", broken())
    with pytest.raises(BlobTooLarge, match=r"more than 1048576 bytes.*artifacts\.s3"):
        await blobs.put("team", pieces(bytes(4 * PIECE), b"x"))
    assert await rows(sql_store) == 0


async def test_a_namespace_may_keep_so_much_and_so_many(sql_store: Store) -> None:
    small = sql_store.database().blobs(BlobLimits(in_database=100, of_namespace=10, count=3))
    await small.put("team", pieces(b"12345678"))
    with pytest.raises(BlobTooLarge, match="may keep 10 bytes of artifacts, and 2 are left"):
        await small.put("team", pieces(b"123"))
    for text in (b"1", b"2"):
        await small.put("team", pieces(text))
    with pytest.raises(BlobTooLarge, match="keeps 3 artifacts of 10 bytes"):
        await small.put("team", pieces(b""))
    await small.put("other", pieces(b"123"))


async def test_what_an_attempt_left_is_known_by_name_and_goes_with_its_execution(
    sql_store: Store, blobs: Blobs
) -> None:
    process = sql_store.open()
    await begin(process.journal, chain(1))
    first, second = Content("sha256:1", 1), Content("sha256:2", 2)
    for name, content in (("a", first), ("b", first), ("b", second)):
        await blobs.record("uid-1", "s0", 1, name, "team", content)
    assert await blobs.left("uid-1", "s0", 1) == {"a": first, "b": second}
    assert await blobs.left("uid-1", "s0", 2) == {}
    await process.journal.forget(["uid-1"])
    assert await blobs.left("uid-1", "s0", 1) == {}
    with pytest.raises(ExecutionUnknown):
        await blobs.record("uid-1", "s0", 1, "a", "team", first)


async def test_what_nothing_names_is_pruned_after_a_day(sql_store: Store, blobs: Blobs) -> None:
    process = sql_store.open()
    await begin(process.journal, chain(1))
    left = await blobs.put("team", pieces(b"left by an attempt"))
    await blobs.record("uid-1", "s0", 1, "src", "team", left)
    built = await blobs.put("team", pieces(b"a program"))
    await sql_store.sql(
        "INSERT INTO builds (namespace, key, program, size, used_at) VALUES ('team', 'k', :program, 1, :at)",
        program=built.digest,
        at=2e9,
    )
    gone = await blobs.put("team", pieces(b"nobody's"))
    assert await blobs.prune() == 0
    for table in ("blobs", "blob_pieces"):
        await sql_store.sql(f"UPDATE {table} SET stored_at = stored_at - 90000")
    again = await blobs.put("team", pieces(b"stored again"))
    assert await blobs.prune() == 1
    for content in (left, built, again):
        assert await all_of(blobs, "team", content)
    with pytest.raises(BlobLost):
        await blobs.read("team", gone)
    assert await rows(sql_store) == 3


async def test_pieces_of_a_gateway_that_died_are_pruned(sql_store: Store, blobs: Blobs) -> None:
    await sql_store.sql(
        "INSERT INTO blob_pieces (body, n, stored_at, bytes) VALUES ('x', 0, 0, :bytes)", bytes=b"?"
    )
    await blobs.prune()
    assert await rows(sql_store) == 0


async def test_a_build_that_is_not_used_is_forgotten(sql_store: Store, blobs: Blobs) -> None:
    await sql_store.sql(
        "INSERT INTO builds (namespace, key, program, size, used_at) VALUES ('team', 'k', 'p', 1, 0)"
    )
    await blobs.prune()
    assert await sql_store.sql("SELECT * FROM builds") == []


# ---- object storage


async def test_what_is_too_large_for_the_database_is_an_object(
    sql_store: Store, remote: Blobs, s3: tuple[S3Settings, Path]
) -> None:
    parts = [bytes([number]) * 300_000 for number in range(60)]
    data = b"".join(parts)
    content = await remote.put("team", pieces(*parts))
    assert content == Content(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    assert await rows(sql_store) == 0
    assert [file.stat().st_size for file in s3[1].iterdir() if file.is_file()] == [len(data)]
    for offset in (0, 10_000_001):
        assert await all_of(remote, "team", content, offset) == data[offset:]
    assert await remote.put("team", pieces(data)) == content
    assert len([file for file in s3[1].iterdir() if file.is_file()]) == 1
    await sql_store.sql("UPDATE blobs SET stored_at = 0")
    assert await remote.prune() == 1
    assert not [file for file in s3[1].iterdir() if file.is_file()]


async def test_an_object_that_breaks_off_is_not_kept(
    remote: Blobs, sql_store: Store, s3: tuple[S3Settings, Path]
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(200_000)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await remote.put("team", broken())
    assert not [file for file in s3[1].iterdir() if file.is_file()]
    assert await rows(sql_store) == 0


async def test_object_storage_that_is_lost_away_or_closed_is_said(
    remote: Blobs, sql_store: Store, s3: tuple[S3Settings, Path]
) -> None:
    content = await remote.put("team", pieces(bytes(2_000_000)))
    for file in s3[1].iterdir():
        if file.is_file():
            file.unlink()
    with pytest.raises(BlobLost):
        await all_of(remote, "team", content)
    with pytest.raises(BlobLost, match="not configured any more"):
        await sql_store.database().blobs(LIMITS).read("team", content)
    for changes, words in (
        ({"endpoint": "http://127.0.0.1:9"}, "does not answer"),
        ({"secret_key": "wrong-wrong"}, "refuses: SignatureDoesNotMatch"),
        ({"bucket": "another"}, "refuses: NoSuchBucket"),
    ):
        async with AsyncExitStack() as stack:
            objects = await open_objects(replace(s3[0], **changes), stack)
            with pytest.raises(JournalUnavailable, match=words):
                await sql_store.database().blobs(LIMITS, objects).put("team", pieces(bytes(3_000_000)))


async def test_a_large_object_takes_no_memory(remote: Blobs) -> None:
    async def large() -> AsyncIterator[bytes]:
        for number in range(256):
            yield number.to_bytes(4, "big") * 65536

    await remote.put("team", pieces(bytes(9_000_000)))  # what is loaded once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    content = await remote.put("team", large())
    size = 0
    async for piece in await remote.read("team", content):
        size += len(piece)
    assert size == 64 * 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024  # kilobytes
