"""Members of warm pools, as the pure engine asks for them.

A pool is rows in a database. The engine says which member it would take and for what, and decides again with
the answer: whoever runs it claims the member in the transaction that the decision is part of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wish:
    """A sandbox that is wanted, and that a pool may have ready."""

    sandbox: str
    """Its name, if no pool has one."""
    pool: str
    placement: str
    uid: str
    namespace: str
    execution: str


class MemberWanted(LookupError):
    """A decision depends on whether a pool has a member; find out and decide again."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(f"a member of pool {wish.pool} for execution {wish.uid}")
        self.wish = wish


@dataclass(frozen=True)
class Members:
    """What was found out for one decision: the member claimed for each wish, by the wish's sandbox."""

    claimed: Mapping[str, str | None] = field(default_factory=dict)

    def take(self, wish: Wish) -> str | None:
        """The member that was claimed, None where there was none; raises MemberWanted when not yet asked."""
        if wish.sandbox not in self.claimed:
            raise MemberWanted(wish)
        return self.claimed[wish.sandbox]
