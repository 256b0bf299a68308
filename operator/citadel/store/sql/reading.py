"""States, plans and values from the database, with what this process remembers of them. Writes nothing."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from citadel.core.folding import fold
from citadel.core.jsonvalues import Json
from citadel.core.placing import InvalidDefinition
from citadel.core.plan import Plan, compile_definition
from citadel.core.records import from_json
from citadel.core.state import State
from citadel.core.values import BuildKey, Cached, CacheKey, Content
from citadel.store.caching import Lru
from citadel.store.journal import CorruptJournal, ExecutionUnknown
from citadel.store.sql.engine import Connection
from citadel.store.sql.statements import Statements

CACHED_STATES = 1000
CACHED_STEPS = 50_000
CACHED_PLANS = 100
CACHED_VALUE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Known:
    """A state that was committed, and the time of its last event: together they tell one log from another."""

    state: State
    at: float

    @property
    def seq(self) -> int:
        return self.state.seq

    @property
    def weight(self) -> int:
        return len(self.state.steps) + 10


class Reader:
    """Loads what an advance needs. What it remembers is checked against the database, or named by content."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._states: Lru[str, _Known] = Lru(CACHED_STATES, CACHED_STEPS, lambda known: known.weight)
        self._plans: Lru[str, Plan] = Lru(CACHED_PLANS, CACHED_STEPS, lambda plan: len(plan.steps) + 10)
        self._values: Lru[tuple[str, str], tuple[int, Json]] = Lru(
            5000, CACHED_VALUE_BYTES, lambda entry: entry[0]
        )

    async def state(self, connection: Connection, uid: str, row: Row[Any] | None = None) -> State:
        """The state as the log says it is; nothing is loaded when `row`, locked, is what is remembered.

        Raises ExecutionUnknown, CorruptJournal.
        """
        known = self._states.get(uid)
        if known is not None and row is not None and (known.seq, known.at) == (row.seq, row.changed_at):
            return known.state
        found = await self._log(connection, uid, 0 if known is None else known.seq)
        if known is not None and (found[0].seq, found[0].at) != (known.seq, known.at):
            # Another log than before: the database was restored, or failed over and lost commits.
            self.drop(uid)
            known = None
            found = await self._log(connection, uid, 0)
        state, news = (State(), found) if known is None else (known.state, found[1:])
        if not news:
            return state
        plan = state.plan
        if plan is None and found[0].definition is not None:
            plan = await self.plan(connection, uid, found[0].definition)
        state = _fold(uid, state, news, plan)
        self.keep(uid, state, news[-1].at)
        return state

    async def _log(self, connection: Connection, uid: str, first: int) -> Sequence[Any]:
        """Events from number `first` on; one row without an event where there are none."""
        parameters = {"of_uid": uid, "of_seq": first}
        found = (await connection.execute(self._statements.log, parameters)).all()
        if not found:
            self.drop(uid)
            raise ExecutionUnknown(uid)
        return found

    def keep(self, uid: str, state: State, at: float) -> None:
        """Remembers a committed state whose last event happened at `at`, unless a later one is known."""
        known = self._states.get(uid)
        if known is None or known.seq < state.seq:
            self._states.put(uid, _Known(state, at))

    def drop(self, uid: str) -> None:
        """Forgets an execution's state."""
        self._states.drop(uid)

    def compiled(self, definition: Mapping[str, Any], digest: str) -> Plan:
        """The plan of a definition that comes with Created; raises InvalidDefinition, ValueError."""
        plan = self._plans.get(digest)
        if plan is None:
            plan = compile_definition(definition)
            if plan.digest != digest:
                raise ValueError(f"found a definition of digest {plan.digest}, expected {digest}")
            self._plans.put(digest, plan)
        return plan

    async def plan(self, connection: Connection, uid: str, digest: str) -> Plan:
        """The plan of a definition in the journal; raises CorruptJournal if it does not compile."""
        plan = self._plans.get(digest)
        if plan is not None:
            return plan
        body = (await connection.execute(self._statements.definition, {"of_digest": digest})).scalar_one()
        try:
            return self.compiled(body, digest)
        except (InvalidDefinition, ValueError, LookupError, TypeError) as error:
            raise CorruptJournal(
                uid, f"definition {digest} does not compile in this version: {error}"
            ) from error

    async def values(self, connection: Connection, uid: str, digests: Sequence[str]) -> dict[str, Json]:
        """The JSON of digests; those that this execution does not have are left out."""
        found: dict[str, Json] = {}
        lacking = []
        for digest in digests:
            entry = self._values.get((uid, digest))
            if entry is None:
                lacking.append(digest)
            else:
                found[digest] = entry[1]
        if lacking:
            parameters = {"of_uid": uid, "of_digests": lacking}
            for digest, body in (await connection.execute(self._statements.values, parameters)).all():
                found[digest] = json.loads(body)
                self._values.put((uid, digest), (len(body), found[digest]))
        return found

    async def cached(self, connection: Connection, keys: Collection[CacheKey]) -> dict[CacheKey, Cached]:
        """What steps with a cache gave before; keys of which nothing is known are left out."""
        parameters = {"of_keys": [(key.namespace, key.digest) for key in keys]}
        rows = (await connection.execute(self._statements.cached, parameters)).all()
        if not rows:
            return {}
        left: dict[CacheKey, dict[str, Content]] = {}
        for row in (await connection.execute(self._statements.cached_artifacts, parameters)).all():
            key = CacheKey(row.namespace, row.key)
            left.setdefault(key, {})[row.name] = Content(row.digest, row.size)
        found = ((CacheKey(row.namespace, row.key), row) for row in rows)
        return {
            key: Cached(json.loads(row.output), left.get(key, {}), row.at, row.execution)
            for key, row in found
        }

    async def builds(self, connection: Connection, keys: Collection[BuildKey]) -> dict[BuildKey, Content]:
        """The programs that were built of these; keys without one are left out."""
        parameters = {"of_keys": [(key.namespace, key.digest) for key in keys]}
        rows = (await connection.execute(self._statements.builds, parameters)).all()
        return {BuildKey(row.namespace, row.key): Content(row.program, row.size) for row in rows}


def _fold(uid: str, state: State, rows: Sequence[Any], plan: Plan | None) -> State:
    if rows[0].seq is None:
        raise CorruptJournal(uid, "it has no events")
    try:
        log = [(from_json(row.kind, row.data), row.at) for row in rows]
        folded = fold(state, log, plan)
    except (LookupError, TypeError, ValueError, AssertionError) as error:
        why = f"event {state.seq + 1} or one after it cannot be read by this version: {error!r}"
        raise CorruptJournal(uid, why) from error
    if folded.seq != rows[-1].seq:
        raise CorruptJournal(uid, f"found {folded.seq} events, expected {rows[-1].seq}")
    return folded
