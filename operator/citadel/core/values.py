"""Values in the journal: small ones stand in the event, larger ones are named by digest.

Nothing here touches a database: `Values` holds what was loaded for one decision, and collects what it made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from citadel.core.jsonvalues import Json, canonical, digest
from citadel.core.tickets import Standing, Ticket

#: Bytes of canonical JSON up to which a value stands in its event; events stay under 4 kB.
INLINE_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Inline:
    """A value that stands where it is used."""

    value: Json


@dataclass(frozen=True, slots=True)
class Stored:
    """A value by the digest of its canonical JSON; `size` is in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class ByReference:
    """A key of a ConfigMap or Secret: resolved at dispatch, sealed to one sandbox, never in the journal."""

    kind: str
    name: str
    key: str

    @property
    def secret(self) -> bool:
        return self.kind == "Secret"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes outside the journal, by their digest: a program, a file, a tree. `size` is in bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class BuildKey:
    """What a program was made of, by digest. What one namespace has built is nothing to another."""

    namespace: str
    digest: str


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What the output of a step with a cache depends on, by digest. Each namespace has its own."""

    namespace: str
    digest: str


@dataclass(frozen=True, slots=True)
class Cached:
    """What a step gave before, `at` seconds since the epoch, in the execution `origin`."""

    output: Json
    artifacts: Mapping[str, Content]
    at: float
    origin: str


Value = Inline | Stored
Argument = Inline | Stored | ByReference


class MissingValues(LookupError):
    """A decision needs what was not loaded: load `digests`, look up `builds`, `cached` and the standing of
    `ticket`, decide again.
    """

    def __init__(
        self,
        digests: frozenset[str] = frozenset(),
        builds: frozenset[BuildKey] = frozenset(),
        cached: frozenset[CacheKey] = frozenset(),
        ticket: Ticket | None = None,
    ) -> None:
        keys = {key.digest for key in builds} | {key.digest for key in cached}
        super().__init__(", ".join(sorted(digests | keys)))
        self.digests = digests
        self.builds = builds
        self.cached = cached
        self.ticket = ticket


@dataclass(slots=True)
class Values:
    """Values of one decision: those loaded before it, and those it makes (digest -> canonical JSON)."""

    loaded: dict[str, Json] = field(default_factory=dict)
    made: dict[str, bytes] = field(default_factory=dict)
    builds: dict[BuildKey, Content | None] = field(default_factory=dict)
    """What was looked up of earlier builds; None where there is none."""
    cached: dict[CacheKey, Cached | None] = field(default_factory=dict)
    """The same of steps with a cache."""
    standing: Standing | None = None
    """How it stands in its concurrency group; None while that was not asked."""

    def get(self, value: Value) -> Json:
        """The JSON a value stands for; raises MissingValues when it is not loaded."""
        if isinstance(value, Inline):
            return value.value
        try:
            return self.loaded[value.digest]
        except KeyError:
            raise MissingValues(frozenset((value.digest,))) from None

    def missing(self, values: Iterable[Value]) -> frozenset[str]:
        """The digests among `values` that are not loaded."""
        return frozenset(v.digest for v in values if isinstance(v, Stored) and v.digest not in self.loaded)

    def put(self, content: Json) -> Value:
        """`content` as a value; what is too large for an event is collected in `made`."""
        encoded = canonical(content)
        if len(encoded) <= INLINE_LIMIT:
            return Inline(content)
        name = digest(encoded)
        self.made[name] = encoded
        self.loaded[name] = content
        return Stored(name, len(encoded))


def encode(value: Argument) -> dict[str, Json]:
    """The value as it stands in an event."""
    if isinstance(value, Inline):
        return {"v": value.value}
    if isinstance(value, Stored):
        return {"d": value.digest, "n": value.size}
    return {"ref": {"kind": value.kind, "name": value.name, "key": value.key}}


def decode(data: Mapping[str, Any]) -> Argument:
    """The inverse of `encode`."""
    if "v" in data:
        return Inline(data["v"])
    if "d" in data:
        return Stored(data["d"], data["n"])
    return ByReference(**data["ref"])


def decode_value(data: Mapping[str, Any]) -> Value:
    """`decode` where a reference is impossible."""
    value = decode(data)
    if isinstance(value, ByReference):
        raise TypeError("found a reference, expected a value")
    return value
