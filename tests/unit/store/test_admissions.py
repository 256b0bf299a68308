"""Whose turn it is, beside a queue that anybody can follow by hand: random arrivals, ends, pauses, limits."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import build
from citadel.core import events as ev
from citadel.store.memory import MemoryJournal


@dataclass
class Oracle:
    """A list of those who wait, and a set of those who run."""

    limits: dict[str, int] = field(default_factory=dict)
    since: dict[str, tuple[int, int]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)

    def settle(self) -> None:
        """The first that is not suspended begins, as long as its limit has room."""
        while True:
            able = [uid for uid in self.waiting if uid not in self.suspended]
            able.sort(key=self.since.__getitem__)
            if not able or len(self.running) >= self.limits[able[0]]:
                return
            self.waiting.remove(able[0])
            self.running.add(able[0])


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("arrives"), st.integers(1, 3), st.integers(0, 3)),
        st.tuples(st.sampled_from(["ends", "pauses", "goes on"]), st.integers(0, 20), st.just(0)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(MOVES)
def test_the_same_run_as_in_a_queue_kept_by_hand(moves: list[tuple[str, int, int]]) -> None:
    asyncio.run(_compare(moves))


async def _compare(moves: list[tuple[str, int, int]]) -> None:
    now = 1000.0
    journal, oracle = MemoryJournal(lambda: now), Oracle()
    generation = 1
    for what, number, since in moves:
        now += 1
        generation += 1
        known = [*oracle.waiting, *sorted(oracle.running)]
        if what == "arrives":
            uid = f"u{len(oracle.limits)}"
            oracle.limits[uid], oracle.since[uid] = number, (since, int(now))
            oracle.waiting.append(uid)
            await _arrive(journal, uid, number, float(since))
        elif known:
            uid = known[number % len(known)]
            await journal.advance(uid, [_fact(what, generation)])
            if what == "ends":
                oracle.running.discard(uid)
                oracle.waiting = [other for other in oracle.waiting if other != uid]
            elif what == "pauses":
                oracle.suspended.add(uid)
            else:
                oracle.suspended.discard(uid)
        oracle.settle()
        while await journal.due(10):
            pass
        states = {uid: await journal.read(uid) for uid in oracle.limits}
        live = {uid: state.admission for uid, state in states.items() if state.finished is None}
        assert {uid for uid, found in live.items() if found and found.admitted_at} == oracle.running


async def _arrive(journal: MemoryJournal, uid: str, limit: int, since: float) -> None:
    doc: Any = build.chain(1)
    doc["spec"]["concurrency"] = {"limit": limit}
    created = build.created(uid, doc)
    fact = ev.Created(**{**created.__dict__, "since": since})
    await journal.advance(uid, [fact], definition=doc)


def _fact(what: str, generation: int) -> ev.Event:
    if what == "ends":
        return ev.StopRequested("Terminate", "Terminated", "over")
    return ev.SuspendChanged(what == "pauses", generation)
