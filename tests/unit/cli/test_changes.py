"""The steps of an execution as they change, and of those within it: which of them are followed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from citadel.cli.changes import MOST_WITHIN, Steps
from citadel.cli.following import view_of
from citadel.cli.remote import Refused


class FakeApi:
    """An api whose executions tell what they are given to tell."""

    def __init__(self) -> None:
        self._told: dict[str, asyncio.Queue[Any]] = {}
        self.opened: list[str] = []
        self.gone: set[str] = set()

    def tell(self, name: str, *steps: dict[str, Any], end: bool = False, **more: Any) -> None:
        queue = self._told.setdefault(name, asyncio.Queue())
        queue.put_nowait({"steps": steps, **more})
        if end:
            queue.put_nowait(None)

    @asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[Any]:
        name = path.removesuffix("/changes")
        self.opened.append(name)
        if name in self.gone:
            raise Refused(f"Execution {name} does not exist")
        yield FakeAnswer(self._told.setdefault(name, asyncio.Queue()))


class FakeAnswer:
    def __init__(self, told: "asyncio.Queue[Any]") -> None:
        self._told = told
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        while (view := await self._told.get()) is not None:
            yield f"event: changes\ndata: {json.dumps(view)}\n\n".encode()
        yield b"event: end\ndata: {}\n\n"


def call(number: int, status: str = "Waiting", execution: str | None = None) -> dict[str, Any]:
    return {"name": f"call[{number}]", "status": status, "execution": execution or f"e-{number}"}


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def steps(api: FakeApi, depth: int = 1) -> Steps:
    return Steps(api, "e", depth, asyncio.Event())  # type: ignore[arg-type]


async def test_of_very_many_within_some_are_followed_and_others_when_these_have_ended(api: FakeApi) -> None:
    found = steps(api)
    following = asyncio.create_task(found.follow())
    many = range(MOST_WITHIN + 5)
    api.tell("e", *(call(number) for number in many))
    await settled()
    assert api.opened == ["e", *(f"e-{number}" for number in range(MOST_WITHIN))]
    for number in (0, 1, 2):
        api.tell(f"e-{number}", {"name": "a", "status": "Succeeded"}, end=True)
    await settled()
    api.tell("e", call(0, "Succeeded"), call(20, "Succeeded"))
    await settled()
    assert api.opened[-3:] == ["e-21", "e-22", "e-23"]
    assert found.tree.get("call[0]/a") is not None
    following.cancel()


async def test_another_attempt_takes_the_place_of_the_one_before(api: FakeApi) -> None:
    found = steps(api)
    following = asyncio.create_task(found.follow())
    api.tell("e", call(0))
    api.tell("e-0", {"name": "a", "status": "Running"}, {"name": "a.b", "status": "Running"})
    await settled()
    assert [row.name for row in found.tree] == ["call[0]", "call[0]/a", "call[0]/a.b"]
    api.tell("e", call(0, "BackingOff", "again"))
    api.tell("again", {"name": "a", "status": "Ready"})
    await settled()
    assert [(row.name, row.status) for row in found.tree] == [
        ("call[0]", "BackingOff"),
        ("call[0]/a", "Ready"),
    ]
    following.cancel()


async def test_one_that_is_gone_is_left_out(api: FakeApi) -> None:
    api.gone = {"e-0"}
    found = steps(api)
    api.tell("e", call(0, "Failed"), end=True)
    await found.follow()
    assert [row.name for row in found.tree] == ["call[0]"]


async def test_as_deep_as_is_asked(api: FakeApi) -> None:
    found = steps(api, depth=0)
    api.tell("e", call(0), end=True)
    await found.follow()
    assert api.opened == ["e"]


async def test_durations_are_by_the_clock_that_the_times_are_of(api: FakeApi) -> None:
    found = steps(api)
    there = time.time() + 3600
    api.tell("e", {"name": "a", "status": "Running", "startedAt": there - 30}, now=there - 5)
    api.tell("e", now=there, end=True)
    await found.follow()
    view = view_of({"metadata": {"name": "e"}}, found.head, found)
    assert view.ahead == pytest.approx(3600, abs=2)
    (row,) = view.steps
    assert row.started is not None
    assert view.now - row.started == pytest.approx(30, abs=2)
    assert view_of({"metadata": {"name": "e"}}).ahead == 0
