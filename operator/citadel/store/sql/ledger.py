"""The ledger in Postgres: race-free, as whoever reserves first locks all accounts that pay, in one order."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Executable, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql

from citadel.core.events import Usage
from citadel.core.spending import Account, Amount, Reservation, first_refusal
from citadel.store.ledger import Answered, NotGranted, OutOfTurns, OverBudget, Spent, Throttled
from citadel.store.model_records import ModelRecord
from citadel.store.sql import tables as t
from citadel.store.sql.booking import (
    CHARGE,
    CHARGE_AND_RECORD,
    RECORDED,
    RESERVE,
    SETTLE,
    SETTLE_AND_RECORD,
    UNANSWERED,
    parameters_of,
)
from citadel.store.sql.engine import Connection, Connections, now
from citadel.store.sql.model_records import FIND, key_of

_A, _R = t.model_accounts, t.model_reservations
_MINUTE = 60.0
#: Seconds for which accounts are kept that belong to no execution: those of days.
KEPT_SECONDS = 40 * 86400.0
_SUMS = """
    SELECT step, sum(input_tokens) AS sent, sum(output_tokens) AS answered, sum(cost) AS cost,
        count(*) AS calls, bool_or(state <> 'settled') AS estimated,
        (array_agg(model ORDER BY at DESC))[1] AS model, (array_agg(provider ORDER BY at DESC))[1] AS provider
    FROM model_reservations WHERE uid = :uid {more} GROUP BY step
    """
_USAGE = text(_SUMS.format(more=""))
_SPENT = text(_SUMS.format(more="AND step = :step AND attempt = :attempt"))


class SqlLedger:
    """`Ledger` over Postgres."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def open(self, accounts: Sequence[Account]) -> None:
        """Makes accounts that are not there; see `Ledger.open`."""
        await self._connections.read(lambda connection: _open(connection, _of_today(accounts)))

    async def reserve(self, reservation: Reservation) -> str:
        """Sets aside what a call may take; see `Ledger.reserve`."""
        accounts = _of_today(reservation.accounts)
        given = parameters_of(reservation, accounts, uuid.uuid4().hex)
        limited = reservation.requests_per_minute or reservation.tokens_per_minute

        async def work(connection: Connection) -> Any:
            if limited:
                await _answered(connection, reservation)
                await _throttle(connection, reservation)
            row = (await connection.execute(RESERVE, given)).one()
            if row.missing:
                await _open(connection, accounts)
                row = (await connection.execute(RESERVE, given)).one()
            return row

        # Without a rate each statement is a transaction of its own, and there is one of them.
        row = await (self._connections.transact if limited else self._connections.read)(work)
        if row.known is not None:
            raise Answered(ModelRecord(**row.known))
        if not row.reserved:
            raise _refusal(row, reservation, accounts)
        return str(given["id"])

    async def settle(
        self, name: str, input_tokens: int, output_tokens: int, cost: int, record: ModelRecord | None = None
    ) -> None:
        """What the call took is known; see `Ledger.settle`."""
        took = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cost": cost}
        await self._end(SETTLE if record is None else SETTLE_AND_RECORD, {"id": name, **took}, record)

    async def charge(self, name: str, record: ModelRecord | None = None) -> None:
        """Nobody knows what the call took; see `Ledger.charge`."""
        await self._end(CHARGE if record is None else CHARGE_AND_RECORD, {"id": name}, record)

    async def unanswered(self, uid: str, step: str, attempt: int) -> None:
        """A call gave nothing; see `Ledger.unanswered`."""
        await self._end(UNANSWERED, {"uid": uid, "step": step, "attempt": attempt}, None)

    async def _end(self, statement: Executable, given: Mapping[str, Any], record: ModelRecord | None) -> None:
        recorded = {} if record is None else {f"of_{name}": getattr(record, name) for name in RECORDED}

        async def work(connection: Connection) -> None:
            await connection.execute(statement, {**given, **recorded})

        await self._connections.read(work)

    async def spent(self, uid: str, step: str, attempt: int) -> Spent:
        """What the calls of an attempt have taken; see `Ledger.spent`."""
        given = {"uid": uid, "step": step, "attempt": attempt}

        async def work(connection: Connection) -> Spent:
            row = (await connection.execute(_SPENT, given)).one_or_none()
            if row is None:
                return Spent()
            took = (int(row.sent), int(row.answered), int(row.cost), row.calls, row.estimated)
            return Spent(*took, row.model.rpartition("/")[2], row.provider)

        return await self._connections.read(work)

    async def usage(self, uid: str) -> Mapping[str, Usage]:
        """What all calls of an execution have taken; see `Ledger.usage`."""

        async def work(connection: Connection) -> dict[str, Usage]:
            rows = (await connection.execute(_USAGE, {"uid": uid})).all()
            return {
                row.step: Usage(
                    row.model.rpartition("/")[2],
                    row.provider,
                    int(row.sent),
                    int(row.answered),
                    int(row.cost),
                    row.calls,
                    row.estimated,
                )
                for row in rows
            }

        return await self._connections.read(work)

    async def prune(self) -> None:
        """Forgets days that are long over, and rates of Models that nobody asks any more."""
        old = (_A.c.uid.is_(None)) & (_A.c.changed_at < now() - KEPT_SECONDS)

        async def work(connection: Connection) -> None:
            await connection.execute(delete(_A).where(old))

        await self._connections.transact(work)


async def charge_all(connection: Connection, uid: str, step: str, attempt: int) -> None:
    """Whatever is still reserved for the calls of an attempt counts in full."""
    left = (_R.c.uid == uid, _R.c.step == step, _R.c.attempt == attempt, _R.c.state == "reserved")
    await connection.execute(update(_R).where(*left).values(state="charged"))


def _of_today(accounts: Sequence[Account]) -> list[Account]:
    day = datetime.now(UTC).date().isoformat()
    return [account.on(day) for account in accounts]


async def _open(connection: Connection, accounts: Sequence[Account]) -> None:
    owners: dict[str, str | None] = {account.key: account.uid for account in accounts}
    fresh = [
        {"key": key, "uid": uid, "cost": 0, "tokens": 0, "changed_at": 0.0}
        for key, uid in sorted(owners.items())
    ]
    if fresh:
        await connection.execute(insert_postgresql(_A).on_conflict_do_nothing().values(fresh))


def _refusal(row: Any, reservation: Reservation, accounts: Sequence[Account]) -> Exception:
    """Why nothing was reserved, by what the statement saw."""
    turn = reservation.turn
    if turn is not None and row.turns is None:
        return NotGranted(f"attempt {reservation.attempt} of step {reservation.step} is over")
    if turn is not None and turn.begins and turn.limit is not None and row.turns >= turn.limit:
        return OutOfTurns(turn.limit)
    spent = {key: Amount(cost, tokens) for key, cost, tokens in row.spent}
    why = first_refusal(accounts, spent, reservation.need)
    assert why is not None, "the statement refuses what accounts do not"
    return OverBudget(why)


async def _answered(connection: Connection, reservation: Reservation) -> None:
    """Raises Answered; what was answered is not held up by rates."""
    key = key_of(reservation.uid, reservation.step, reservation.attempt, reservation.digest)
    row = (await connection.execute(FIND, key)).mappings().one_or_none()
    if row is not None:
        raise Answered(ModelRecord(**row))


async def _throttle(connection: Connection, reservation: Reservation) -> None:
    """Raises Throttled where the last minute leaves no room for the call.

    The rate of a Model is nothing that is spent: its row is there to be locked.
    """
    row = {"key": f"rate:{reservation.model}", "uid": None, "cost": 0, "tokens": 0, "changed_at": now()}
    fresh = insert_postgresql(_A).values(row)
    await connection.execute(
        fresh.on_conflict_do_update(index_elements=["key"], set_={"changed_at": fresh.excluded.changed_at})
    )
    lately = (_R.c.model == reservation.model) & (_R.c.at > now() - _MINUTE)
    query = select(
        func.count(),
        func.coalesce(func.sum(_R.c.input_tokens + _R.c.output_tokens), 0),
        func.min(_R.c.at) + _MINUTE - now(),
    ).where(lately)
    calls, tokens, left = (await connection.execute(query)).one()
    per_minute, most = reservation.requests_per_minute, reservation.tokens_per_minute
    if per_minute is not None and calls >= per_minute:
        raise Throttled(max(0.1, left))
    # A call that is larger than all of it is let through alone.
    if most is not None and calls and tokens + reservation.need.tokens > most:
        raise Throttled(max(0.1, left))
