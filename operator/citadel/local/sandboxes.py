"""What an execution on this machine asks of its sandboxes, whatever they are made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from citadel.core.dispatch import Dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.local.artifacts import Parcels
from citadel.local.capture import Output

if TYPE_CHECKING:
    from citadel.local.door import Attendant


class SandboxEnded(Exception):
    """The sandbox has ended, or does not get ready: it is of no use any more."""


class Sandbox(Protocol):
    """What takes one attempt after another, of the steps of one placement."""

    @property
    def spent(self) -> bool:
        """Whether it can take no further attempt, because it cannot be made clean."""
        ...

    async def start(self) -> None:
        """Makes it ready; raises SandboxEnded, OSError."""
        ...

    async def run(
        self,
        given: Dispatch,
        arguments: Mapping[str, Json],
        parcels: Parcels,
        output: Output,
        attendant: "Attendant | None" = None,
    ) -> "Json | Failure":
        """Runs one attempt to its end; its output, or why it failed. Raises SandboxEnded.

        `attendant` answers it where it is an agent's.
        """
        ...

    def cancel(self, grace: float) -> None:
        """Asks the running attempt to end, and ends it after `grace` seconds."""
        ...

    def close(self) -> None:
        """Ends every process of this sandbox, and removes its folders."""
        ...
