"""Checks of tools: which functions has this MCP server? Placed by the controller, made by `tools`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from citadel.store.calls import Leases, Passages

#: What the connections of checks are told as, which are of no step: name and attempt.
CHECK = ("check", 1)


@dataclass(frozen=True)
class Check:
    """One check of a Tool. Another digest is another check, which takes the place of the last one."""

    namespace: str
    name: str
    digest: str
    """Of all that the answer depends on, as whoever places it has it: a spec, the version of a Secret."""
    body: Mapping[str, Any]
    """What is asked: see `core/toolcalls.py`."""
    hosts: tuple[str, ...] = ()
    sealed: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by."""
        return self.namespace, self.name, self.digest


@dataclass(frozen=True)
class Checked:
    """What came of a check."""

    digest: str
    """Of the check that this answers."""
    at: float
    result: Mapping[str, Any]
    """`{"digest": …, "functions": {name: {"description", "parameters"}}}`; else `{"reason", "message"}`."""


class ToolChecks(Leases[Check], Passages, Protocol):
    """Checks that are to be made, and what came of them: one of a Tool at a time."""

    async def place(self, check: Check, again: float | None = None) -> None:
        """Wants a check. One of the same digest stays as it is, unless it was answered before the time
        `again`; then its answer is kept until there is a new one."""
        ...

    async def checked(self, namespace: str, name: str) -> Checked | None:
        """The last answer of a Tool."""
        ...

    async def answer(self, holder: str, check: Check, result: Mapping[str, Any]) -> None:
        """What came of a check, if it is still the holder's; announced as the topic `tool-checked`."""
        ...

    async def forget(self, namespace: str, name: str) -> None:
        """The Tool is gone."""
        ...
