"""How a log's answer ends: with `end` when it is whole, with a cut connection when the journal went away."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from aiohttp import ClientPayloadError
from aiohttp.test_utils import TestClient, TestServer

from citadel.api.reasons import StepStatus
from citadel.core.events import Finished
from citadel.core.state import State, StepState
from citadel.kube.client import KubeClient
from citadel.store.journal import ExecutionUnknown, Journal, JournalUnavailable, LogChunk
from citadel.store.waking import Waker
from citadel.web.access import Access, Identity
from citadel.web.routes import Routes

PATH = "/api/v1/namespaces/team/executions/e/logs"
CHUNK = LogChunk("a", 1, 0, "stdout", "", "hi\n")


class OneLog:
    """A journal with one execution, whose reads end with an error on demand."""

    def __init__(self, state: State | None) -> None:
        self.state = state
        self.chunk = CHUNK
        self.reads_until_away = 1000

    async def read(self, uid: str) -> State:
        self.reads_until_away -= 1
        if self.reads_until_away < 0:
            raise JournalUnavailable("away")
        if self.state is None:
            raise ExecutionUnknown(uid)
        return self.state

    async def logs(self, uid: str, after: Mapping[tuple[str, int], int], limit: int) -> list[LogChunk]:
        return [] if (self.chunk.step, 1) in after else [self.chunk]


class Everything:
    """A cluster where every Execution exists, and everybody may read it."""

    async def get(self, *_: Any) -> dict[str, Any]:
        return {"metadata": {"uid": "u1"}}

    async def identity(self, *_: Any) -> Identity:
        return Identity("jane", ())

    async def require(self, *_: Any) -> None:
        return None


def state(*, finished: bool, sandbox: str | None = None) -> State:
    step = StepState(StepStatus.SUCCEEDED, 1, sandbox=sandbox, finished_at=1.0)
    end = Finished("Succeeded", "Completed", "")
    return State(steps={"a": step}, finished=end if finished else None)


@pytest.fixture
async def journal() -> OneLog:
    return OneLog(state(finished=True, sandbox="s"))


@pytest.fixture
async def client(journal: OneLog) -> AsyncIterator[TestClient[Any, Any]]:
    cluster = Everything()
    routes = Routes(
        cast("KubeClient", cluster),
        cast("Journal", journal),
        cast("Access", cluster),
        Waker(),
        None,
        None,
        None,
        None,
        None,
        None,
    )
    async with TestClient(TestServer(routes.app())) as client:
        yield client


async def test_a_log_that_is_whole_ends_with_end_though_a_silent_attempt_left_no_mark(
    client: TestClient[Any, Any],
) -> None:
    text = await (await client.get(PATH, params={"follow": "true"})).text()
    assert text.startswith("event: log\ndata: {")
    assert text.endswith("event: end\ndata: {}\n\n")


async def test_an_execution_that_has_not_started_has_no_log(
    client: TestClient[Any, Any], journal: OneLog
) -> None:
    journal.state = None
    answer = await client.get(PATH)
    assert (answer.status, await answer.text()) == (
        404,
        "Execution e has not started, or the journal keeps it no longer",
    )


@pytest.mark.parametrize(
    ("asked", "shown"),
    [("fix", True), ("fix[2]", True), ("fix[2].write", True), ("fix.write", True), ("fix[1]", False)],
)
async def test_a_step_is_named_as_one_turn_or_as_it_is_defined(
    client: TestClient[Any, Any], journal: OneLog, asked: str, shown: bool
) -> None:
    journal.chunk = replace(CHUNK, step="fix[2].write")
    ended = StepState(StepStatus.SUCCEEDED, 1, sandbox="s", finished_at=1.0)
    names = ("fix", "fix[1]", "fix[2]", "fix[2].write", "fix.write")
    journal.state = State(steps=dict.fromkeys(names, ended), finished=Finished("Succeeded", "", ""))
    text = await (await client.get(PATH, params={"step": asked})).text()
    assert ("event: log" in text) is shown


async def test_a_step_that_is_not_there_is_named(client: TestClient[Any, Any]) -> None:
    answer = await client.get(PATH, params={"step": "nope"})
    assert (answer.status, await answer.text()) == (
        404,
        "step: found 'nope', expected a step of this workflow",
    )


async def test_a_journal_that_goes_away_cuts_the_answer(
    client: TestClient[Any, Any], journal: OneLog
) -> None:
    journal.reads_until_away = 1
    answer = await client.get(PATH)
    assert answer.status == 200
    with pytest.raises(ClientPayloadError):
        await answer.text()
