"""The clock that leaps: no time passes while everybody waits, and none is left out while somebody works."""

import asyncio
import time

import pytest

from citadel.local.clocks import Bell, Clock, LeapingClock, Stuck

YEAR = 365 * 24 * 3600.0


async def test_it_leaps_to_the_next_time_that_anybody_waits_for() -> None:
    clock, woken = LeapingClock(), []

    async def wait(seconds: float) -> None:
        assert not await clock.wait(Bell(), begun + seconds)
        woken.append((seconds, clock.time() >= begun + seconds))
        clock.end()

    begun = clock.time()
    real = time.monotonic()
    for _ in range(3):
        clock.begin()
    await asyncio.gather(*(wait(seconds) for seconds in (2 * YEAR, 60.0, YEAR)))
    assert woken == [(60.0, True), (YEAR, True), (2 * YEAR, True)]
    assert time.monotonic() - real < 5


async def test_while_somebody_works_time_passes_as_it_does() -> None:
    clock, bell = LeapingClock(), Bell()
    clock.begin()
    clock.begin()  # one who works, and waits for nothing
    before = clock.time()
    waiting = asyncio.ensure_future(clock.wait(bell, before + YEAR))
    assert not await clock.wait(Bell(), before + 0.01)
    assert not waiting.done()
    assert clock.time() - before < YEAR
    clock.end()
    assert not await waiting
    assert clock.time() - before >= YEAR


async def test_who_was_woken_is_at_work_before_the_clock_leaps() -> None:
    clock, bell = LeapingClock(), Bell()
    clock.begin()
    clock.begin()

    async def work() -> None:
        before = clock.time()
        assert await clock.wait(bell, before + YEAR)
        assert clock.time() - before < YEAR
        clock.end()

    working = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    bell.ring()
    clock.end()
    await working


@pytest.mark.parametrize("clock", [Clock(), LeapingClock()])
async def test_a_time_that_has_passed_is_not_waited_for(clock: Clock) -> None:
    clock.begin()
    assert not await clock.wait(Bell(), clock.time() - 1)


async def test_who_waits_for_each_other_is_told_so() -> None:
    clock = LeapingClock()
    clock.begin()
    clock.begin()
    waiting = asyncio.ensure_future(clock.wait(Bell()))
    with pytest.raises(Stuck, match="nothing is left that could come"):
        await clock.wait(Bell())
    with pytest.raises(Stuck):
        await waiting


async def test_it_begins_when_it_is_told_to() -> None:
    assert 0 <= LeapingClock(1e9).time() - 1e9 < 60
