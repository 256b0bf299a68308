"""States, plans and values from the database, with what this process remembers of them. Writes nothing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from citadel.core import events as ev
from citadel.core.jsonvalues import Json
from citadel.core.plan import InvalidDefinition, Plan, compile_definition
from citadel.core.state import State, fold
from citadel.store.caching import Lru
from citadel.store.journal import CorruptJournal, ExecutionUnknown
from citadel.store.sql.statements import Statements

CACHED_STATES = 1000
CACHED_STEPS = 50_000
CACHED_PLANS = 100
CACHED_VALUE_BYTES = 8 * 1024 * 1024


class Reader:
    """Loads what an advance needs. What it remembers is checked against the database, or named by content."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._states: Lru[str, State] = Lru(CACHED_STATES, CACHED_STEPS, lambda state: len(state.steps) + 10)
        self._plans: Lru[str, Plan] = Lru(CACHED_PLANS, CACHED_STEPS, lambda plan: len(plan.steps) + 10)
        self._values: Lru[tuple[str, str], tuple[int, Json]] = Lru(
            5000, CACHED_VALUE_BYTES, lambda entry: entry[0]
        )

    async def state(self, connection: AsyncConnection, uid: str, seq: int | None = None) -> State:
        """The state as the log says it is; nothing is loaded when what is remembered has `seq` events.

        Raises ExecutionUnknown, CorruptJournal.
        """
        state = self._states.get(uid)
        if state is not None and state.seq == seq:
            return state
        have = 0 if state is None else state.seq
        found = (await connection.execute(self._statements.log_after, {"of_uid": uid, "of_seq": have})).all()
        if not found:
            self.drop(uid)
            raise ExecutionUnknown(uid)
        rows = [row for row in found if row.seq is not None]
        if state is None:
            state = State()
        if rows:
            plan = state.plan
            if plan is None and found[0].definition is not None:
                plan = await self.plan(connection, uid, found[0].definition)
            state = _fold(uid, state, rows, plan)
        self.keep(uid, state)
        return state

    def keep(self, uid: str, state: State) -> None:
        """Remembers a committed state, unless a later one is known."""
        known = self._states.get(uid)
        if known is None or known.seq < state.seq:
            self._states.put(uid, state)

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

    async def plan(self, connection: AsyncConnection, uid: str, digest: str) -> Plan:
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

    async def values(self, connection: AsyncConnection, uid: str, digests: Sequence[str]) -> dict[str, Json]:
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


def _fold(uid: str, state: State, rows: Sequence[Any], plan: Plan | None) -> State:
    try:
        log = [(ev.from_json(row.kind, row.data), row.at) for row in rows]
        folded = fold(state, log, plan)
    except (LookupError, TypeError, ValueError, AssertionError) as error:
        why = f"event {state.seq + 1} or one after it cannot be read by this version: {error!r}"
        raise CorruptJournal(uid, why) from error
    if folded.seq != rows[-1].seq:
        raise CorruptJournal(uid, f"found {folded.seq} events, expected {rows[-1].seq}")
    return folded
