"""Who is asked, for whom, who pays, and what is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.core.spending import Account, Turn
from citadel.llm.provider import Answer, Request


@dataclass(frozen=True)
class Target:
    """A Model that may be asked."""

    name: str
    key: str
    """`namespace/name`."""
    spec: ModelSpec
    uid: str = ""
    """Of the object; where there is none, nothing is kept in a cache."""
    version: str = ""
    """Of the credential."""

    @classmethod
    def placed(cls, body: Mapping[str, Any]) -> "Target":
        """As the controller places it with a call or a grant."""
        spec = ModelSpec.model_validate(body["spec"])
        return cls(body["name"], body["key"], spec, body.get("uid") or "", body.get("version") or "")


@dataclass(frozen=True)
class Payer:
    """Which attempt asks, whom it may ask, and what pays for it."""

    uid: str
    step: str
    attempt: int
    namespace: str
    targets: tuple[Target, ...]
    """The Model, and its fallbacks in order."""
    accounts: tuple[Account, ...]
    turn: Turn | None = None
    """Of an agent: how often it may ask."""


@dataclass(frozen=True)
class Told:
    """One attempt to ask a provider, for whoever counts."""

    model: str
    provider: str
    outcome: str
    seconds: float
    tokens: int = 0
    cost: int = 0


@dataclass(frozen=True)
class Asked:
    """One attempt to ask a provider, for traces."""

    payer: Payer
    target: Target
    request: Request
    began: float
    """Seconds since the epoch, as its end."""
    ended: float
    answer: Answer | None
    outcome: str


class Failed(Exception):
    """The call gives nothing. `retry_after` are seconds after which it may, where the provider said so."""

    def __init__(self, reason: Reason, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_after = reason, message, retry_after

    @property
    def stops(self) -> bool:
        """Whether the step of an agent ends by it, whatever the agent makes of the refusal."""
        return self.reason in (Reason.BUDGET_EXCEEDED, Reason.TURN_LIMIT_EXCEEDED)
