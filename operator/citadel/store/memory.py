"""The journal in memory: for the local runner, and for tests of what stands on one. Ends with its process.

It does what the databases do, by the same pure functions, and imports none of them.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from citadel.core import events as ev
from citadel.core.advance import Outcome
from citadel.core.decide import wake_at
from citadel.core.jsonvalues import Json
from citadel.core.members import Wish
from citadel.core.plan import Plan, compile_definition
from citadel.core.state import State
from citadel.core.tickets import Standing, Ticket
from citadel.core.values import BuildKey, Cached, CacheKey, Content, Inline
from citadel.store.admissions import AdmissionChange
from citadel.store.journal import (
    TOPICS,
    Advance,
    ExecutionRef,
    ExecutionUnknown,
    Inherited,
    LogChunk,
    Notice,
    ValuesLost,
)
from citadel.store.memory_admissions import next_of, standing_of
from citadel.store.memory_conversations import MemoryConversations
from citadel.store.memory_pools import MemoryPools
from citadel.store.memory_sandboxes import MemorySandboxes
from citadel.store.notices import Hub
from citadel.store.rows import changes
from citadel.store.stepping import assignment_values, check_bodies, step_forward
from citadel.store.texts import fit, mend

log = logging.getLogger(__name__)

PUT_OFF_SECONDS = 60.0


@dataclass
class _Execution:
    """What there is of one execution."""

    state: State = field(default_factory=State)
    log: list[tuple[ev.Event, float]] = field(default_factory=list)
    values: dict[str, bytes] = field(default_factory=dict)
    chunks: dict[tuple[str, int, int], LogChunk] = field(default_factory=dict)
    changed_at: float = 0.0
    wake_at: float | None = None


class MemoryJournal:
    """`Journal` over dictionaries; `sandboxes` are its rows, `pools` those that nobody has claimed."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._hub = Hub()
        self._executions: dict[str, _Execution] = {}
        self._grouped: dict[str, _Execution] = {}
        """Those of a concurrency group that have not ended."""
        self._builds: dict[BuildKey, Content] = {}
        self._cached: dict[CacheKey, tuple[Cached, float]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.sandboxes = MemorySandboxes(self._hub, clock)
        self.pools = MemoryPools(self.sandboxes, clock)
        self.conversations = MemoryConversations(clock)

    async def advance(
        self,
        uid: str,
        facts: Sequence[ev.Event] = (),
        *,
        claim: str | None = None,
        definition: Mapping[str, Any] | None = None,
        outputs: Mapping[str, bytes] | None = None,
        inherited: Inherited | None = None,
    ) -> Advance:
        """Appends facts and what follows from them; see `Journal.advance`."""
        fitting = tuple(fit(fact) for fact in facts)
        check_bodies(fitting, outputs or {})
        plan: Plan | None = None
        for fact in fitting:
            if isinstance(fact, ev.Created) and definition is not None:
                plan = compile_definition(definition)
                if plan.digest != fact.definition:
                    raise ValueError(
                        f"found a definition of digest {plan.digest}, expected {fact.definition}"
                    )
        turn = self._turns.setdefault(uid, asyncio.Lock())
        async with turn:
            found = self._executions.get(uid)
            if found is None:
                if not any(isinstance(fact, ev.Created | ev.Rejected) for fact in fitting):
                    raise ExecutionUnknown(uid)
                if plan is None and any(isinstance(fact, ev.Created) for fact in fitting):
                    raise ValueError(f"execution {uid}: expected its definition together with Created")
                found = _Execution()
            bodies = dict(outputs or {})
            if inherited is not None:
                earlier = self._executions.get(inherited.uid, _Execution()).values
                if not earlier.keys() >= set(inherited.digests):
                    raise ValuesLost(inherited.uid)
                bodies |= {digest: earlier[digest] for digest in inherited.digests}
            advance = await self._advance(uid, found, fitting, claim, plan, bodies)
            self._executions[uid] = found
            return advance

    async def _advance(
        self,
        uid: str,
        found: _Execution,
        facts: Sequence[ev.Event],
        claim: str | None,
        plan: Plan | None,
        bodies: dict[str, bytes],
    ) -> Advance:
        at = max(self._clock(), found.changed_at)

        async def load(digests: Sequence[str]) -> Mapping[str, Json]:
            known = found.values | bodies
            return {digest: json.loads(known[digest]) for digest in digests if digest in known}

        async def recall(keys: Collection[BuildKey]) -> Mapping[BuildKey, Content]:
            return {key: self._builds[key] for key in keys if key in self._builds}

        async def remember(keys: Collection[CacheKey]) -> Mapping[CacheKey, Cached]:
            known = {key: self._cached[key] for key in keys if key in self._cached}
            return {key: cached for key, (cached, until) in known.items() if until > at}

        async def claim_member(wish: Wish) -> str | None:
            # Nothing here waits, so nobody takes it before it is committed.
            return self.sandboxes.member(wish)

        async def stand(ticket: Ticket) -> Standing:
            return standing_of(ticket, self._states())

        outcome, made = await step_forward(
            uid,
            found.state,
            facts,
            at,
            load,
            recall,
            remember,
            stand,
            plan=plan,
            claim=claim,
            claim_member=claim_member,
        )
        bodies |= made
        values = await assignment_values(uid, outcome.state, outcome.step, load)
        if outcome.events:
            self._commit(found, outcome, at, bodies)
        found.wake_at = wake_at(outcome.state, at)
        return Advance(outcome.state, outcome.events, outcome.accepted, outcome.step, values)

    def _commit(self, found: _Execution, outcome: Outcome, at: float, bodies: Mapping[str, bytes]) -> None:
        follows = changes(found.state, outcome, at)
        found.state = outcome.state
        found.log += [(event, at) for event in outcome.events]
        found.values |= bodies
        found.changed_at = at
        self.sandboxes.follow(follows)
        for build in follows.builds:
            self._builds.setdefault(build.key, build.program)
        for memory in follows.memories:
            output = memory.output
            content = output.value if isinstance(output, Inline) else json.loads(found.values[output.digest])
            known = self._cached.get(memory.key)
            if known is None or known[0].at + memory.seconds <= at:
                entry = Cached(content, memory.artifacts, at, memory.execution)
                self._cached[memory.key] = entry, at + memory.seconds
        for answered in follows.answered:
            self.conversations.append(answered, found.values)
        if follows.admission is not None:
            self._admit(found, follows.admission, at)
        self._hub.publish(follows.notices)

    def _admit(self, found: _Execution, change: AdmissionChange, at: float) -> None:
        """Keeps what an advance changes of a concurrency group; the next one is woken."""
        if change.ended:
            self._grouped.pop(change.ticket.uid, None)
        else:
            self._grouped[change.ticket.uid] = found
        following = next_of(change.ticket, self._states()) if change.passes_on else None
        if following is not None:
            self._grouped[following].wake_at = at

    def _states(self) -> Iterator[State]:
        """Those of all that wait for a turn, or have it."""
        return (found.state for found in self._grouped.values())

    def _get(self, uid: str) -> _Execution:
        found = self._executions.get(uid)
        if found is None:
            raise ExecutionUnknown(uid)
        return found

    async def read(self, uid: str) -> State:
        """The state as last committed."""
        return self._get(uid).state

    async def values(self, uid: str, digests: Sequence[str]) -> dict[str, Json]:
        """The JSON of these digests of this execution."""
        found = self._executions.get(uid, _Execution()).values
        return {digest: json.loads(found[digest]) for digest in digests if digest in found}

    async def due(self, limit: int) -> list[str]:
        """Advances executions whose time has come; see `Journal.due`."""
        now = self._clock()
        waiting = [
            (found.wake_at, uid)
            for uid, found in self._executions.items()
            if found.wake_at is not None and found.wake_at <= now
        ]
        taken = []
        for _, uid in sorted(waiting)[:limit]:
            try:
                await self.advance(uid)
                taken.append(uid)
            except Exception:
                log.exception("execution %s cannot be advanced; trying again in %.0fs", uid, PUT_OFF_SECONDS)
                self._get(uid).wake_at = now + PUT_OFF_SECONDS
        return taken

    async def unfinished(self) -> list[ExecutionRef]:
        """Executions that have not ended, oldest first."""
        return [
            ExecutionRef(created.uid, created.namespace, created.name)
            for found in self._executions.values()
            if (created := found.state.created) is not None and found.state.finished is None
        ]

    async def append_logs(self, uid: str, chunks: Sequence[LogChunk]) -> None:
        """Stores chunks; those already there change nothing."""
        found = self._get(uid)
        for chunk in chunks:
            kept = replace(chunk, text=mend(chunk.text), at=mend(chunk.at))
            found.chunks.setdefault((chunk.step, chunk.attempt, chunk.n), kept)
        if chunks:
            self._hub.publish([Notice("log", uid)])

    async def logs(self, uid: str, after: Mapping[tuple[str, int], int], limit: int) -> list[LogChunk]:
        """Chunks that follow `after`, in the order of their arrival."""
        chunks = self._executions.get(uid, _Execution()).chunks.values()
        news = (chunk for chunk in chunks if chunk.n > after.get((chunk.step, chunk.attempt), -1))
        return [chunk for _, chunk in zip(range(limit), news, strict=False)]

    def listen(self, topics: Collection[str] = TOPICS) -> AsyncIterator[Notice]:
        """Notices of `topics` as they come."""
        return self._hub.listen(topics)

    async def forget(self, uids: Sequence[str]) -> None:
        """Deletes all there is of these executions."""
        for uid in uids:
            self._executions.pop(uid, None)
            self._grouped.pop(uid, None)
            self.sandboxes.forget(uid)

    async def prune(self, older_than: float) -> int:
        """Deletes executions that finished more than `older_than` seconds ago."""
        limit = self._clock() - older_than
        ended = ((uid, found.state.finished_at) for uid, found in self._executions.items())
        old = [uid for uid, at in ended if at is not None and at < limit]
        await self.forget(old)
        return len(old)
