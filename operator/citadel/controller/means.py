"""What it takes to ask a Model: itself and its fallbacks, their credentials, sealed, and where they are."""

from dataclasses import dataclass, field
from typing import Any

from citadel.controller.credentials import Credential
from citadel.controller.models import Found, Models
from citadel.controller.sealing import Sealer


@dataclass(frozen=True)
class Gathered:
    """The Models to ask, in order."""

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
        asked, told, sealed = self._models.chain(namespace, name), [], {}
        for model in asked:
            found = await self._models.credential(model)
            if found is not None:
                sealed[model.key] = await self.sealer.credential(found.key, model.spec.destination)
            told.append(_told(model, found))
        hosts = {model.spec.destination for model in asked} - {None}
        return Gathered(told, tuple(sorted(map(str, hosts))), sealed)


def _told(model: Found, credential: Credential | None) -> dict[str, Any]:
    """A Model as the model gateway gets it; by the versions of both it knows which answers are still its."""
    spec = model.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    version = "" if credential is None else credential.version
    return {"name": model.name, "key": model.key, "spec": spec, "uid": model.uid, "version": version}
