"""What the agents of a run on this machine do, kept for a recording."""

from typing import TYPE_CHECKING

from citadel.api.cassette import VERSION, Cassette
from citadel.core.state import State
from citadel.store.conversations import Conversations
from citadel.store.journal import Journal
from citadel.store.model_records import ModelRecords
from citadel.store.recordings import recorded

if TYPE_CHECKING:
    from citadel.local.execution import Observer


class Recording:
    """Watches a run beside another who does: the last states of all executions that it has."""

    def __init__(self, observer: "Observer") -> None:
        self._observer = observer
        self._states: dict[str, State] = {}

    def changed(self, state: State) -> None:
        """The state is another."""
        self._states[""] = state
        self._observer.changed(state)

    def within(self, step: str, state: State) -> None:
        """That of an execution which a step waits for is another."""
        self._states[f"{step}/"] = state
        self._observer.within(step, state)

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """A step printed a line."""
        self._observer.logged(step, attempt, stream, line)

    async def cassette(
        self, journal: Journal, records: ModelRecords, conversations: Conversations
    ) -> Cassette:
        """What the agents did."""
        created = self._states[""].created
        assert created is not None
        attempts = []
        for prefix, state in self._states.items():
            if state.created is not None and state.plan is not None:
                recalled = await conversations.recalled(state.created.uid)
                attempts += await recorded(journal, records, recalled, state, prefix=prefix)
        return Cassette(
            version=VERSION,
            execution=created.name,
            namespace=created.namespace,
            workflow=created.workflow,
            attempts=tuple(attempts),
        )
