"""What a journal does, whatever database is behind it.

Any process may advance any execution; the transaction is the only lock, the sequence of its log the only
fence. Times are seconds since the epoch on the database's clock.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from citadel.core import events as ev
from citadel.core.children import digests, inputs_of
from citadel.core.jsonvalues import Json
from citadel.core.state import State
from citadel.core.values import Stored, Value, Values


class JournalUnavailable(Exception):
    """The database is away or busy; nothing was changed, the call may be repeated."""


class ExecutionUnknown(LookupError):
    """The journal has no execution of this uid."""


class ValuesLost(LookupError):
    """Values that were to be inherited are not in the journal any more."""


class CorruptJournal(Exception):
    """This version cannot make sense of what the journal holds of one execution: `why` says what is wrong."""

    def __init__(self, uid: str, why: str) -> None:
        super().__init__(f"execution {uid}: {why}")
        self.uid = uid
        self.why = why


@dataclass(frozen=True)
class Advance:
    """What one committed advance did."""

    state: State
    events: tuple[ev.Event, ...]
    accepted: tuple[bool, ...]
    step: str | None = None
    """The step whose attempt the claiming sandbox has now."""
    values: Mapping[str, Json] = field(default_factory=dict)
    """JSON of the digests that the payload of `step` names: all that an assignment needs."""


@dataclass(frozen=True)
class Inherited:
    """Values of an earlier execution that a new one names: they become its own as well."""

    uid: str
    digests: Sequence[str]


@dataclass(frozen=True)
class ExecutionRef:
    """Which execution a uid stands for."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True)
class LogChunk:
    """A piece of what an attempt printed. `n` counts per attempt; stream `end` marks the last."""

    step: str
    attempt: int
    n: int
    stream: str
    at: str
    text: str


@dataclass(frozen=True)
class Notice:
    """Something changed: `topic` is one of TOPICS, `id` its object.

    `progress` is of an execution of which nothing began or ended but calls of its agents.

    Notices may be lost or repeated; whoever waits for one also looks at least once a second. `listening`
    tells that notices are heard from now on, and that earlier ones may have been lost.
    """

    topic: str
    id: str
    seq: int = field(default=0, compare=False)
    """Of an execution: the number of the event that is told of last."""


#: What notices may be about.
TOPICS = (
    "execution",
    "progress",
    "control",
    "sandbox",
    "delivery",
    "sealed",
    "log",
    "approval",
    "signal",
    "model",
    "grant",
    "tool",
    "tool-check",
    "tool-checked",
)


class Journal(Protocol):
    """The log of every execution, and the rows that follow from it."""

    async def advance(
        self,
        uid: str,
        facts: Sequence[ev.Event] = (),
        *,
        claim: str | None = None,
        definition: Mapping[str, Any] | None = None,
        outputs: Mapping[str, bytes] | None = None,
        inherited: Inherited | None = None,
    ) -> Advance:
        """Appends facts and what follows from them, in one transaction.

        `claim` names the sandbox that asks for an attempt. `definition` goes with Created; `outputs` (digest
        -> canonical JSON) holds the values that AttemptSucceeded and Created name by digest; what Created
        recalls names those that are `inherited`, which raises ValuesLost if they are gone. Writes nothing
        when there is nothing new. U+0000 and lone surrogates in the texts of a failure are replaced.
        Raises ExecutionUnknown, JournalUnavailable, CorruptJournal, InvalidValue for a value that is not
        JSON, and InvalidDefinition.
        """
        ...

    async def read(self, uid: str) -> State:
        """The state as last committed; raises ExecutionUnknown, JournalUnavailable, CorruptJournal."""
        ...

    async def values(self, uid: str, digests: Sequence[str]) -> dict[str, Json]:
        """The JSON of these digests of this execution; a digest that it does not have is left out."""
        ...

    async def due(self, limit: int) -> list[str]:
        """Advances up to `limit` executions whose time has come; returns the uids of those it advanced.

        One that cannot be advanced is logged, and put off for a minute; the others go on.
        """
        ...

    async def unfinished(self) -> list[ExecutionRef]:
        """Executions that have not ended."""
        ...

    async def append_logs(self, uid: str, chunks: Sequence[LogChunk]) -> None:
        """Stores chunks; those already there change nothing. U+0000 and lone surrogates are replaced.

        Raises ExecutionUnknown, JournalUnavailable.
        """
        ...

    async def logs(self, uid: str, after: Mapping[tuple[str, int], int], limit: int) -> list[LogChunk]:
        """Chunks with n greater than `after[(step, attempt)]` (default: all), oldest first."""
        ...

    def listen(self, topics: Collection[str] = TOPICS) -> AsyncIterator[Notice]:
        """Notices of `topics` as they are committed; ends only when cancelled, reconnects by itself. One a
        process, which is woken by nothing else."""
        ...

    async def forget(self, uids: Sequence[str]) -> None:
        """Deletes all there is of these executions; unknown ones are no error."""
        ...

    async def prune(self, older_than: float) -> int:
        """Deletes some executions finished over `older_than` seconds ago, and says how many: 0 is the end."""
        ...


async def json_of(journal: Journal, uid: str, value: Value) -> Json:
    """The JSON that a value of an execution stands for, loaded where it is stored by digest."""
    values = Values()
    if isinstance(value, Stored):
        values.loaded.update(await journal.values(uid, [value.digest]))
    return values.get(value)


async def arguments_of(journal: Journal, uid: str, payload: Value) -> dict[str, Json]:
    """The arguments that a payload of an execution holds, loaded where they are stored by digest."""
    return await load_arguments(payload, partial(journal.values, uid))


async def load_arguments(
    payload: Value, load: Callable[[Sequence[str]], Awaitable[Mapping[str, Json]]]
) -> dict[str, Json]:
    """The arguments that a payload holds; `load` gives the JSON of digests."""
    values = Values()
    if isinstance(payload, Stored):
        values.loaded.update(await load([payload.digest]))
    held = values.get(payload)
    if named := digests(held):
        values.loaded.update(await load(named))
    return inputs_of(held, values)


class PolicyTable(Protocol):
    """The ExecutionPolicies that hold for each namespace, as objects with name and spec."""

    async def all(self) -> dict[str, list[dict[str, Any]]]:
        """The policies of every namespace that has any."""
        ...

    async def get(self, namespace: str) -> list[dict[str, Any]]:
        """The policies of a namespace, by name."""
        ...

    async def put(self, namespace: str, policies: Sequence[Mapping[str, Any]]) -> None:
        """Sets the policies of a namespace; none: its row goes."""
        ...
