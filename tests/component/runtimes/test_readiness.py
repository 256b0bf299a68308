"""Harnesses say when no attempt need wait; that of Python rehearses before what modules have for it."""

import asyncio
import contextlib
import importlib.util
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from component.runtimes.conftest import RUNTIMES, Site

HARNESS = RUNTIMES / "python" / "harness.py"
STARTED = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
#: Longer than a busy machine takes, and shorter than a pool's member is held back that never tells.
SOON = 20
REHEARSED = """
import os
seen, made = [], None
def citadel_rehearse():
    global made
    made = [object()]
    seen.append(os.getpid())
    with open(os.path.join(os.path.dirname(__file__), "rehearsed"), "a") as file:
        file.write(".")
"""
#: Rehearsals of the interpreter, and of the fork that waits until all is imported.
BEFORE_READY = 2
ASK = """
def main():
    import gc, mine, os
    looked_at = any(found is mine.made for found in gc.get_objects())
    return [mine.seen[-1] == os.getpid(), len(mine.seen), looked_at]
"""


class Harness:
    """One that is spoken with as the shim does."""

    def __init__(self, folder: Path, *preload: str) -> None:
        self.channel, theirs = socket.socketpair()
        command = [sys.executable, "-S", "-B", "-X", "utf8", str(HARNESS)]
        environment = {**os.environ, "PYTHONPATH": str(folder), "CITADEL_PRELOAD": ",".join(preload)}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", STARTED, str(theirs.fileno()), *command],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
            )
        self.said = ""

    def line(self) -> str:
        """The next that it says."""
        while "\n" not in self.said:
            assert select.select([self.channel], [], [], SOON)[0], "it says nothing"
            data = self.channel.recv(4096)
            assert data, "it has ended"
            self.said += data.decode()
        line, _, self.said = self.said.partition("\n")
        return line

    def has_spoken(self) -> bool:
        return bool(self.said or select.select([self.channel], [], [], 0)[0])

    def send(self, code: str) -> int:
        """Sends an attempt; where its result will be."""
        request = os.memfd_create("request")
        os.write(request, json.dumps({"step": "s", "attempt": 1, "code": code, "input": {}}).encode())
        os.lseek(request, 0, os.SEEK_SET)
        reading, writing = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        socket.send_fds(self.channel, [b"R"], [request, null, null, writing])
        for descriptor in (request, null, writing):
            os.close(descriptor)
        return reading

    def output(self, result: int) -> Any:
        """What an attempt gave."""
        with os.fdopen(result, "rb") as file:
            assert select.select([file], [], [], SOON)[0], "the attempt does not end"
            said = file.read()
        assert said[:1] == b"S", said
        return json.loads(said[1:])

    def end(self) -> tuple[int, str, str]:
        """Its exit code when its channel closes, and what it printed."""
        self.channel.close()
        out, err = self.process.communicate(timeout=SOON)
        return self.process.returncode, out.decode(), err.decode()


Start = Callable[..., Harness]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a harness that imports these modules ahead, from the test's folder."""
    with contextlib.ExitStack() as ending:

        def start(*preload: str) -> Harness:
            harness = Harness(tmp_path, *preload)
            ending.callback(harness.process.communicate)
            ending.callback(harness.process.kill)
            ending.callback(harness.channel.close)
            return harness

        yield start


@pytest.fixture
def gate(tmp_path: Path) -> Callable[[], Any]:
    """A module `gate`, whose import waits until what this returns, when the import has begun, is closed."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "gate.py").write_text(f"open({str(tmp_path / 'fifo')!r}).read()\n")
    return lambda: (tmp_path / "fifo").open("w")


async def rehearsed(folder: Path, times: int) -> None:
    """Waits until the module has rehearsed so many times."""
    found = folder / "rehearsed"
    async with asyncio.timeout(SOON):
        while not found.exists() or found.stat().st_size < times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def warm() -> list[str]:
    """What the harness imports while nobody waits."""
    spec = importlib.util.spec_from_file_location("harness_read", HARNESS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.WARM)


def test_it_is_ready_once_and_not_before_all_is_imported(start: Start, gate: Callable[[], Any]) -> None:
    harness = start("gate")
    with gate():
        assert not harness.has_spoken()
    assert harness.line() == "ready"
    loaded = f"def main():\n import sys\n return sorted(set({warm()!r}) - sys.modules.keys())"
    for _ in range(2):
        assert harness.output(harness.send(loaded)) == []
        assert harness.line() == "exited 0"
        harness.channel.sendall(b"N")
    assert not harness.has_spoken()


def test_an_attempt_that_comes_before_it_is_ready_is_run(start: Start, gate: Callable[[], Any]) -> None:
    harness = start("gate")
    with gate():
        result = harness.send("def main(): return 1")
    said = []
    for number in (1, 2, 3):
        assert harness.output(result) == number
        while not said or said[-1] != "exited 0" or said.count("exited 0") < number:
            said.append(harness.line())
        harness.channel.sendall(b"N")
        while number == 2 and "ready" not in said:
            said.append(harness.line())
        result = harness.send(f"def main(): return {number + 1}")
    assert said.count("ready") == 1


async def test_each_fork_that_waits_rehearses_and_knows_of_no_other_that_did(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(REHEARSED)
    harness = start("mine")
    assert harness.line() == "ready"
    for forks in (1, 2):
        await rehearsed(tmp_path, BEFORE_READY + forks)
        # Its own rehearsal and that of the interpreter; nothing of it is what a collection looks at.
        assert harness.output(harness.send(ASK)) == [True, 2, False]
        assert harness.line() == "exited 0"
        harness.channel.sendall(b"N")


def test_a_fork_whose_attempt_waits_already_does_not_rehearse(
    start: Start, gate: Callable[[], Any], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(REHEARSED)
    harness = start("mine", "gate")
    with gate():
        result = harness.send(ASK)
    assert harness.output(result) == [False, 1, False]


async def test_a_rehearsal_that_fails_is_told_and_keeps_nobody_from_working(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text("def citadel_rehearse(): raise ValueError('no way')\n")
    (tmp_path / "mine.py").write_text(REHEARSED)
    harness = start("bad", "nosuchmodule", "mine")
    assert harness.line() == "ready"
    await rehearsed(tmp_path, BEFORE_READY + 1)
    assert harness.output(harness.send(ASK)) == [True, 2, False]
    assert harness.line() == "exited 0"
    code, _, stderr = harness.end()
    assert code == 0
    assert stderr.splitlines() == ["harness: bad: ValueError: no way"]


@pytest.mark.parametrize("everything", [False, True], ids=["much is left to import", "nothing is left"])
def test_a_harness_that_nobody_needs_any_more_ends_without_a_word(
    start: Start, gate: Callable[[], Any], everything: bool
) -> None:
    harness = start("gate", *(warm() if everything else ()))
    with gate():
        harness.channel.close()
    assert harness.end() == (0, "", "")


@pytest.mark.parametrize("language", ["python", "javascript", "container"])
async def test_a_member_of_a_pool_reports_as_soon_as_it_is_ready(site: Site, language: str) -> None:
    site.gateway.member = True
    await site.language(language)
    await site.gateway.until(lambda: site.gateway.isolations, SOON)
    assert site.gateway.isolations == [{"permitted": True, "answered": ["apiserver"]}]
