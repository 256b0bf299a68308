"""Whether Models can be asked: their conditions."""

from citadel.controller.checking import Unusable, together
from citadel.controller.models import Found, Models, read_model
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
        except Unusable as invalid:
            await self._readiness.write(MODELS, obj, invalid)
            return RECHECK if invalid.waits else None
        asked, problems = [model], []
        try:
            asked = self._models.chain(namespace, name)
        except Unusable as broken:
            problems.append(broken)
        for each in asked:
            problems += await self._problems(model, each)
        problem = together(problems)
        await self._readiness.write(MODELS, obj, problem)
        if problem is not None:
            return RECHECK if problem.waits else None
        return AGAIN if any(each.spec.credential is not None for each in asked) else None

    async def _problems(self, model: Found, asked: Found) -> list[Unusable]:
        """Why a Model cannot ask one of its chain: itself, or a fallback."""
        found = []
        for check in (self._models.credential, self._models.permitted):
            try:
                await check(asked)
            except Unusable as problem:
                within = "" if asked.key == model.key else f"fallback of Model {model.name}: "
                message = f"{within}{problem.message}"[:1024]
                found.append(Unusable(problem.reason, message, waits=problem.waits, grace=problem.grace))
        return found
