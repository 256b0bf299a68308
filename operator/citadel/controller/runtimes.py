"""The Runtimes that every installation has, in the operator's namespace, where all namespaces may use them.

The controller applies them, not Helm: on a first install their kind exists only after the chart's CRDs do.
Must never set more than language, image, and the pool and resources that the chart names, so that what an
admin adds (a node selector) stays.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from citadel.api.meta import AGENTS_ANNOTATION, API_VERSION
from citadel.api.runtime import LANGUAGES, RuntimeSpec
from citadel.kube.client import KubeClient, Patch
from citadel.kube.resources import RUNTIMES, Object
from citadel.settings import InvalidSettings, Settings

FIELD_MANAGER = "citadel-controller"
#: Of Runtimes that are not called as their language.
_LANGUAGE_OF = {"agent": "python"}
_MANAGED_BY = "app.kubernetes.io/managed-by"


def default_runtimes(
    images: Mapping[str, str],
    namespace: str,
    pools: Mapping[str, Any] = MappingProxyType({}),
    resources: Mapping[str, Any] = MappingProxyType({}),
) -> Iterable[Object]:
    """One Runtime per language, named as the language, and `agent`; raises InvalidSettings for others."""
    for name, image in sorted(images.items()):
        language = _LANGUAGE_OF.get(name, name)
        if language not in LANGUAGES:
            raise InvalidSettings(
                f"environment variable CITADEL_RUNTIME_IMAGE_{name.upper()}: "
                f"found language {name!r}, expected one of {', '.join((*LANGUAGES, *_LANGUAGE_OF))}"
            )
        given: dict[str, Any] = {"language": language, "image": image}
        for field, settings in (("pool", pools), ("resources", resources)):
            if name in settings:
                given[field] = settings[name]
        try:
            spec = RuntimeSpec.model_validate(given)
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            variable = {"pool": "POOLS", "resources": "RESOURCES"}.get(field, f"IMAGE_{name.upper()}")
            raise InvalidSettings(
                f"environment variable CITADEL_RUNTIME_{variable}: found {given.get(field)!r} for {name}, "
                f"expected {field}: {error.errors()[0]['msg']}"
            ) from None
        yield {
            "apiVersion": API_VERSION,
            "kind": "Runtime",
            "metadata": {
                **({"annotations": {AGENTS_ANNOTATION: "true"}} if name == "agent" else {}),
                "name": name,
                "namespace": namespace,
                "labels": {
                    "app.kubernetes.io/name": "citadel",
                    "app.kubernetes.io/part-of": "citadel",
                    _MANAGED_BY: FIELD_MANAGER,
                },
            },
            "spec": spec.model_dump(by_alias=True, include=set(given), exclude_none=True),
        }


def runs_no_agents(runtime: Object) -> bool:
    """Whether a Runtime is one of these, and not that of agents. Of any other only its image says that."""
    metadata = runtime["metadata"]
    is_default = (metadata.get("labels") or {}).get(_MANAGED_BY) == FIELD_MANAGER
    return is_default and (metadata.get("annotations") or {}).get(AGENTS_ANNOTATION) != "true"


async def apply_default_runtimes(kube: KubeClient, settings: Settings) -> None:
    """Server-side apply of the default Runtimes; raises ApiError."""
    given = settings.runtime_images, settings.namespace, settings.runtime_pools, settings.runtime_resources
    for runtime in default_runtimes(*given):
        await kube.patch(
            RUNTIMES,
            runtime["metadata"]["name"],
            runtime,
            settings.namespace,
            kind=Patch.APPLY,
            field_manager=FIELD_MANAGER,
        )
