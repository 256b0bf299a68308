"""Waking those who wait: for what they do not know yet."""

import pytest

from citadel.store.journal import Notice
from citadel.store.waking import Waker, steps_of

NEWS = {
    "of an event that is not known": (Notice("execution", "u", 6), True),
    "of progress that is not known": (Notice("progress", "u", 6), True),
    "of the last event that is known": (Notice("execution", "u", 5), False),
    "of an older one": (Notice("progress", "u", 4), False),
    "that does not say how far it goes": (Notice("execution", "u"), True),
    "of another execution": (Notice("execution", "other", 6), False),
    "of something else": (Notice("log", "u"), False),
}


@pytest.mark.parametrize("told", NEWS)
async def test_a_wait_is_ended_by_news(told: str) -> None:
    waker = Waker()
    expected = waker.expect(*steps_of("u"))
    expected.known = 5
    notice, ends = NEWS[told]
    waker.take(notice)
    assert await expected.met(0) is ends


async def test_what_is_told_before_the_wait_ends_it_too() -> None:
    waker = Waker()
    expected = waker.expect(*steps_of("u"))
    waker.take(Notice("execution", "u", 1))
    assert await expected.met(0)


async def test_each_who_waits_knows_something_else() -> None:
    waker = Waker()
    behind, ahead = waker.expect("execution u"), waker.expect("execution u")
    behind.known, ahead.known = 3, 7
    waker.take(Notice("execution", "u", 5))
    waker.take(Notice("execution", "u", 6))
    assert await behind.met(0)
    assert not await ahead.met(0)


async def test_of_waits_that_are_over_nothing_is_left() -> None:
    waker = Waker()
    expected = waker.expect("execution u", "log u")
    await expected.met(0)
    expected.close()
    waker.take(Notice("execution", "u", 1))
    assert not waker._waiting
