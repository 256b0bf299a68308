"""A cache of the objects that watches deliver, trimmed to what is used.

Objects in it are shared and must never be changed by who reads them. It never asks the API server for
anything: a watch feeds it, and a periodic list corrects what the watch missed (`replace`).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from citadel.kube.resources import PODS, Object, Resource

_TOMBSTONES = 10_000


class Key(NamedTuple):
    """An object's place within its kind; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str


def key_of(obj: Object) -> Key:
    """The key of an object."""
    metadata = obj["metadata"]
    return Key(metadata.get("namespace") or "", metadata["name"])


def version_of(obj: Object) -> int:
    """The resourceVersion as a number, 0 when there is none: the higher, the newer."""
    text = str((obj.get("metadata") or {}).get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


def trim(resource: Resource, obj: Object) -> Object:
    """A copy without what nobody reads: managedFields everywhere, and of pods all but identity and state.

    A pod shrinks from some 6 kB to below 2 kB. Copies are shallow.
    """
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    if resource != PODS:
        return {**obj, "metadata": metadata}
    kept = (
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "annotations",
        "labels",
        "creationTimestamp",
        "deletionTimestamp",
    )
    node = (obj.get("spec") or {}).get("nodeName")
    identity: Object = {name: obj[name] for name in ("apiVersion", "kind") if name in obj}
    return {
        **identity,
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"nodeName": node} if node else {},
        "status": obj.get("status") or {},
    }


@dataclass(slots=True)
class _Kind:
    """What is known of one kind. `deleted` remembers at which version objects went, so that a list which was
    taken before, but arrives after, does not bring them back."""

    objects: dict[Key, Object] = field(default_factory=dict)
    deleted: dict[Key, int] = field(default_factory=dict)
    heard: float | None = None


class Cache:
    """Objects of several kinds by (namespace, name). For one event loop; `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[Resource, _Kind] = {}

    def put(self, resource: Resource, obj: Object) -> bool:
        """Take an object from a watch; False when what is here is as new or newer."""
        kind = self._kind(resource)
        kind.heard = self._clock()
        return self._put(kind, resource, obj)

    def delete(self, resource: Resource, obj: Object) -> bool:
        """Take a deletion from a watch; False when the object is not here, or has been made anew since."""
        kind = self._kind(resource)
        kind.heard = self._clock()
        key, version = key_of(obj), version_of(obj)
        here = kind.objects.get(key)
        if here is not None and version and version_of(here) > version:
            return False
        if version:
            kind.deleted[key] = version
            if len(kind.deleted) > _TOMBSTONES:
                del kind.deleted[next(iter(kind.deleted))]
        return kind.objects.pop(key, None) is not None

    def replace(self, resource: Resource, objects: Iterable[Object], resource_version: str = "") -> list[Key]:
        """Take a whole list, made at `resource_version`; returns the keys that are gone: mark and sweep.

        What a watch told after that version stays as it is. Without a version the list is the last word.
        """
        kind = self._kind(resource)
        kind.heard = self._clock()
        made = int(resource_version) if resource_version.isdigit() else None
        listed = {key_of(obj): obj for obj in objects}
        gone = [
            key
            for key, here in kind.objects.items()
            if key not in listed and (made is None or version_of(here) <= made)
        ]
        for key in gone:
            del kind.objects[key]
        if made is None:
            kind.deleted.clear()
        for obj in listed.values():
            self._put(kind, resource, obj)
        kind.deleted = {key: at for key, at in kind.deleted.items() if made is not None and at > made}
        return gone

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object, or None. Never change it."""
        return self._kind(resource).objects.get(Key(namespace, name))

    def objects(self, resource: Resource) -> list[Object]:
        """All objects of a kind."""
        return list(self._kind(resource).objects.values())

    def count(self, resource: Resource) -> int:
        """How many objects of a kind are here."""
        return len(self._kind(resource).objects)

    def touch(self, resource: Resource) -> None:
        """Note that the watch of a kind lives though nothing changed (a bookmark)."""
        self._kind(resource).heard = self._clock()

    def ages(self) -> Mapping[Resource, float | None]:
        """Seconds since anything was heard of each known kind; None: nothing yet. For liveness."""
        now = self._clock()
        return {
            resource: None if kind.heard is None else now - kind.heard
            for resource, kind in self._kinds.items()
        }

    def _kind(self, resource: Resource) -> _Kind:
        return self._kinds.setdefault(resource, _Kind())

    def _put(self, kind: _Kind, resource: Resource, obj: Object) -> bool:
        key, version = key_of(obj), version_of(obj)
        here = kind.objects.get(key)
        if version:
            if here is not None and version_of(here) >= version:
                return False
            if kind.deleted.get(key, 0) >= version:
                return False
        kind.objects[key] = trim(resource, obj)
        return True
