"""Breakers: who fails again and again is left alone, and asked again by one call."""

from contextlib import suppress

import pytest

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.llm.breaking import FAILURES, PAUSE_SECONDS, Breakers, Open
from citadel.llm.provider import ProviderError

SPEC = ModelSpec.model_validate({"provider": "openai", "model": "m"})
NOBODY = ProviderError(Reason.MODEL_UNAVAILABLE, "status 503")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(breakers: Breakers, fails: BaseException | None = None, spec: ModelSpec = SPEC) -> None:
    """One call, whose own failure is no concern of the test."""
    with suppress(*([type(fails)] if fails else [])), breakers.asking("team/m", spec):
        if fails is not None:
            raise fails


def opened(clock: Clock) -> Breakers:
    breakers = Breakers(clock)
    for _ in range(FAILURES):
        ask(breakers, NOBODY)
    return breakers


def test_a_model_that_fails_again_and_again_is_left_alone_and_says_for_how_long() -> None:
    clock = Clock()
    breakers = opened(clock)
    clock.now += 10
    with pytest.raises(
        Open, match="left alone after 5 failures one after another, asked again in 20s"
    ) as told:
        ask(breakers)
    assert (told.value.passes, told.value.sent, told.value.retry_after) == (True, False, 20)
    assert breakers.open == 1
    with breakers.asking("team/other", SPEC):
        pass


def test_an_answer_between_makes_it_count_anew() -> None:
    breakers = Breakers(Clock())
    for _ in range(3):
        for _ in range(FAILURES - 1):
            ask(breakers, NOBODY)
        ask(breakers)
    assert breakers.open == 0


def test_one_call_decides_after_the_pause() -> None:
    clock = Clock()
    breakers = opened(clock)
    clock.now += PAUSE_SECONDS
    with breakers.asking("team/m", SPEC), pytest.raises(Open):
        ask(breakers)
    ask(breakers)
    assert breakers.open == 0


def test_a_probe_that_fails_opens_it_again_and_one_that_is_given_up_decides_nothing() -> None:
    clock = Clock()
    breakers = opened(clock)
    clock.now += PAUSE_SECONDS
    ask(breakers, NOBODY)
    with pytest.raises(Open):
        ask(breakers)
    clock.now += PAUSE_SECONDS
    ask(breakers, KeyboardInterrupt())
    assert breakers.open == 1
    ask(breakers)
    assert breakers.open == 0


@pytest.mark.parametrize(
    "error",
    [ProviderError(Reason.RATE_LIMITED, "status 429"), ProviderError(Reason.MODEL_ERROR, "status 400")],
)
def test_limits_and_refusals_are_no_such_failures(error: ProviderError) -> None:
    breakers = Breakers(Clock())
    for _ in range(3 * FAILURES):
        ask(breakers, error)
    assert breakers.open == 0


def test_a_script_follows_from_itself_alone_and_another_endpoint_begins_anew() -> None:
    breakers = opened(Clock())
    scripted = ModelSpec.model_validate({"provider": "scripted", "script": [{"text": "x"}]})
    for _ in range(3 * FAILURES):
        ask(breakers, NOBODY, scripted)
    elsewhere = {"provider": "openai", "model": "m", "endpoint": "https://other.example.com"}
    ask(breakers, None, ModelSpec.model_validate(elsewhere))
    assert breakers.open == 1
