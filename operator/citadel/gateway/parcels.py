"""Blobs of sandboxes: what an attempt leaves, and what its assignment names. Nothing else is to be had.

A sandbox learns nothing here of what others stored: it gets the digest of what it sent itself, and a digest
that its assignment does not name is refused whether it exists or not.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from citadel.core import events as ev
from citadel.core.compiled import PROGRAM
from citadel.core.dispatch import contents
from citadel.core.failures import Failure
from citadel.core.recalling import built
from citadel.core.state import State
from citadel.core.values import Content
from citadel.gateway.refusals import Refused
from citadel.gateway.sessions import Session
from citadel.store.blobs import BlobLost, Blobs, BlobTooLarge

#: Bytes that one sandbox may store in its life.
SESSION_LIMIT = 4 * 2**30


class Parcels:
    """What goes in and out of sandboxes beside arguments and outputs."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def keep(
        self,
        session: Session,
        state: State,
        step: str,
        attempt: int,
        name: str,
        pieces: AsyncIterator[bytes],
    ) -> Content:
        """Stores what an attempt under way leaves under a name; raises Refused."""
        assert state.plan is not None
        assert state.created is not None
        if _current(state, session.sandbox) != (step, attempt):
            raise Refused(
                409, "Superseded", f"step {step} attempt {attempt} is not under way in this sandbox"
            )
        if name not in state.plan.step(step).leaves:
            raise Refused(403, "NotDeclared", f"step {step} has no artifact {name}")
        namespace = state.created.namespace
        try:
            content = await self._blobs.put(namespace, _counted(session, pieces))
        except BlobTooLarge as error:
            raise Refused(413, "ArtifactTooLarge", str(error)) from None
        await self._blobs.record(state.created.uid, step, attempt, name, namespace, content)
        return content

    async def open(
        self, session: Session, state: State, digest: str, offset: int
    ) -> tuple[Content, AsyncIterator[bytes]]:
        """The bytes of a digest that the sandbox's assignment names; raises Refused."""
        assert state.created is not None
        current = _current(state, session.sandbox)
        named = contents(state, current[0]) if current is not None else []
        found = next((content for content in named if content.digest == digest), None)
        if found is None:
            raise Refused(403, "NotNamed", f"the assignment of this sandbox does not name {digest}")
        try:
            return found, await self._blobs.read(state.created.namespace, found, offset)
        except BlobLost as error:
            raise Refused(409, "BlobLost", str(error)) from None

    async def open_packages(
        self, packages: Mapping[str, Any], offset: int
    ) -> tuple[Content, AsyncIterator[bytes]]:
        """The bytes of a Runtime's packages, which may be those of another namespace; raises Refused."""
        content = Content(packages["digest"], packages["size"])
        try:
            return content, await self._blobs.read(packages["namespace"], content, offset)
        except BlobLost as error:
            raise Refused(409, "BlobLost", str(error)) from None

    async def complete(
        self, state: State, fact: ev.AttemptSucceeded
    ) -> ev.AttemptSucceeded | ev.AttemptFailed:
        """The result with what the attempt left; a build gives its program."""
        plan, created = state.plan, state.created
        compiled = plan.step(fact.step) if plan is not None and fact.step in state.steps else None
        if compiled is None or created is None or not compiled.leaves:
            return fact
        left: Mapping[str, Content] = await self._blobs.left(created.uid, fact.step, fact.attempt)
        lacking = [name for name in compiled.leaves if name not in left]
        if lacking:
            failure = Failure.cut("InvalidOutput", f"artifact {lacking[0]} was not stored")
            return ev.AttemptFailed(fact.step, fact.attempt, fact.sandbox, failure)
        artifacts = {name: left[name] for name in compiled.leaves}
        output = built(artifacts[PROGRAM]) if compiled.builds is not None else fact.output
        return ev.AttemptSucceeded(fact.step, fact.attempt, fact.sandbox, output, artifacts)


def _current(state: State, sandbox: str) -> tuple[str, int] | None:
    """Step and attempt that a sandbox has."""
    found = state.sandboxes.get(sandbox)
    if state.finished is not None or found is None or not found.usable or found.step is None:
        return None
    return found.step, state.steps[found.step].attempt


async def _counted(session: Session, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        session.stored += len(piece)
        if session.stored > SESSION_LIMIT:
            raise BlobTooLarge(f"one sandbox may store {SESSION_LIMIT} bytes of artifacts in its life")
        yield piece
