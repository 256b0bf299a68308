"""Interpreters of agents are kept from one attempt to the next while they are of use, and no longer."""

import asyncio
import gc
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from citadel.core.dispatch import Dispatch
from citadel.local.artifacts import Parcels
from citadel.local.building import Programs
from citadel.local.capture import Output
from citadel.local.isolation import Isolation
from citadel.local.languages import Python
from citadel.local.lending import Kept, Lent
from citadel.local.sandbox import LocalSandbox
from citadel.local.sandboxes import SandboxEnded

#: Who has forked it; what it leaves there the next attempt must not find.
PARENT = "import os, json\ndef main():\n    json.left = True\n    return os.getppid()"
LEFT = "import json\ndef main():\n    return hasattr(json, 'left')"
KILLS = "import os\ndef main():\n    os.kill(os.getppid(), 9)"


class Lending:
    """Sandboxes of Python, without isolation: its interpreters are processes of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.kept = folder, Kept()

    def lend(self) -> Lent:
        programs = Programs(self._folder / "programs")
        return Lent(self.kept, lambda: LocalSandbox(Python(), programs, Isolation()))

    async def run(self, sandbox: Lent, code: str) -> Any:
        given = Dispatch("a", 1, 1, code, {}, {}, {}, 20.0)
        parcels = Parcels(self._folder, given, {})
        return await sandbox.run(given, {}, parcels, Output(lambda stream, line: None))

    async def attempt(self, code: str) -> Any:
        """An attempt in a sandbox of its own."""
        sandbox = self.lend()
        try:
            await sandbox.start()
            return await self.run(sandbox, code)
        finally:
            sandbox.close()


@pytest.fixture
def lending(tmp_path: Path) -> Lending:
    return Lending(tmp_path)


async def gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while Path(f"/proc/{pid}").exists():  # noqa: ASYNC110, ASYNC240 - nobody tells
            await asyncio.sleep(0.01)


async def test_the_next_attempt_has_the_interpreter_of_the_last_and_nothing_that_it_left(
    lending: Lending,
) -> None:
    first = await lending.attempt(PARENT)
    assert await lending.attempt(PARENT) == first
    assert await lending.attempt(LEFT) is False


async def test_attempts_at_the_same_time_have_one_each(lending: Lending) -> None:
    both = await asyncio.gather(lending.attempt(PARENT), lending.attempt(PARENT))
    assert len(set(both)) == 2


async def test_one_that_ended_while_it_waited_is_not_given_to_anybody(lending: Lending) -> None:
    first = await lending.attempt(PARENT)
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(20):
        while ") Z " not in Path(f"/proc/{first}/stat").read_text():  # noqa: ASYNC110, ASYNC240 - nobody tells
            await asyncio.sleep(0.01)
    assert await lending.attempt(PARENT) not in (first, None)


async def test_one_that_its_attempt_has_ended_is_not_kept(lending: Lending) -> None:
    with pytest.raises(SandboxEnded):
        await lending.attempt(KILLS)
    assert await lending.attempt(LEFT) is False


async def test_one_whose_attempt_was_given_up_is_not_kept(lending: Lending) -> None:
    parent = await lending.attempt(PARENT)
    sandbox = lending.lend()
    await sandbox.start()
    waits = asyncio.create_task(lending.run(sandbox, "import time\ndef main():\n    time.sleep(60)"))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    sandbox.close()
    await gone(parent)


async def test_they_end_with_who_keeps_them(lending: Lending) -> None:
    parent = await lending.attempt(PARENT)
    del lending.kept
    gc.collect()
    await gone(parent)
