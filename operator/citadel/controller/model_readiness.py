"""Whether Models can be asked: their conditions."""

from citadel.controller.checking import Unusable
from citadel.controller.models import Models, read_model
from citadel.controller.readiness import RECHECK, Readiness
from citadel.kube.cache import Cache
from citadel.kube.resources import MODELS

#: Seconds between two looks at a Model that is ready: what its Secret holds nobody tells us.
AGAIN = 300.0


class ModelReadiness:
    """Reconciles the status of Models."""

    def __init__(self, cache: Cache, models: Models, readiness: Readiness) -> None:
        self._cache, self._models, self._readiness = cache, models, readiness

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One Model; returns seconds after which to look again."""
        obj = self._cache.get(MODELS, namespace, name)
        if obj is None:
            return None
        try:
            model = read_model(obj)
            self._models.chain(namespace, name)
            await self._models.credential(model)
            await self._models.permitted(model)
        except Unusable as problem:
            await self._readiness.write(MODELS, obj, problem)
            return RECHECK if problem.waits else None
        await self._readiness.write(MODELS, obj, None)
        return AGAIN if model.spec.credential is not None else None
