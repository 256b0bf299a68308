"""Files and trees that go into attempts and come out of them, between real runners and shims."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PublicKey, SealedBox

from component.runtimes.conftest import Site
from component.runtimes.gateway import Gateway

MAKE = """
set -e
mkdir -p out/deep; head -c 3000000 /dev/urandom > out/random
echo text > out/deep/file; ln -s deep/file out/link
chmod 700 out/random; sha256sum out/random | cut -c1-64 > sum
printf '"%s"' "$(cat sum)" > $CITADEL_OUTPUT
"""
READ = """
import hashlib, os
def main(at):
    random = open(f"{at}/random", "rb").read()
    return {
        "sum": hashlib.sha256(random).hexdigest(),
        "link": open(f"{at}/link").read(), "is_link": os.path.islink(f"{at}/link"),
        "mode": oct(os.stat(f"{at}/random").st_mode & 0o7777), "work": sorted(os.listdir()),
    }
"""


def taken(path: str, content: Any) -> dict[str, Any]:
    return {"in": [{"path": path, **content}]}


def left(**paths: str) -> dict[str, Any]:
    return {"out": [{"name": name, "path": path} for name, path in paths.items()]}


async def made(gateway: Gateway, command: str = MAKE, **paths: str) -> Any:
    """What a container step leaves, and its result."""
    return await gateway.run(
        "make", command=["sh", "-c", command], artifacts=left(**paths or {"src": "/work/out"})
    )


async def test_a_tree_of_one_step_is_the_tree_of_another_in_another_language(site: Site) -> None:
    await site.start()
    result = await made(site.gateway)
    content = site.gateway.artifacts["make", "src"]
    site.gateway.blob_bytes = 1_000_000
    await site.end()
    await site.open()
    await site.python()
    at = f"{site.binaries}/work/in"
    read = await site.gateway.run("read", code=READ, input={"at": at}, artifacts=taken("/work/in", content))
    assert read.output == {
        "sum": result.output,
        "link": "text\n",
        "is_link": True,
        "mode": "0o755",
        "work": ["in"],
    }
    assert site.gateway.blob_requests > 2


async def test_what_came_for_one_attempt_is_not_there_for_the_next(python: Gateway, binaries: Path) -> None:
    content = tree_of(python, binaries)
    code = "import os\ndef main(at): return sorted(os.listdir(at))"
    for place in ("work", "data"):
        given = {"input": {"at": f"{binaries}/{place}"}, "code": code}
        first = await python.run(f"{place}1", artifacts=taken(f"/{place}/in", content), **given)
        assert (first.output, first.next) == (["in"], True)
        assert (await python.run(f"{place}2", **given)).output == []


def tree_of(gateway: Gateway, directory: Path) -> Any:
    """A file as an artifact."""
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(".")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"text"))
    return gateway.content(out.getvalue())


async def test_the_same_tree_has_the_same_digest(container: Gateway) -> None:
    command = "mkdir out; echo b > out/b; echo a > out/a; touch -d @$CITADEL_ATTEMPT out/a"
    for attempt in (1, 2):
        await container.run("make", attempt, command=["sh", "-c", command], artifacts=left(src="/work/out"))
        container.artifacts["make", str(attempt)] = container.artifacts["make", "src"]
    assert container.artifacts["make", "1"] == container.artifacts["make", "2"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("true", "artifact src: /work/out: no such file or directory"),
        ("mkdir out; mkfifo out/p", '"p" is neither a file nor a directory nor a link'),
        ("mkdir out; ln -s /etc/passwd out/p", '"p" is a link that leads out of the tree, to "/etc/passwd"'),
        ("ln -s /etc out", "is a link, expected a file or a directory"),
    ],
)
async def test_what_cannot_be_an_artifact_fails_the_attempt(
    container: Gateway, command: str, words: str
) -> None:
    result = await made(container, command)
    assert result.failure["reason"] == "InvalidOutput"
    assert words in result.failure["message"]


async def test_a_failed_attempt_leaves_nothing(container: Gateway) -> None:
    result = await made(container, "mkdir out; exit 3")
    assert result.failure["message"] == "exit code 3"
    assert container.artifacts == {}


async def test_an_artifact_is_sent_again_when_the_gateway_was_away(container: Gateway) -> None:
    container.refuse["/v1/attempts/make/1/artifacts"] = [503, "Away", 2]
    assert (await made(container)).outcome == "Succeeded"
    assert container.artifacts["make", "src"]["size"] > 3_000_000


async def test_one_that_is_too_large_for_the_gateway_fails_the_attempt(container: Gateway) -> None:
    container.refuse["/v1/attempts/make/1/artifacts"] = [413, "ArtifactTooLarge", 1]
    failure = (await made(container)).failure
    assert failure["reason"] == "ArtifactTooLarge"
    assert failure["message"] == "artifact src: the double says ArtifactTooLarge"


async def test_files_are_there_when_the_code_starts_and_secret_ones_are_masked(python: Gateway) -> None:
    await python.until(lambda: python.public_key)
    box = SealedBox(PublicKey(base64.b64decode(python.public_key)))
    sealed = base64.b64encode(box.encrypt(json.dumps("hunter2-hunter2").encode())).decode()
    code = """
import os
def main():
    print(open("secret/token").read())
    mode = oct(os.stat("conf/a.yaml").st_mode & 0o777)
    return [open("conf/a.yaml").read(), mode, open("secret/token").read()]
"""
    result = await python.run(
        "read",
        code=code,
        files={"/work/conf/a.yaml": "a: ü\n"},
        sealed={"/work/secret/token": {"box": sealed, "secret": True}},
    )
    assert result.output == ["a: ü\n", "0o644", "***"]
    assert await python.log("read") == "***\n"


async def test_a_file_in_the_place_of_another_is_said(python: Gateway, binaries: Path) -> None:
    content = tree_of(python, binaries)
    result = await python.run(
        "read", code="def main(): pass", artifacts=taken("/work/a", content), files={"/work/a": "x"}
    )
    assert result.failure["message"] == 'file /work/a cannot be written: "a": file exists'


async def test_a_blob_that_is_not_to_be_had_fails_its_attempt_and_ends_the_sandbox(python: Gateway) -> None:
    python.refuse["/v1/blobs"] = [403, "NotNamed", 1]
    content = {"digest": "sha256:" + 64 * "0", "size": 1}
    result = await python.run("read", code="def main(): pass", artifacts=taken("/work/a", content))
    assert result.next is False
    assert result.failure["reason"] == "Error"
    assert "the artifact for /work/a: the gateway answered 403 NotNamed" in result.failure["message"]


async def test_large_artifacts_take_no_memory_of_the_runner(site: Site) -> None:
    sandbox = await site.start()
    await made(site.gateway, "head -c 60000000 /dev/zero > out")
    again = taken("/work/in", site.gateway.artifacts["make", "src"])
    result = await site.gateway.run(
        "again", command=["sh", "-c", "stat -c %s in > $CITADEL_OUTPUT"], artifacts=again
    )
    assert result.output == 60_000_000
    assert sandbox.runner_peak() < 40 * 2**20


async def test_a_tree_for_which_there_is_no_room_fails_its_attempt_and_says_what_gives_more(
    site: Site,
) -> None:
    await site.start()
    await made(site.gateway)
    content = site.gateway.artifacts["make", "src"]
    await site.end()
    await site.open()
    await site.language("python", scratch="size=1m")
    result = await site.gateway.run("read", code="def main(): pass", artifacts=taken("/work/in", content))
    assert result.next is False
    assert "no space left on device (files of a sandbox are in memory" in result.failure["message"]
