"""The transaction of one advance. It may run again after a rollback, and keeps nothing of the try before."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from citadel.core import events as ev
from citadel.core.advance import Outcome
from citadel.core.decide import wake_at
from citadel.core.jsonvalues import Json
from citadel.core.members import Wish
from citadel.core.plan import Plan
from citadel.core.records import to_json
from citadel.core.state import State
from citadel.core.tickets import Standing, Ticket
from citadel.core.values import BuildKey, Cached, CacheKey, Content
from citadel.store.calls import PlacedCall
from citadel.store.journal import Advance, ExecutionUnknown, Inherited, Notice, ValuesLost
from citadel.store.placing import placeable, placed
from citadel.store.rows import changes
from citadel.store.sql import admissions
from citadel.store.sql.engine import Connection
from citadel.store.sql.reading import Reader
from citadel.store.sql.statements import Statements
from citadel.store.sql.writing import new_execution, write
from citadel.store.stepping import assignment_values, step_forward, values_of

#: Values that one statement copies.
_INHERITED_AT_ONCE = 1000


class Advancing:
    """Facts, and what goes with them, on their way into the log of one execution."""

    def __init__(
        self,
        reader: Reader,
        statements: Statements,
        uid: str,
        facts: Sequence[ev.Event] = (),
        claim: str | None = None,
        definition: Mapping[str, Any] | None = None,
        bodies: Mapping[str, bytes] | None = None,
        plan: Plan | None = None,
        *,
        due: bool = False,
        inherited: Inherited | None = None,
        per_namespace: int,
    ) -> None:
        self._reader = reader
        self._statements = statements
        self._uid = uid
        self._facts = facts
        self._claim = claim
        self._definition = definition
        self._bodies = bodies or {}
        self._plan = plan
        self._due = due
        self._inherited = inherited
        self._per_namespace = per_namespace
        self.notices: tuple[Notice, ...] = ()
        """What to announce once it is committed."""
        self.at = 0.0
        """When the events that it appended happened."""

    async def run(self, connection: Connection) -> Advance | None:
        """Does it all but the commit; None when it was asked for because it is due, and is not."""
        self.notices = ()
        row = await self._lock(connection)
        if row is None:
            await connection.rollback()
            return None
        if row.seq == 0 and self._inherited is not None:
            await self._inherit(connection, self._inherited)
        state = State() if row.seq == 0 else await self._reader.state(connection, self._uid, row)
        # A database's clock may be set back, or be another one's after a failover; the times of a log never
        # go back.
        at = self.at = max(row.now, row.changed_at)
        made = dict(self._bodies)

        async def load(digests: Sequence[str]) -> Mapping[str, Json]:
            here = {digest: json.loads(made[digest]) for digest in digests if digest in made}
            rest = [digest for digest in digests if digest not in made]
            return here | (await self._reader.values(connection, self._uid, rest) if rest else {})

        async def recall(keys: Collection[BuildKey]) -> Mapping[BuildKey, Content]:
            return await self._reader.builds(connection, keys)

        async def remember(keys: Collection[CacheKey]) -> Mapping[CacheKey, Cached]:
            return await self._reader.cached(connection, keys)

        async def claim_member(wish: Wish) -> str | None:
            return await self._claim_member(connection, wish)

        async def stand(ticket: Ticket) -> Standing:
            await admissions.lock(connection, ticket, self._statements.postgres)
            return await admissions.read_standing(connection, ticket, exactly=False)

        outcome, new = await step_forward(
            self._uid,
            state,
            self._facts,
            at,
            load,
            recall,
            remember,
            stand,
            plan=self._plan,
            claim=self._claim,
            claim_member=claim_member,
        )
        made |= new
        values = await assignment_values(self._uid, outcome.state, outcome.step, load)
        if outcome.events:
            kept = (fact for fact, ok in zip(self._facts, outcome.accepted, strict=True) if ok)
            bodies = {digest: made[digest] for digest in (*values_of(kept), *new)}
            # SQLite is a local run's, which makes its calls itself.
            wanted = placeable(outcome.state, outcome.events) if self._statements.postgres else ()
            calls = [await placed(outcome.state, call, load) for call in wanted]
            await self._write(connection, state, outcome, at, bodies, calls)
        elif (wake := wake_at(outcome.state, at)) != row.wake_at:
            await connection.execute(self._statements.wake, {"of_uid": self._uid, "new_wake_at": wake})
        else:
            await connection.rollback()
        return Advance(outcome.state, outcome.events, outcome.accepted, outcome.step, values)

    async def _claim_member(self, connection: Connection, wish: Wish) -> str | None:
        """Its row is this execution's from now on, unless the transaction is rolled back."""
        parameters = {
            "of_pool": wish.pool,
            "of_namespace": wish.namespace,
            "of_limit": self._per_namespace,
            "new_uid": wish.uid,
            "new_namespace": wish.namespace,
            "new_execution": wish.execution,
            "new_placement": wish.placement,
        }
        found = (await connection.execute(self._statements.claim, parameters)).scalar_one_or_none()
        return None if found is None else str(found)

    async def _inherit(self, connection: Connection, inherited: Inherited) -> None:
        """Within the database: together they may be more than what fits into this process."""
        for begin in range(0, len(inherited.digests), _INHERITED_AT_ONCE):
            digests = inherited.digests[begin : begin + _INHERITED_AT_ONCE]
            parameters = {"of_uid": inherited.uid, "of_digests": digests, "new_uid": self._uid}
            done = await connection.execute(self._statements.inherit, parameters)
            if len(done.all()) != len(digests):
                raise ValuesLost(inherited.uid)

    async def _lock(self, connection: Connection) -> Row[Any] | None:
        """The execution's row, locked; it is made when a fact says that the execution begins."""
        lock = self._statements.lock_due if self._due else self._statements.lock
        row = (await connection.execute(lock, {"of_uid": self._uid})).one_or_none()
        if row is not None or self._due:
            return row
        start = next((fact for fact in self._facts if isinstance(fact, ev.Created | ev.Rejected)), None)
        if start is None:
            raise ExecutionUnknown(self._uid)
        if start.uid != self._uid:
            raise ValueError(f"found the start of execution {start.uid}, expected {self._uid}")
        if isinstance(start, ev.Created):
            if self._plan is None:
                raise ValueError(f"execution {self._uid}: expected its definition together with Created")
            parameters = {"digest": start.definition, "body": self._definition}
            await connection.execute(self._statements.new_definition, parameters)
        await connection.execute(self._statements.new_execution, new_execution(start))
        return (await connection.execute(lock, {"of_uid": self._uid})).one()

    async def _write(
        self,
        connection: Connection,
        before: State,
        outcome: Outcome,
        at: float,
        bodies: Mapping[str, bytes],
        calls: Sequence[PlacedCall],
    ) -> None:
        log = [
            {
                "uid": self._uid,
                "seq": seq,
                "at": at,
                "kind": type(event).__name__,
                "key": event.key,
                "data": to_json(event),
            }
            for seq, event in enumerate(outcome.events, before.seq + 1)
        ]
        follows = changes(before, outcome, at, bodies)
        if follows.admission is not None:
            await admissions.lock(connection, follows.admission.ticket, self._statements.postgres)
            await admissions.write(connection, self._statements.admission, follows.admission)
        await write(connection, self._statements, follows, log, bodies, calls)
        self.notices = follows.notices
