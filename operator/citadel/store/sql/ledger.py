"""The ledger in Postgres: race-free, as whoever reserves first locks all accounts that pay, in one order."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from citadel.core.spending import Amount, Reservation, first_refusal
from citadel.store.ledger import OverBudget, Spent, Throttled
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connections, now

_A, _R = t.model_accounts, t.model_reservations
_MINUTE = 60.0
#: Seconds for which accounts are kept that belong to no execution: those of days.
KEPT_SECONDS = 40 * 86400.0


class SqlLedger:
    """`Ledger` over Postgres."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def reserve(self, reservation: Reservation) -> str:
        """Sets aside what a call may take; see `Ledger.reserve`."""
        day = datetime.now(UTC).date().isoformat()
        accounts = [account.on(day) for account in reservation.accounts]
        owners: dict[str, str | None] = {account.key: account.uid for account in accounts}
        rate = f"rate:{reservation.model}"
        limited = reservation.requests_per_minute or reservation.tokens_per_minute
        # The rate of a Model is nothing that is spent: its row is there to be locked.
        keys = sorted({*owners, rate} if limited else owners)
        name = uuid.uuid4().hex

        async def work(connection: AsyncConnection) -> str:
            fresh = [
                {"key": key, "uid": owners.get(key), "cost": 0, "tokens": 0, "changed_at": 0.0}
                for key in keys
            ]
            await connection.execute(insert_postgresql(_A).on_conflict_do_nothing().values(fresh))
            spent = await _locked(connection, keys)
            if limited:
                await _throttle(connection, reservation)
            if (why := first_refusal(accounts, spent, reservation.need)) is not None:
                raise OverBudget(why)
            await _add(connection, owners, reservation.need)
            row = {
                "id": name,
                "uid": reservation.uid,
                "step": reservation.step,
                "attempt": reservation.attempt,
                "namespace": reservation.namespace,
                "model": reservation.model,
                "at": now(),
                "state": "reserved",
                "cost": reservation.need.cost,
                "input_tokens": reservation.need.tokens - reservation.max_tokens,
                "output_tokens": reservation.max_tokens,
                "accounts": sorted(owners),
            }
            await connection.execute(insert(_R).values(row))
            return name

        return await self._connections.transact(work)

    async def settle(self, name: str, input_tokens: int, output_tokens: int, cost: int) -> None:
        """What the call took is known; see `Ledger.settle`."""

        async def work(connection: AsyncConnection) -> None:
            mine = select(_R).where(_R.c.id == name, _R.c.state == "reserved").with_for_update()
            row = (await connection.execute(mine)).first()
            if row is None:
                return
            await _locked(connection, row.accounts)
            took = Amount(cost, input_tokens + output_tokens)
            await _add(connection, row.accounts, took - _amount(row))
            settled = {"cost": cost, "input_tokens": input_tokens, "output_tokens": output_tokens}
            await connection.execute(update(_R).where(_R.c.id == name).values(state="settled", **settled))

        await self._connections.transact(work)

    async def charge(self, name: str) -> None:
        """Nobody knows what the call took; see `Ledger.charge`."""
        charged = update(_R).where(_R.c.id == name, _R.c.state == "reserved").values(state="charged")

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(charged)

        await self._connections.transact(work)

    async def spent(self, uid: str, step: str, attempt: int) -> Spent:
        """What the calls of an attempt have taken; see `Ledger.spent`."""
        query = select(
            func.coalesce(func.sum(_R.c.input_tokens), 0),
            func.coalesce(func.sum(_R.c.output_tokens), 0),
            func.coalesce(func.sum(_R.c.cost), 0),
            func.count(),
            func.count(case((_R.c.state != "settled", 1))),
        ).where(_R.c.uid == uid, _R.c.step == step, _R.c.attempt == attempt)

        async def work(connection: AsyncConnection) -> Spent:
            sent, answered, cost, calls, unsettled = (await connection.execute(query)).one()
            return Spent(int(sent), int(answered), int(cost), calls, unsettled > 0)

        return await self._connections.read(work)

    async def prune(self) -> None:
        """Forgets days that are long over, and rates of Models that nobody asks any more."""
        old = (_A.c.uid.is_(None)) & (_A.c.changed_at < now() - KEPT_SECONDS)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(_A).where(old))

        await self._connections.transact(work)


async def charge_all(connection: AsyncConnection, uid: str, step: str, attempt: int) -> None:
    """Whatever is still reserved for the calls of an attempt counts in full."""
    left = (_R.c.uid == uid, _R.c.step == step, _R.c.attempt == attempt, _R.c.state == "reserved")
    await connection.execute(update(_R).where(*left).values(state="charged"))


async def _locked(connection: AsyncConnection, keys: Iterable[str]) -> dict[str, Amount]:
    """What is spent of each account, which nobody else changes until the transaction ends."""
    query = select(_A).where(_A.c.key.in_(list(keys))).order_by(_A.c.key).with_for_update()
    return {row.key: Amount(row.cost, row.tokens) for row in await connection.execute(query)}


async def _add(connection: AsyncConnection, keys: Iterable[str], amount: Amount) -> None:
    changed = {
        "cost": _A.c.cost + amount.cost,
        "tokens": _A.c.tokens + amount.tokens,
        "changed_at": now(),
    }
    await connection.execute(update(_A).where(_A.c.key.in_(list(keys))).values(changed))


async def _throttle(connection: AsyncConnection, reservation: Reservation) -> None:
    """Raises Throttled where the last minute leaves no room for the call."""
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


def _amount(row: Any) -> Amount:
    return Amount(row.cost, row.input_tokens + row.output_tokens)
