"""Programs through a gateway: stored by who builds them, given to who runs them, and to nobody else."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psycopg
import pytest

from build import definition, python_step
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.store.blobs import BlobLimits
from component.gateway.conftest import Site

PROGRAM = bytes(range(256)) * 3000


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def compiled(*names: str, code: str = "package main", **fields: Any) -> dict[str, Any]:
    """Steps in Go, side by side."""
    steps = [{"name": name, "run": {"runtime": "go", "code": code}, "needs": [], **fields} for name in names]
    return {**definition(*steps), "runtimes": {"go": {"language": "go", "image": "go:1"}}}


async def build(site: Site, uid: str = "uid-1", **fields: Any) -> Any:
    """The assignment of the step whose build has stored the program, and its runner."""
    builder = await site.registered(compiled("load", **fields), uid)
    assert (await builder.put("load.build", "program", PROGRAM)).body["digest"] == digest(PROGRAM)
    assert (await builder.succeed("load.build", more="&artifacts=true&next=false")).status == 200
    *_, name = await site.create_pods(uid)
    runner = await site.runner(name)
    return builder, runner, await runner.register()


async def test_the_program_of_a_build_is_what_its_step_gets(site: Site) -> None:
    builder = await site.registered(compiled("load"))
    given = (await builder.poll()).assignment
    assert (given["action"], given["code"], given["exclusive"]) == ("build", "package main", True)
    stored = await builder.put("load.build", "program", PROGRAM)
    assert (stored.status, stored.body) == (200, {"digest": digest(PROGRAM), "size": len(PROGRAM)})
    assert (await builder.succeed("load.build", more="&artifacts=true&next=false")).status == 200
    *_, name = await site.create_pods()
    runner = await site.runner(name)
    given = (await runner.register()).assignment
    assert given["program"] == {"digest": digest(PROGRAM), "size": len(PROGRAM)}
    assert (await runner.blob(digest(PROGRAM))).body == PROGRAM
    assert (await runner.blob(digest(PROGRAM), 300_000)).body == PROGRAM[300_000:]


async def test_a_second_execution_recalls_the_program_and_builds_nothing(site: Site) -> None:
    await build(site)
    runner = await site.registered(compiled("again"), "uid-2")
    given = (await runner.poll()).assignment
    assert (given["step"], given["program"]["digest"]) == ("again", digest(PROGRAM))
    assert (await runner.blob(digest(PROGRAM))).body == PROGRAM


async def test_a_sandbox_gets_no_digest_that_its_assignment_does_not_name(site: Site) -> None:
    await build(site)
    other = await site.registered(compiled("load", code="package other"), "uid-2")
    missing = await other.blob(digest(b"nobody has this"))
    assert (await other.blob(digest(PROGRAM))).refused == missing.refused == (403, "NotNamed")


async def test_only_the_attempt_under_way_stores_and_only_what_its_step_leaves(site: Site) -> None:
    builder, runner, _ = await build(site)
    assert (await builder.put("load.build", "program", b"late")).refused == (409, "Superseded")
    assert (await runner.put("load.build", "program", b"forged")).refused == (409, "Superseded")
    assert (await runner.put("load", "program", b"undeclared")).refused == (403, "NotDeclared")
    assert (await runner.blob(digest(PROGRAM))).status == 200


async def test_a_build_without_its_program_has_failed(site: Site) -> None:
    builder = await site.registered(compiled("load"))
    assert (await builder.succeed("load.build", more="&next=false")).status == 200
    finished = (await site.state()).finished
    assert finished is not None
    assert finished.message == "step load.build: artifact program was not stored"


async def test_more_than_may_be_kept_is_refused_and_nothing_of_it_stays(site: Site) -> None:
    site.blob_limits = BlobLimits(in_database=600_000)
    process = await site.gateway()
    builder = (await site.registered(compiled("load"))).at(process.url)
    async with builder:
        answer = await builder.put("load.build", "program", PROGRAM)
        assert answer.refused == (413, "ArtifactTooLarge")
        assert "artifacts.s3" in answer.body["error"]["message"]
        assert (await builder.fail("load.build", "ArtifactTooLarge")).status == 200
    finished = (await site.state()).finished
    assert finished is not None
    assert finished.reason == "ArtifactTooLarge"
    assert await pieces(site) == 0


async def test_what_breaks_off_leaves_nothing(site: Site) -> None:
    builder = await site.registered(compiled("load"))

    async def broken() -> AsyncIterator[bytes]:
        yield PROGRAM
        await until(site, stored=True)
        raise ConnectionResetError

    with pytest.raises(aiohttp.ClientError):
        await builder.put("load.build", "program", broken())
    await until(site, stored=False)
    assert (await builder.put("load.build", "program", PROGRAM)).status == 200


HANDED_ON = definition(
    python_step("make", artifacts={"out": {"src": "./"}}, files={"a.txt": "text"}),
    python_step("read", artifacts={"in": {"/data/src": "steps.make.artifacts.src"}}),
)


async def test_an_artifact_is_handed_on_to_who_names_it_and_is_in_the_journal(site: Site) -> None:
    runner = await site.registered(HANDED_ON)
    given = (await runner.poll()).assignment
    assert given["files"] == {"/work/a.txt": "text"}
    assert given["artifacts"] == {"in": [], "out": [{"name": "src", "path": "/work"}]}
    assert (await runner.blob(digest(PROGRAM))).refused == (403, "NotNamed")
    assert (await runner.put("make", "src", PROGRAM)).status == 200
    answer = await runner.succeed("make", more="&artifacts=true")
    assert answer.assignment["artifacts"] == {
        "in": [{"path": "/data/src", "digest": digest(PROGRAM), "size": len(PROGRAM)}],
        "out": [],
    }
    assert (await runner.blob(digest(PROGRAM))).body == PROGRAM
    assert (await site.state()).steps["make"].artifacts["src"].digest == digest(PROGRAM)


async def test_an_attempt_that_is_placed_again_leaves_what_its_last_sandbox_stored(site: Site) -> None:
    secret = {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    step = python_step("make", artifacts={"out": {"src": "./"}}, arguments={"a": secret})
    runner = await site.registered(definition(step))
    assert (await runner.put("make", "src", b"lost")).status == 200
    await site.post(ev.SandboxEnded(runner.sandbox, Failure("SandboxLost", "gone")))
    assert (await runner.put("make", "src", b"late")).refused == (409, "Superseded")
    *_, name = await site.create_pods()
    again = await site.runner(name)
    await again.register()
    assert (await again.put("make", "src", b"kept")).status == 200
    assert (await again.succeed("make", more="&artifacts=true")).status == 200
    assert (await site.state()).steps["make"].artifacts["src"].digest == digest(b"kept")


async def test_a_result_without_what_the_step_leaves_has_failed(site: Site) -> None:
    runner = await site.registered(HANDED_ON)
    assert (await runner.succeed("make", more="&artifacts=true")).status == 200
    failure = (await site.state()).steps["make"].failure
    assert failure is not None
    assert (failure.reason, failure.message) == ("InvalidOutput", "artifact src was not stored")


async def test_what_was_stored_once_more_is_kept_once(site: Site) -> None:
    runner = await site.registered(HANDED_ON)
    await runner.put("make", "src", PROGRAM)
    before = await pieces(site)
    await runner.put("make", "src", PROGRAM)
    assert await pieces(site) == before == 3
    await runner.put("make", "src", b"")
    await runner.succeed("make", more="&artifacts=true")
    assert (await site.state()).steps["make"].artifacts["src"].size == 0


async def until(site: Site, *, stored: bool) -> None:
    """Waits until there are bytes of blobs, or none."""
    async with asyncio.timeout(10):
        while bool(await pieces(site)) != stored:  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)


async def pieces(site: Site) -> int:
    """Rows that hold bytes of blobs."""
    import psycopg

    async with await psycopg.AsyncConnection.connect(site.postgres_url, autocommit=True) as connection:
        found = await (await connection.execute("SELECT count(*) FROM blob_pieces")).fetchone()
    return int(found[0]) if found else 0


def packaged(namespace: str, body: bytes) -> dict[str, Any]:
    """An execution whose Runtime has packages, kept in a namespace."""
    where = {"namespace": namespace, "digest": digest(body), "size": len(body)}
    return {**definition(python_step("a")), "packages": {"python": where}}


async def keep(site: Site, namespace: str, body: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield body

    await site.database.blobs(BlobLimits()).put(namespace, pieces())


async def test_packages_of_a_shared_runtime_are_told_at_registration_and_given_to_its_sandboxes(
    site: Site,
) -> None:
    await keep(site, "citadel-system", PROGRAM)
    (name,) = await site.start(packaged("citadel-system", PROGRAM))
    runner = await site.runner(name)
    answer = await runner.register()
    assert answer.body["packages"] == {"digest": digest(PROGRAM), "size": len(PROGRAM)}
    assert (await runner.blob(digest(PROGRAM))).body == PROGRAM
    # A gateway that has not seen the registration knows it too.
    other = runner.at((await site.gateway()).url)
    async with other:
        assert (await other.blob(digest(PROGRAM), 300_000)).body == PROGRAM[300_000:]


async def test_packages_are_given_to_sandboxes_of_their_runtime_alone(site: Site) -> None:
    await keep(site, "citadel-system", PROGRAM)
    await keep(site, "team", PROGRAM)
    runner = await site.registered(definition(python_step("a")))
    assert (await runner.blob(digest(PROGRAM))).status == 403


async def test_packages_that_are_not_kept_any_more_are_refused_for_good(site: Site) -> None:
    (name,) = await site.start(packaged("citadel-system", PROGRAM))
    runner = await site.runner(name)
    await runner.register()
    assert (await runner.blob(digest(PROGRAM))).status == 409


async def test_a_blob_that_is_held_outlives_a_day(site: Site) -> None:
    await keep(site, "team", PROGRAM)
    await keep(site, "team", b"other")
    blobs = site.database.blobs(BlobLimits())
    async with await psycopg.AsyncConnection.connect(site.postgres_url, autocommit=True) as connection:
        await connection.execute("UPDATE blobs SET stored_at = stored_at - 2 * 86400")
    assert await blobs.hold("team", digest(PROGRAM))
    assert not await blobs.hold("others", digest(PROGRAM))
    await blobs.prune()
    assert await blobs.hold("team", digest(PROGRAM))
    assert not await blobs.hold("team", digest(b"other"))
