"""Which image a reference stands for: told by the first pod that runs it, pinned from then on.

A tag can be moved, and nodes may hold different images under it; one execution runs one.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from citadel.api.reasons import Reason
from citadel.api.runtime import SeenImage
from citadel.controller.pods import Diagnosis
from citadel.core.policy import full_reference
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import Conflict, NotFound
from citadel.kube.resources import RUNTIMES, Object
from citadel.store.caching import Lru
from citadel.store.sandboxes import Sandboxes, SandboxRow

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def seen(runtime: Object) -> SeenImage | None:
    """What the status says of the image that the spec names."""
    status = runtime.get("status")
    said = status.get("image") if isinstance(status, dict) else None
    try:
        found = SeenImage.model_validate(said) if said is not None else None
    except ValueError:
        return None
    return found if found is not None and found.reference == runtime["spec"].get("image") else None


def pinned(runtime: Object) -> dict[str, Any]:
    """The spec of a Runtime, its image by digest where a registry has given it one; the tag stays."""
    spec, found = dict(runtime["spec"]), seen(runtime)
    if found is not None and (digest := _digest(found)) is not None:
        spec["image"] = f"{spec['image']}@{digest}"
    return spec


def image_ids(runtimes: Mapping[str, Object]) -> dict[str, str]:
    """The ids of images that have no digest a node could be asked for: they were imported."""
    found = {name: seen(item) for name, item in runtimes.items()}
    return {
        name: item.id
        for name, item in found.items()
        if item is not None and "@" not in item.reference and _digest(item) is None
    }


def _digest(found: SeenImage) -> str | None:
    """The digest by which an image can be had where its tag can. What is imported has digests too, under
    names that no registry knows."""
    repository, _, digest = found.id.rpartition("@")
    if "@" in found.reference or not repository or not _DIGEST.fullmatch(digest):
        return None
    named, told = (
        full_reference(found.reference),
        full_reference(repository.partition("://")[2] or repository),
    )
    folder, slash, last = named.rpartition("/")
    same = f"{folder}{slash}{last.partition(':')[0]}" == told
    return digest if same and not named.startswith("localhost/") else None


def _is_settled(row: SandboxRow) -> bool:
    """Whether nothing need be remembered of a row's image: it is known, or named by a digest."""
    return "imageId" in row.template or "@" in row.template["image"]


def _reference(template: Mapping[str, Any]) -> str:
    """What a template named before it was pinned."""
    reference, _, digest = str(template["image"]).partition("@")
    return reference if digest and "imageId" in template else str(template["image"])


def image_of(pod: Mapping[str, Any]) -> str | None:
    """The id of the image that a pod's user code runs in, once it runs."""
    for item in (pod.get("status") or {}).get("containerStatuses") or ():
        if item.get("name") == "main" and item.get("imageID"):
            return str(item["imageID"])
    return None


class Images:
    """Notes what references stand for: for Runtimes, and for executions, whose sandboxes are held to it."""

    def __init__(self, kube: KubeClient, cache: Cache, sandboxes: Sandboxes) -> None:
        self._kube, self._cache, self._sandboxes = kube, cache, sandboxes
        self._first: Lru[tuple[str, str], str] = Lru(10_000)
        """What the rows of an execution say: (uid, reference) -> id, empty where none says it yet."""
        self._telling = asyncio.Lock()

    async def pin(self, row: SandboxRow) -> SandboxRow:
        """The row of a sandbox that is to be made, with the image that its execution has run before.

        Runtimes have theirs in the definition, once it is known; images of container steps are known from
        the execution's first sandbox on.
        """
        if row.uid is None or _is_settled(row):
            return row
        reference = str(row.template["image"])
        known = await self._known(row.uid, reference)
        if not known:
            return row
        digest = _digest(SeenImage(reference=reference[:512], id=known))
        image = reference if digest is None else f"{reference}@{digest}"
        template = {**row.template, "image": image, "imageId": known}
        # Kept before the pod is made: whoever finds that pod knows it by this template.
        await self._sandboxes.observe(row.name, template=template)
        return replace(row, template=template)

    async def check(self, row: SandboxRow, pod: Mapping[str, Any]) -> Diagnosis | None:
        """Why a sandbox must not go on; None where its image is the right one, or not known yet."""
        found = image_of(pod)
        if found is None:
            return None
        reference = str(row.template["image"])
        if "language" in row.template:
            await self._note(reference, found)
        expected = row.template.get("imageId")
        if expected is None and row.uid is not None and not _is_settled(row):
            expected = await self._first_seen(row, row.uid, reference, found[:512])
        # Of the same image, nodes that imported it at different times may name different folders.
        if expected is None or expected.rpartition("@")[2] == found.rpartition("@")[2]:
            return None
        message = (
            f"image {reference}: found {found} on this node, expected {expected} as in this execution before"
        )
        return Diagnosis(ended=Reason.SANDBOX_START_FAILED, message=message)

    async def _first_seen(self, row: SandboxRow, uid: str, reference: str, found: str) -> str:
        """What a reference stands for in an execution: whoever runs it first says so for all."""
        async with self._telling:
            known = await self._known(uid, reference)
            if not known:
                await self._sandboxes.observe(row.name, template={**row.template, "imageId": found})
                self._first.put((uid, reference), found)
            return known or found

    async def _known(self, uid: str, reference: str) -> str:
        """What the rows of an execution say of a reference: asked once, as whatever changes comes by here."""
        known = self._first.get((uid, reference))
        if known is None:
            rows = (row.template for row in await self._sandboxes.of(uid))
            said = (item for item in rows if _reference(item) == reference and item.get("imageId"))
            known = next((str(item["imageId"]) for item in said), "")
            self._first.put((uid, reference), known)
        return known

    async def _note(self, reference: str, found: str) -> None:
        """Writes what a reference stands for into the Runtimes that name it, when that is news."""
        said = SeenImage(reference=reference[:512], id=found[:512])
        for runtime in self._cache.objects(RUNTIMES):
            if runtime["spec"].get("image") != reference or seen(runtime) is not None:
                continue
            metadata = runtime["metadata"]
            try:
                written = await self._kube.patch_status(
                    RUNTIMES,
                    metadata["name"],
                    {"image": said.model_dump(mode="json", by_alias=True)},
                    metadata["namespace"],
                    uid=metadata["uid"],
                )
            except (NotFound, Conflict):
                continue
            self._cache.put(RUNTIMES, written)
