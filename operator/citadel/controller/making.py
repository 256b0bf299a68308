"""The pods of sandboxes as they are made: each once, under a deterministic name, or found to be there."""

from collections.abc import Callable, Mapping
from typing import Any

from citadel.api.meta import EXECUTION_ANNOTATION, SPEC_HASH_ANNOTATION
from citadel.api.reasons import Reason
from citadel.controller.pods import Diagnosis
from citadel.controller.site import RuntimeClasses
from citadel.kube.client import KubeClient
from citadel.kube.errors import AlreadyExists, Forbidden, Invalid
from citadel.kube.resources import PODS, Object
from citadel.render.pod import sandbox_pod
from citadel.store.sandboxes import SandboxRow


class Unmade(Exception):
    """There will be no pod for a sandbox, and its `diagnosis` says why."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.message)
        self.diagnosis = diagnosis


class PodMaker:
    """Makes pods from the templates of rows."""

    def __init__(
        self, kube: KubeClient, classes: RuntimeClasses, namespace: str, make_key: Callable[[], str]
    ) -> None:
        self._kube, self._classes = kube, classes
        self._namespace, self._make_key = namespace, make_key

    async def make(self, row: SandboxRow) -> Object:
        """The pod of a sandbox, made now or before; raises Unmade, and Forbidden for want of quota."""
        manifest = await self._manifest(row)
        try:
            return await self._kube.create(PODS, manifest)
        except AlreadyExists:
            return await self._found(row, manifest)
        except (Invalid, Forbidden) as error:
            if isinstance(error, Forbidden) and "quota" in str(error):
                raise
            message = f"the API server refuses the pod: {error}"
            raise Unmade(Diagnosis(ended=Reason.SANDBOX_START_FAILED, message=message)) from None

    async def adopt(self, row: SandboxRow) -> Object:
        """The pod that is there already, if it is the one we would have made; raises Unmade."""
        return await self._found(row, await self._manifest(row))

    async def _found(self, row: SandboxRow, manifest: Object) -> Object:
        found = await self._kube.get(PODS, row.name, self._namespace)
        if _same(found, manifest):
            return found
        message = f"a pod named {row.name} exists that was not made for this sandbox"
        raise Unmade(Diagnosis(ended=Reason.SANDBOX_START_FAILED, message=message))

    async def _manifest(self, row: SandboxRow) -> Object:
        execution = f"{row.namespace}/{row.execution}" if row.uid is not None else pool_name(row)
        site = await self._classes.site(row.template.get("runtimeClassName"))
        return sandbox_pod(row.name, execution, row.template, site, self._make_key())


def pool_name(row: SandboxRow) -> str:
    """What stands for the execution at the pod of a pool's member; no namespace has such a name."""
    return f"pool:{row.namespace}/{row.execution}"


def _same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a pod that was there already is the one we would have made."""
    here, ours = found["metadata"].get("annotations") or {}, wanted["metadata"]["annotations"]
    return all(here.get(key) == ours[key] for key in (EXECUTION_ANNOTATION, SPEC_HASH_ANNOTATION))
