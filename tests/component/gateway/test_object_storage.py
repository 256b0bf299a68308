"""A gateway process with object storage behind it: what goes through it is never in its memory."""

import asyncio
import hashlib
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from build import created, definition, python_step
from citadel.core.hashing import hashed
from citadel.store.sql.database import open_database
from component.gateway.runner import Runner
from component.gateway.test_process import free_port, tls
from component.s3 import BUCKET, s3_server

__all__ = ["tls"]

SIZE = 64 * 2**20
STEPS = definition(
    python_step("make", artifacts={"out": {"src": "./"}}),
    python_step("read", artifacts={"in": {"/data/src": "steps.make.artifacts.src"}}),
)


async def zeros() -> AsyncIterator[bytes]:
    for _ in range(SIZE // 2**20):
        yield bytes(2**20)


def peak(pid: int) -> int:
    """The most memory that a process has held, in MiB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


async def ready(health: int) -> None:
    """Returns when the process says so."""
    async with aiohttp.ClientSession() as client, asyncio.timeout(30):
        while True:
            try:
                async with client.get(f"http://127.0.0.1:{health}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


async def test_64_mib_go_to_object_storage_and_back(
    postgres_url: str, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    database = open_database(postgres_url, pool_size=2)
    await database.journal.advance("uid-1", [created("uid-1", STEPS)], definition=STEPS)
    (row,) = await database.sandboxes.open()
    await database.sandboxes.observe(row.name, pod_uid="pod", key_hash=hashed("key"))
    folder = tmp_path / "s3"
    folder.mkdir()
    port, health = free_port(), free_port()
    with s3_server(folder) as s3:
        for name, text in (("accessKeyId", s3.access_key), ("secretAccessKey", s3.secret_key)):
            (tmp_path / name).write_text(text)
        given = {
            "CITADEL_DATABASE_URL": postgres_url,
            "CITADEL_TLS_DIR": str(tmp_path),
            "CITADEL_PORT": str(port),
            "CITADEL_HEALTH_PORT": str(health),
            "CITADEL_TRIPWIRE_PORT": str(free_port()),
            "CITADEL_S3_ENDPOINT": s3.endpoint,
            "CITADEL_S3_BUCKET": s3.bucket,
            "CITADEL_S3_CREDENTIALS_DIR": str(tmp_path),
        }
        command = [sys.executable, "-m", "citadel", "gateway"]
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **given})
        try:
            await ready(health)
            url = f"https://127.0.0.1:{port}"
            async with Runner(url, row.name, "key", tls=tls) as runner:
                assert (await runner.register()).step == "make"
                before = peak(process.pid)
                stored = await runner.put("make", "src", zeros())
                digest = f"sha256:{hashlib.sha256(bytes(SIZE)).hexdigest()}"
                assert (stored.status, stored.body) == (200, {"digest": digest, "size": SIZE})
                assert (await runner.succeed("make", more="&artifacts=true")).step == "read"
                assert (await runner.blob(digest)).body == bytes(SIZE)
                assert peak(process.pid) - before < 48
            objects = [file for file in (folder / "objects" / BUCKET).iterdir() if file.is_file()]
            assert [file.stat().st_size for file in objects] == [SIZE]
        finally:
            process.terminate()
            assert await process.wait() == 0
            await database.close()


async def test_a_gateway_without_the_credentials_says_which_file_it_lacks(
    postgres_url: str, tmp_path: Path
) -> None:
    given = {
        "CITADEL_DATABASE_URL": postgres_url,
        "CITADEL_S3_ENDPOINT": "https://s3.example.com",
        "CITADEL_S3_BUCKET": "b",
        "CITADEL_S3_CREDENTIALS_DIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "citadel", "gateway"]
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **given}, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode != 0
    assert f"{tmp_path}/accessKeyId: expected the accessKeyId of the credentials" in said.decode()
