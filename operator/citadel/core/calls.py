"""Calls of tools that agents have made, as the state keeps them. They are instances of hidden steps.

`write.search[3]` is the third call of the tool `search` by the step `write`, in whatever attempt; what is
none of its tools is called `write.refused[1]`.
"""

from dataclasses import dataclass

from immutables import Map

from citadel.core.copying import replace
from citadel.core.values import Value

#: What the calls of what is no tool of the agent are called.
REFUSED = "refused"
#: Below a tool whose calls people approve: their question, and the call itself.
APPROVE, CALL = "approve", "call"


@dataclass(frozen=True, slots=True)
class Call:
    """One call."""

    step: str
    """The agent step."""
    attempt: int
    tool: str
    """As the agent calls it."""
    arguments: Value
    of_tool: int
    """Which one of this tool in its attempt, from 1."""
    order: int
    """Which one of the step in all, from 1."""


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of one agent step."""

    attempt: int = 0
    instances: Map[str, str] = Map()  # noqa: RUF009 - immutable
    """The calls of this attempt: instances by the ids of calls."""
    of_attempt: Map[str, int] = Map()  # noqa: RUF009 - immutable
    """How many in this attempt, by tool."""
    of_step: Map[str, int] = Map()  # noqa: RUF009 - immutable
    """How many in all, by the name of the hidden step."""
    total: int = 0

    def add(self, attempt: int, call: str, tool: str, name: str, instance: str) -> "Calls":
        """The same with one more: of `tool` as the agent calls it, of the hidden step `name`."""
        again = attempt == self.attempt
        instances = self.instances if again else Map[str, str]()
        of_attempt = self.of_attempt if again else Map[str, int]()
        return replace(
            self,
            attempt=attempt,
            instances=instances.set(call, instance),
            of_attempt=of_attempt.set(tool, of_attempt.get(tool, 0) + 1),
            of_step=self.of_step.set(name, self.of_step.get(name, 0) + 1),
            total=self.total + 1,
        )

    def made(self, attempt: int) -> int:
        """How many calls an attempt has made."""
        return len(self.instances) if attempt == self.attempt else 0
