"""What it takes to ask a Model: itself and its fallbacks, their credentials, sealed, and where they are."""

from dataclasses import dataclass, field
from typing import Any

from citadel.controller.checking import Unusable
from citadel.controller.credentials import Credential
from citadel.controller.models import Found, Models
from citadel.controller.sealing import Sealer


@dataclass(frozen=True)
class Gathered:
    """The Models to ask, in order, but for fallbacks whose credential cannot be read."""

    models: list[dict[str, Any]]
    hosts: tuple[str, ...]
    """Where they are asked, as `host:port`."""
    sealed: dict[str, str] = field(repr=False)
    """Their credentials, by Model, sealed to the model gateways."""


class Means:
    """Gathers them. `sealer` seals to the model gateways."""

    def __init__(self, models: Models, sealer: Sealer) -> None:
        self._models, self.sealer = models, sealer

    async def gather(self, namespace: str, name: str) -> Gathered:
        """All for a Model as a namespace names it; raises Unusable."""
        told: list[dict[str, Any]] = []
        sealed: dict[str, str] = {}
        hosts: set[str] = set()
        for model in self._models.chain(namespace, name):
            try:
                found = await self._models.credential(model)
            except Unusable:
                if not told:
                    raise
                continue  # the Model may well answer without; its condition says what is wrong
            if found is not None:
                sealed[model.key] = await self.sealer.credential(found.key, model.spec.destination)
            told.append(_told(model, found))
            if model.spec.destination is not None:
                hosts.add(model.spec.destination)
        return Gathered(told, tuple(sorted(hosts)), sealed)


def _told(model: Found, credential: Credential | None) -> dict[str, Any]:
    """A Model as the model gateway gets it; by the versions of both it knows which answers are still its."""
    spec = model.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    version = "" if credential is None else credential.version
    return {"name": model.name, "key": model.key, "spec": spec, "uid": model.uid, "version": version}
