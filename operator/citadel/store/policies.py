"""The policies of namespaces as the database has them, looked at again while they are asked for."""

import time
from collections import OrderedDict

from citadel.core.policy import Policy, read_policy
from citadel.store.journal import PolicyTable

#: Seconds for which the policies of a namespace are taken to be unchanged.
FRESH_SECONDS = 1.0
_NAMESPACES = 10_000


class RecentPolicies:
    """The policies of each namespace, read again each second while they are asked for."""

    def __init__(self, table: PolicyTable) -> None:
        self._table = table
        self._known: OrderedDict[str, tuple[float, tuple[Policy, ...]]] = OrderedDict()

    async def of(self, namespace: str) -> tuple[Policy, ...]:
        """The policies of a namespace; raises JournalUnavailable."""
        at, found = self._known.get(namespace, (float("-inf"), ()))
        if time.monotonic() - at > FRESH_SECONDS:
            found = tuple(read_policy(obj) for obj in await self._table.get(namespace))
            self._known[namespace] = time.monotonic(), found
            self._known.move_to_end(namespace)
            while len(self._known) > _NAMESPACES:
                self._known.popitem(last=False)
        return found
