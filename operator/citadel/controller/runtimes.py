"""The Runtimes that every installation has, in the operator's namespace, where all namespaces may use them.

The controller applies them, not Helm: on a first install their kind exists only after the chart's CRDs do.
Must never set more than language, image and a pool that the chart names, so that what an admin adds
(resources, node selector) stays.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from citadel.api.meta import API_VERSION
from citadel.api.runtime import LANGUAGES, RuntimeSpec
from citadel.kube.client import KubeClient, Patch
from citadel.kube.resources import RUNTIMES, Object
from citadel.settings import InvalidSettings, Settings

FIELD_MANAGER = "citadel-controller"


def default_runtimes(
    images: Mapping[str, str], namespace: str, pools: Mapping[str, Any] = MappingProxyType({})
) -> Iterable[Object]:
    """One Runtime per language, named as the language; raises InvalidSettings for an unknown one."""
    for language, image in sorted(images.items()):
        if language not in LANGUAGES:
            raise InvalidSettings(
                f"environment variable CITADEL_RUNTIME_IMAGE_{language.upper()}: "
                f"found language {language!r}, expected one of {', '.join(LANGUAGES)}"
            )
        given = {"language": language, "image": image}
        if language in pools:
            given["pool"] = pools[language]
        try:
            spec = RuntimeSpec.model_validate(given)
        except ValidationError as error:
            raise InvalidSettings(
                f"environment variable CITADEL_RUNTIME_POOLS: found {pools.get(language)!r} for {language}, "
                f"expected a pool: {error.errors()[0]['msg']}"
            ) from None
        yield {
            "apiVersion": API_VERSION,
            "kind": "Runtime",
            "metadata": {
                "name": language,
                "namespace": namespace,
                "labels": {
                    "app.kubernetes.io/name": "citadel",
                    "app.kubernetes.io/part-of": "citadel",
                    "app.kubernetes.io/managed-by": FIELD_MANAGER,
                },
            },
            "spec": spec.model_dump(by_alias=True, include=set(given)),
        }


async def apply_default_runtimes(kube: KubeClient, settings: Settings) -> None:
    """Server-side apply of the default Runtimes; raises ApiError."""
    for runtime in default_runtimes(settings.runtime_images, settings.namespace, settings.runtime_pools):
        await kube.patch(
            RUNTIMES,
            runtime["metadata"]["name"],
            runtime,
            settings.namespace,
            kind=Patch.APPLY,
            field_manager=FIELD_MANAGER,
        )
