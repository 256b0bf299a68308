"""OpenAPI documents in ConfigMaps: read, and their operations found; each once while it does not change."""

import asyncio

from citadel.api.reasons import Reason
from citadel.api.tool import OpenApi
from citadel.controller.checking import Unusable
from citadel.controller.referring import References, Unread
from citadel.core.jsonvalues import digest
from citadel.core.openapi import InvalidDocument, Operation
from citadel.core.operations import read_operation
from citadel.core.values import ByReference
from citadel.store.caching import Lru


class Documents:
    """Reads operations."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._known: Lru[tuple[str, str], Operation] = Lru(1000)

    async def operation(self, namespace: str, ref: OpenApi, where: str) -> Operation:
        """The operation that is meant; raises Unusable."""
        key = ref.config_map_key_ref
        try:
            text, _ = await self._references.read(
                namespace, ByReference("ConfigMap", key.name, key.key), where
            )
        except Unread as unread:
            raise Unusable(unread.reason, unread.message, waits=True) from None
        known = digest(text.encode("utf-8", "replace")), ref.operation
        found = self._known.get(known)
        if found is None:
            try:
                # A megabyte of YAML takes seconds: others are not to wait for that.
                found = await asyncio.to_thread(read_operation, text, ref.operation)
            except InvalidDocument as error:
                message = f"{where}: key {key.key} of ConfigMap {key.name}: {error}"
                raise Unusable(Reason.INVALID_SPEC, message[:1024], waits=True) from None
            self._known.put(known, found)
        return found
