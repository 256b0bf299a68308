"""Executions that steps of others want: made, told what is passed down to them, and their ends passed on.

Observe (the journal of the one that wants, the object), decide (`core/children.py`, `render/child.py`, pure),
act. Names follow from step and attempt: who makes one again, after a crash or beside a former leader, finds
it. Labels are not believed: an object counts if it asks for just what the step does.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress

from citadel.api.reasons import Phase, Reason
from citadel.controller.objects import is_finished, status_of
from citadel.controller.watching import Key
from citadel.controller.wishes import target
from citadel.core import events as ev
from citadel.core.children import (
    MAX_DEPTH,
    Child,
    child_of,
    ended,
    failed,
    too_deep,
    wanted,
)
from citadel.core.jsonvalues import MAX_BYTES, Json, canonical
from citadel.core.state import State
from citadel.core.values import Values
from citadel.kube.cache import Cache, key_of
from citadel.kube.client import KubeClient
from citadel.kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from citadel.kube.resources import EXECUTIONS, Object
from citadel.render.child import execution_for, is_as_wanted, is_of, origin_of, passed_down
from citadel.store.archive import Archive
from citadel.store.journal import CorruptJournal, ExecutionUnknown, Journal, arguments_of, json_of

log = logging.getLogger(__name__)


class Children:
    """Keeps the executions within executions. `look` is told which Execution is to be looked at."""

    def __init__(
        self, kube: KubeClient, cache: Cache, journal: Journal, archive: Archive, look: Callable[[Key], None]
    ) -> None:
        self._kube, self._cache, self._journal, self._archive = kube, cache, journal, archive
        self._look = look
        self._parents: dict[str, str] = {}
        """Of each that is known by uid: the uid of the one that wants it."""
        self._within: dict[str, dict[str, Key]] = {}
        """The same the other way round, without those that have ended."""

    # ---- who belongs to whom

    def news(self, obj: Object) -> None:
        """An Execution is there."""
        origin, uid = origin_of(obj), obj["metadata"]["uid"]
        if origin is not None and uid not in self._parents:
            self._parents[uid] = origin.uid
            self._within.setdefault(origin.uid, {})[uid] = Key("execution", *key_of(obj))

    def gone(self, uid: str) -> str | None:
        """An Execution is there no longer; the uid of the one that wants it."""
        parent = self._parents.pop(uid, None)
        if parent is not None and (siblings := self._within.get(parent)) is not None:
            siblings.pop(uid, None)
            if not siblings:
                del self._within[parent]
        return parent

    # ---- of an execution that is wanted

    async def obey(self, obj: Object) -> Object:
        """Passes down to an Execution what is asked of the one that wants it; the object then."""
        origin, metadata = origin_of(obj), obj["metadata"]
        parent = None if origin is None else await self._state(origin.uid)
        if parent is None or (patch := passed_down(obj, parent)) is None:
            return obj
        about = {**patch.get("metadata", {}), "uid": metadata["uid"]}
        with suppress(NotFound, Conflict):
            body = {**patch, "metadata": about}
            obj = await self._kube.patch(EXECUTIONS, metadata["name"], body, metadata["namespace"])
            self._cache.put(EXECUTIONS, obj)
        return obj

    async def tell(self, obj: Object, state: State) -> None:
        """Passes the end of an Execution on to the one that wants it, before its object says so."""
        origin = origin_of(obj)
        parent = None if origin is None else await self._state(origin.uid)
        if origin is None or parent is None or parent.finished is not None:
            return
        child = child_of(parent, origin.step)
        if child is None or not is_of(obj, origin.uid, child):
            return
        await self._end(origin.uid, parent, child, obj, state)

    async def _end(self, uid: str, parent: State, child: Child, obj: Object, state: State) -> State:
        values = Values()
        if not is_as_wanted(obj, child, await arguments_of(self._journal, uid, child.payload)):
            fact = failed(child, f"{child.title} is not the one that the step asked for")
        else:
            outputs: Json = None
            if state.finished is not None and state.finished.outputs is not None:
                outputs = await json_of(self._journal, obj["metadata"]["uid"], state.finished.outputs)
            fact = ended(parent, child, state, outputs, values)
        return (await self._journal.advance(uid, [fact], outputs=values.made)).state

    # ---- of an execution that wants others

    async def follow(self, obj: Object, state: State) -> State:
        """Makes what steps of an Execution want, and takes their ends; its state then."""
        uid = obj["metadata"]["uid"]
        for child in list(wanted(state)):
            found = self._cache.get(EXECUTIONS, obj["metadata"]["namespace"], child.name)
            if found is None:
                fact = await self._make(obj, state, child)
            elif not is_of(found, uid, child):
                fact = failed(child, f"{child.title} exists, and is not of this step")
            elif is_finished(found):
                state = await self._collect(uid, state, child, found)
                continue
            else:
                continue
            if fact is not None:
                state = (await self._journal.advance(uid, [fact])).state
        for key in self._disobedient(uid, state):
            self._look(key)
        return state

    async def _make(self, obj: Object, state: State, child: Child) -> ev.ChildFinished | None:
        """Makes the object of an execution that is wanted; or the fact that it cannot be."""
        namespace, uid = obj["metadata"]["namespace"], obj["metadata"]["uid"]
        if await self._archive.knows(namespace, child.name):
            try:
                made = await self._kube.get(EXECUTIONS, child.name, namespace)
            except NotFound:
                return failed(child, f"{child.title} was deleted")
        elif state.stopping:
            return failed(child, "not started", Reason.CANCELLED, Phase.CANCELLED)
        else:
            chain = await self._chain(obj)
            if len(chain) >= MAX_DEPTH:
                return too_deep(child, chain)
            inputs = await arguments_of(self._journal, uid, child.payload)
            if (size := len(canonical(inputs))) > MAX_BYTES:
                message = f"{child.title}: found {size} bytes of inputs, expected at most {MAX_BYTES}"
                return failed(child, message)
            try:
                made = await self._kube.create(EXECUTIONS, execution_for(child, obj, inputs))
            except AlreadyExists:
                made = await self._kube.get(EXECUTIONS, child.name, namespace)
            except Invalid as error:
                return failed(child, f"{child.title} cannot be made: {error.message}")
            except (Forbidden, NotFound) as error:
                # The namespace is being deleted, and all that is in it.
                log.warning("Execution %s/%s cannot be made: %s", namespace, child.name, error)
                return None
        if not is_of(made, uid, child):
            return failed(child, f"{child.title} exists, and is not of this step")
        if self._cache.put(EXECUTIONS, made):
            self._look(Key("execution", namespace, child.name))  # of what is in the cache no watch tells
        return None

    async def _collect(self, uid: str, state: State, child: Child, found: Object) -> State:
        """Takes the end of an execution whose object says it already."""
        known = await self._state(found["metadata"]["uid"])
        if known is not None and known.finished is not None:
            return await self._end(uid, state, child, found, known)
        message = f"{child.title} failed: {status_of(found).get('message') or 'the journal does not know it'}"
        return (await self._journal.advance(uid, [failed(child, message)])).state

    def _disobedient(self, uid: str, state: State) -> Iterator[Key]:
        """Those that do not know yet what is passed down to them."""
        within = self._within.get(uid, {})
        for each, key in list(within.items()):
            obj = self._cache.get(EXECUTIONS, key.namespace, key.name)
            if obj is None or origin_of(obj) is None:
                continue
            if is_finished(obj):
                del within[each]  # a loop may have thousands, and this is asked whenever one ends
            elif passed_down(obj, state) is not None:
                yield key

    async def around(self, obj: Object) -> list[str]:
        """The uids of the Executions that one is within, innermost first."""
        return [found["metadata"]["uid"] for found in (await self._lineage(obj))[1:]]

    async def _chain(self, obj: Object) -> list[str]:
        """The workflows of an Execution and of those around it, outermost first."""
        return [target(found) for found in await self._lineage(obj)][::-1]

    async def _lineage(self, obj: Object) -> list[Object]:
        """An Execution, and those that it is within, innermost first."""
        found = [obj]
        while len(found) < MAX_DEPTH:
            owners = obj["metadata"].get("ownerReferences") or ()
            owner = next((item for item in owners if item.get("kind") == "Execution"), None)
            if owner is None:
                break
            namespace = obj["metadata"]["namespace"]
            try:
                obj = self._cache.get(EXECUTIONS, namespace, owner["name"]) or await self._kube.get(
                    EXECUTIONS, owner["name"], namespace
                )
            except NotFound:
                break
            found.append(obj)
        return found

    async def _state(self, uid: str) -> State | None:
        """The state of an execution; None for one that the journal does not know, or cannot read."""
        try:
            return await self._journal.read(uid)
        except (ExecutionUnknown, CorruptJournal):
            return None
