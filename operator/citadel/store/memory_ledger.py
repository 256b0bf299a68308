"""The ledger in memory: for the local runner, whose budgets are those of one execution."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

from citadel.core.events import Usage
from citadel.core.spending import Account, Amount, Reservation, add, first_refusal
from citadel.store.ledger import Answered, NotGranted, OutOfTurns, OverBudget, Spent, Throttled
from citadel.store.model_grants import Grant
from citadel.store.model_records import ModelRecord

_MINUTE = 60.0


@dataclass
class _Entry:
    """One call of a provider."""

    reservation: Reservation
    keys: frozenset[str]
    at: float
    input_tokens: int
    output_tokens: int
    cost: int
    state: str = "reserved"


class MemoryLedger:
    """`Ledger` over dictionaries."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._names = clock, count(1)
        self.grants: dict[tuple[str, str, int], Grant] = {}
        self.records: dict[tuple[str, str, int, str], ModelRecord] = {}
        self._turns: Counter[tuple[str, str, int]] = Counter()
        self._answered: Counter[tuple[str, str, int]] = Counter()
        self._accounts: dict[str, Amount] = {}
        self._entries: dict[str, _Entry] = {}

    async def open(self, accounts: Sequence[Account]) -> None:
        """Nothing: here they are made as they are needed."""

    async def reserve(self, reservation: Reservation) -> str:
        """Sets aside what a call may take; see `Ledger.reserve`."""
        day = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        accounts = [account.on(day) for account in reservation.accounts]
        attempt, turn = (reservation.uid, reservation.step, reservation.attempt), reservation.turn
        if (known := self.records.get((*attempt, reservation.digest or ""))) is not None:
            raise Answered(known)
        self._throttle(reservation)
        if turn is not None:
            if attempt not in self.grants:
                raise NotGranted(f"attempt {reservation.attempt} of step {reservation.step} is over")
            if turn.begins and turn.limit is not None and self._turns[attempt] >= turn.limit:
                raise OutOfTurns(turn.limit)
        if (why := first_refusal(accounts, self._accounts, reservation.need)) is not None:
            raise OverBudget(why)
        keys = frozenset(account.key for account in accounts)
        name, need = str(next(self._names)), reservation.need
        sent = need.tokens - reservation.max_tokens
        self._entries[name] = _Entry(
            reservation, keys, self._clock(), sent, reservation.max_tokens, need.cost
        )
        self._add(keys, need)
        self._turns[attempt] += turn is not None and turn.begins
        return name

    async def settle(
        self, name: str, input_tokens: int, output_tokens: int, cost: int, record: ModelRecord | None = None
    ) -> None:
        """What the call took is known; see `Ledger.settle`."""
        entry = self._entries[name]
        if entry.state != "reserved":
            return
        self._record(record)
        self._add(entry.keys, Amount(cost, input_tokens + output_tokens) - entry.reservation.need)
        entry.state, entry.cost = "settled", cost
        entry.input_tokens, entry.output_tokens = input_tokens, output_tokens

    async def charge(self, name: str, record: ModelRecord | None = None) -> None:
        """Nobody knows what the call took; see `Ledger.charge`."""
        entry = self._entries[name]
        if entry.state == "reserved":
            entry.state = "charged"
            self._record(record)

    async def unanswered(self, uid: str, step: str, attempt: int) -> None:
        """A call gave nothing; see `Ledger.unanswered`."""
        key = (uid, step, attempt)
        self._turns[key] -= self._turns[key] > self._answered[key]

    def charge_all(self, uid: str, step: str, attempt: int) -> None:
        """Whatever is still reserved for the calls of an attempt counts in full."""
        for entry in self._of(uid, step, attempt):
            entry.state = "charged" if entry.state == "reserved" else entry.state

    async def spent(self, uid: str, step: str, attempt: int) -> Spent:
        """What the calls of an attempt have taken; see `Ledger.spent`."""
        found = self._of(uid, step, attempt)
        return Spent(
            sum(entry.input_tokens for entry in found),
            sum(entry.output_tokens for entry in found),
            sum(entry.cost for entry in found),
            len(found),
            any(entry.state != "settled" for entry in found),
            found[-1].reservation.model.rpartition("/")[2] if found else "",
            found[-1].reservation.provider if found else "",
        )

    async def usage(self, uid: str) -> Mapping[str, Usage]:
        """What all calls of an execution have taken; see `Ledger.usage`."""
        found: dict[str, Usage] = {}
        for entry in self._entries.values():
            made = entry.reservation
            if made.uid != uid:
                continue
            taken = Usage(
                made.model.rpartition("/")[2],
                made.provider,
                entry.input_tokens,
                entry.output_tokens,
                entry.cost,
                estimated=entry.state != "settled",
            )
            found[made.step] = add(found.get(made.step), taken) or taken
        return found

    def _of(self, uid: str, step: str, attempt: int) -> list[_Entry]:
        key, entries = (uid, step, attempt), self._entries.values()
        return [
            entry
            for entry in entries
            if (entry.reservation.uid, entry.reservation.step, entry.reservation.attempt) == key
        ]

    def _record(self, record: ModelRecord | None) -> None:
        """One more answer, while its attempt goes on; the first to a request stays."""
        if record is None:
            return
        attempt = (record.uid, record.step, record.attempt)
        key = (*attempt, record.digest)
        if attempt in self.grants and key not in self.records:
            self._answered[attempt] += 1
            self.records[key] = replace(record, n=self._answered[attempt], at=self._clock())

    def _add(self, keys: frozenset[str], amount: Amount) -> None:
        for key in keys:
            self._accounts[key] = self._accounts.get(key, Amount()) + amount

    def _throttle(self, reservation: Reservation) -> None:
        now = self._clock()
        lately = [
            entry
            for entry in self._entries.values()
            if entry.reservation.model == reservation.model and entry.at > now - _MINUTE
        ]
        left = max(0.1, min((entry.at for entry in lately), default=now) + _MINUTE - now)
        per_minute, most = reservation.requests_per_minute, reservation.tokens_per_minute
        if per_minute is not None and len(lately) >= per_minute:
            raise Throttled(left)
        tokens = sum(entry.input_tokens + entry.output_tokens for entry in lately)
        if most is not None and lately and tokens + reservation.need.tokens > most:
            raise Throttled(left)
