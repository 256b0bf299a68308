"""What the parts of an execution on this machine have of it, and whoever watches it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from citadel.core import events as ev
from citadel.core.jsonvalues import Json
from citadel.core.spending import Account
from citadel.core.state import State
from citadel.core.values import Value, Values
from citadel.local.clocks import Bell, Clock
from citadel.store.journal import Advance, Journal


class Observer(Protocol):
    """Whoever watches an execution."""

    def changed(self, state: State) -> None:
        """The state is another."""
        ...

    def within(self, step: str, state: State) -> None:
        """That of an execution which a step waits for is another; `bill/charge` is one of `bill`'s."""
        ...

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """A step printed a line."""
        ...


class Execution(Protocol):
    """One execution."""

    @property
    def uid(self) -> str:
        """What it is known by."""
        ...

    @property
    def journal(self) -> Journal:
        """Where it is recorded."""
        ...

    @property
    def state(self) -> State:
        """Where it stands."""
        ...

    @property
    def changed(self) -> Bell:
        """Rings whenever that is another."""
        ...

    @property
    def clock(self) -> Clock:
        """Its time."""
        ...

    async def advance(
        self,
        facts: Sequence[ev.Event] = (),
        *,
        claim: str | None = None,
        outputs: Mapping[str, bytes] | None = None,
    ) -> Advance:
        """Records facts and what follows; `claim` is a sandbox that asks for work."""
        ...

    async def record(self, fact: ev.Event, values: Values) -> None:
        """Records a fact."""
        ...

    async def value(self, value: Value) -> Json:
        """What a value is."""
        ...

    def accounts(self, step: str) -> tuple[Account, ...]:
        """Who pays for the models that a step asks."""
        ...
