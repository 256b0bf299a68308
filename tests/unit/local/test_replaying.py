"""Replays of attempts that did not come to their end by themselves."""

from typing import Any

import pytest

from citadel.api.cassette import ModelCall, RecordedAttempt, ToolCall
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.llm import chat
from citadel.local.door import Refused
from citadel.local.replaying import Replay


def question(text: str) -> tuple[chat.Asked, Any]:
    body: Json = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return chat.read(body), body


def recorded(reason: str, *, tools: tuple[ToolCall, ...] = ()) -> Replay:
    """An attempt that was answered once, and failed then."""
    first = ModelCall(digest=question("first")[0].digest, answer={"text": "Hm."})
    return Replay(
        RecordedAttempt(
            step="a", attempt=1, agent={}, models=(first,), tools=tools, status="Failed", reason=reason
        )
    )


async def passed(_: Any) -> None:
    """Takes a piece."""


async def ask_on(replay: Replay) -> Failure:
    """An agent that asks once more than was answered, and fails as it is told."""
    await replay.ask(*question("first"), passed)
    with pytest.raises(Refused) as refused:
        await replay.ask(*question("second"), passed)
    return Failure(refused.value.code, str(refused.value))


@pytest.mark.parametrize(
    "reason", ["ModelUnavailable", "BudgetExceeded", "TurnLimitExceeded", "Timeout", "Cancelled"]
)
async def test_who_was_never_answered_asks_again_and_that_is_the_same(reason: str) -> None:
    replay = recorded(reason)
    replay.ended(await ask_on(replay))
    assert replay.mismatch is None


async def test_who_ended_by_itself_must_not_go_on() -> None:
    replay = recorded("InvalidOutput")
    replay.ended(await ask_on(replay))
    assert (
        replay.mismatch == "model call 2: not in the recording, whose agent made 1 model call and then ended"
    )


async def test_what_it_did_before_must_be_the_same() -> None:
    replay = recorded("Timeout", tools=(ToolCall(tool="t", arguments={}, status="Succeeded"),))
    replay.ended(await ask_on(replay))
    assert replay.mismatch == "tool call 1 of the recording was not made: t {}"


async def test_who_was_cut_off_must_not_succeed_now() -> None:
    replay = recorded("Timeout")
    await replay.ask(*question("first"), passed)
    replay.ended("fine")
    assert replay.mismatch == "it succeeded, expected a failure: Timeout: "
