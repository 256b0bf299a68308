"""Grants of agents' attempts, and what models answered them, in memory: for the local runner."""

from citadel.store.calls import Passage
from citadel.store.memory_ledger import MemoryLedger
from citadel.store.model_grants import Grant
from citadel.store.model_records import ModelRecord


class MemoryModelGrants:
    """`ModelGrants` over a dictionary; `ledger` is where their calls are booked."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger, self._found = ledger, ledger.grants

    async def place(self, grant: Grant) -> None:
        """Leaves a grant; see `ModelGrants.place`."""
        self._found.setdefault(grant.key, grant)

    async def get(self, uid: str, step: str, attempt: int) -> Grant | None:
        """The grant of an attempt."""
        return self._found.get((uid, step, attempt))

    async def remove(self, uid: str, step: str, attempt: int) -> None:
        """The attempt is over; see `ModelGrants.remove`."""
        self._found.pop((uid, step, attempt), None)
        self._ledger.charge_all(uid, step, attempt)

    async def keys(self) -> list[tuple[str, str, int]]:
        """What there is."""
        return list(self._found)

    async def passage(self, token_hash: str) -> Passage | None:
        """What an egress token stands for; see `ModelGrants.passage`."""
        for grant in self._found.values():
            if grant.token_hash == token_hash:
                return Passage(*grant.key, grant.namespace, grant.hosts)
        return None


class MemoryModelRecords:
    """`ModelRecords` over a dictionary: what `ledger` was told."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._found = ledger.records

    async def find(self, uid: str, step: str, attempt: int, digest: str) -> ModelRecord | None:
        """The answer that an attempt was given to this request."""
        return self._found.get((uid, step, attempt, digest))

    async def of(self, uid: str) -> list[ModelRecord]:
        """All answers that an execution was given."""
        mine = (record for record in self._found.values() if record.uid == uid)
        return sorted(mine, key=lambda record: (record.step, record.attempt, record.n))
