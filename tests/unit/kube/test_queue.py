"""The work queue on a clock that the tests move: order, deduplication, backoff, and who may hold up whom."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.kube.queue import Pace, WorkQueue


class Clock:
    """A timer that stands still until told to move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[Call] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[Any], object], key: Any) -> "Call":
        call = Call(self.now + delay, callback, key)
        self.calls.append(call)
        return call

    @property
    def due(self) -> list[float]:
        return sorted(call.at for call in self.calls if not call.cancelled)

    def move(self, to: float) -> None:
        while self.due and self.due[0] <= to:
            call = min((call for call in self.calls if not call.cancelled), key=lambda call: call.at)
            self.calls.remove(call)
            self.now = call.at
            call.callback(call.key)
        self.now = to


@dataclass
class Call:
    at: float
    callback: Callable[[Any], object]
    key: Any
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Work:
    """A handler that notes its calls, fails or asks to come back as told, and can be held."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.done: list[str] = []
        self.times: list[float] = []
        self.active: set[str] = set()
        self.overlaps: list[str] = []
        self.most = 0
        self.failing: set[str] = set()
        self.again: dict[str, float] = {}
        self.gates: dict[str, asyncio.Event] = {}

    async def __call__(self, key: str) -> float | None:
        if key in self.active:
            self.overlaps.append(key)
        self.active.add(key)
        self.most = max(self.most, len(self.active))
        self.done.append(key)
        self.times.append(self.clock.now)
        try:
            await asyncio.sleep(0)
            if key in self.gates:
                await self.gates[key].wait()
            if key in self.failing:
                raise RuntimeError(key)
            return self.again.get(key)
        finally:
            self.active.discard(key)


def queue_of(work: Callable[[str], Awaitable[float | None]], clock: Clock, **pace: Any) -> WorkQueue[str]:
    queue = WorkQueue("test", work, pace=Pace(**pace), timer=clock)
    queue.start()
    return queue


async def turns(count: int = 20) -> None:
    """Let everything that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_waiting_key_is_worked_on_once_however_often_it_is_added() -> None:
    work = Work()
    queue: WorkQueue[str] = WorkQueue("test", work, timer=work.clock)
    for key in "abacab":
        queue.add(key)
    assert queue.depth == 3
    queue.start()
    await queue.drained()
    assert work.done == ["a", "b", "c"]


async def test_a_key_added_while_in_work_is_worked_on_once_more_afterwards() -> None:
    work = Work()
    work.gates["a"] = asyncio.Event()
    queue = queue_of(work, work.clock)
    queue.add("a")
    await turns()
    for _ in range(5):
        queue.add("a")
    await turns()
    assert work.done == ["a"]
    work.gates["a"].set()
    await queue.drained()
    assert (work.done, work.overlaps) == (["a", "a"], [])


async def test_no_more_keys_are_in_work_than_there_are_workers() -> None:
    work = Work()
    queue = queue_of(work, work.clock, workers=3)
    for number in range(20):
        queue.add(str(number))
    await queue.drained()
    assert (work.most, len(work.done)) == (3, 20)
    assert work.done == [str(number) for number in range(20)]


async def test_a_failing_key_comes_back_ever_later_and_a_success_forgives() -> None:
    work = Work()
    work.failing.add("a")
    queue = queue_of(work, work.clock, first=0.1, longest=1.0)
    queue.add("a")
    await queue.drained()
    for _ in range(5):
        work.clock.move(work.clock.due[0])
        await queue.drained()
    gaps = [round(later - earlier, 6) for earlier, later in zip(work.times, work.times[1:], strict=False)]
    assert gaps == [0.1, 0.2, 0.4, 0.8, 1.0]
    work.failing.clear()
    work.clock.move(work.clock.due[0])
    await queue.drained()
    assert work.clock.due == []
    work.failing.add("a")
    queue.add("a")
    await queue.drained()
    assert work.clock.due == [pytest.approx(work.clock.now + 0.1)]


async def test_an_edit_hurries_a_failing_key_but_never_makes_it_spin() -> None:
    work = Work()
    work.failing.add("a")
    queue = queue_of(work, work.clock, first=30, hurry=1)
    queue.add("a")
    await queue.drained()
    for _ in range(100):
        queue.add("a")
        await queue.drained()
    assert work.done == ["a"]
    assert work.clock.due == [1.0]
    work.clock.move(1.0)
    await queue.drained()
    assert work.done == ["a", "a"]


async def test_a_failing_key_that_was_added_meanwhile_does_not_spin_either() -> None:
    work = Work()
    work.failing.add("a")
    queue: WorkQueue[str]

    async def write_and_fail(key: str) -> float | None:
        queue.add(key)  # as the event of its own status write would
        return await work(key)

    queue = queue_of(write_and_fail, work.clock, first=30, hurry=1)
    queue.add("a")
    await queue.drained()
    assert (work.done, work.clock.due) == (["a"], [1.0])


async def test_poison_keys_do_not_stop_the_others() -> None:
    work = Work()
    work.failing |= {f"bad{number}" for number in range(8)}
    queue = queue_of(work, work.clock, workers=2)
    for number in range(8):
        queue.add(f"bad{number}")
        queue.add(f"good{number}")
    await queue.drained()
    assert {key for key in work.done if key.startswith("good")} == {f"good{number}" for number in range(8)}
    assert len(work.clock.due) == 8


async def test_a_hanging_key_is_ended_and_counts_as_failed() -> None:
    work = Work()
    work.gates["a"] = asyncio.Event()
    queue = queue_of(work, work.clock, workers=1, hang=0.01)
    queue.add("a")
    queue.add("b")
    await queue.drained()
    assert work.done == ["a", "b"]
    assert work.clock.due == [0.1]


async def test_a_handler_says_when_to_come_back() -> None:
    work = Work()
    work.again["a"] = 5.0
    queue = queue_of(work, work.clock)
    queue.add("a")
    await queue.drained()
    work.clock.move(4.9)
    await queue.drained()
    assert work.done == ["a"]
    work.clock.move(5.0)
    await queue.drained()
    assert work.done == ["a", "a"]


@pytest.mark.parametrize(
    ("wishes", "due"), [([3, 5], [3]), ([5, 3], [3]), ([0], []), ([-1], []), ([5, 0], [])]
)
async def test_of_several_later_wishes_the_earliest_counts(wishes: list[float], due: list[float]) -> None:
    work = Work()
    queue = queue_of(work, work.clock)
    for seconds in wishes:
        queue.add_after("a", seconds)
    await queue.drained()
    assert work.clock.due == due
    assert work.done == ([] if due else ["a"])


async def test_a_forgotten_key_has_no_later_calls_and_no_backoff() -> None:
    work = Work()
    work.failing.add("a")
    queue = queue_of(work, work.clock)
    queue.add("a")
    await queue.drained()
    queue.forget("a")
    assert work.clock.due == []
    queue.add("a")
    await queue.drained()
    assert work.done == ["a", "a"]


async def test_stopping_waits_for_the_work_in_progress_and_starts_nothing_new() -> None:
    work = Work()
    work.gates["a"] = asyncio.Event()
    queue = queue_of(work, work.clock, workers=1)
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 1)
    await turns()
    stopping = asyncio.create_task(queue.stop())
    await turns()
    assert not stopping.done()
    work.gates["a"].set()
    await stopping
    assert work.done == ["a"]
    assert work.clock.due == []


async def test_stopping_cancels_what_does_not_end_in_time() -> None:
    work = Work()
    work.gates["a"] = asyncio.Event()
    queue = queue_of(work, work.clock)
    queue.add("a")
    await turns()
    await queue.stop(grace=0)
    assert work.active == set()


async def test_depth_waits_and_failures_are_counted() -> None:
    class Counts:
        def __init__(self) -> None:
            self.depths: list[int] = []
            self.runs: list[tuple[float, float, bool]] = []

        def queue_depth(self, queue: str, depth: int) -> None:
            self.depths.append(depth)

        def queue_done(self, queue: str, waited: float, worked: float, failed: bool) -> None:
            self.runs.append((waited, worked, failed))

    work, counts = Work(), Counts()
    work.failing.add("b")
    queue: WorkQueue[str] = WorkQueue("test", work, pace=Pace(workers=1), timer=work.clock, metrics=counts)
    queue.add("a")
    queue.add("b")
    work.clock.now = 2.0
    queue.start()
    await queue.drained()
    assert max(counts.depths) == 2
    assert counts.depths[-1] == 0
    assert counts.runs == [(2.0, 0.0, False), (2.0, 0.0, True)]


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "later", "move", "run", "fail"]), st.sampled_from("abcd")),
        max_size=40,
    )
)
async def test_every_wish_is_served_after_it_was_made_and_never_twice_at_once(
    steps: list[tuple[str, str]],
) -> None:
    work = Work()
    queue = queue_of(work, work.clock, workers=2)
    owed: dict[str, int] = {}
    for step, key in steps:
        if step == "add":
            owed[key] = len(work.done)
            queue.add(key)
        elif step == "later":
            owed[key] = len(work.done)
            queue.add_after(key, 3)
        elif step == "move":
            work.clock.move(work.clock.now + 1)
        elif step == "fail":
            work.failing ^= {key}
        else:
            await turns(2)
    work.failing.clear()
    await queue.drained()
    while work.clock.due:
        work.clock.move(work.clock.due[0])
        await queue.drained()
    assert all(key in work.done[before:] for key, before in owed.items())
    assert work.overlaps == []
