"""Which sandbox asks, and which execution it serves: what sessions stand for in the journal."""

import re

from citadel.core.state import State
from citadel.gateway.refusals import Refused
from citadel.gateway.sessions import Session, Sessions, sandbox_of
from citadel.store.journal import ExecutionUnknown, Journal
from citadel.store.sandboxes import Sandboxes, SandboxRow

_NAME = re.compile(r"[a-z0-9][-a-z0-9]{0,62}")


class Registry:
    """The sandboxes that have registered. What it keeps may be lost: rows say it again."""

    def __init__(self, journal: Journal, sandboxes: Sandboxes) -> None:
        self._journal, self._sandboxes = journal, sandboxes
        self._sessions = Sessions()

    def keep(self, row: SandboxRow, secret_hash: str) -> Session:
        """The session of a sandbox, from its row."""
        session = self._sessions.keep(row.name, row.uid, secret_hash)
        session.packages = row.template.get("packages")
        return session

    def remembers(self, authorization: str) -> bool:
        """Whether `session` needs no look at the database."""
        return self._sessions.get(sandbox_of(authorization.removeprefix("Bearer "))) is not None

    async def session(self, authorization: str) -> Session:
        """The session that an Authorization header names; raises Refused."""
        secret = authorization.removeprefix("Bearer ")
        found = await self.known(sandbox_of(secret))
        if found is None or not found.holds(secret):
            raise Refused(401, "InvalidSession", "the session is not valid")
        return found

    async def known(self, name: str) -> Session | None:
        """The session of a sandbox that has registered."""
        found = self._sessions.get(name)
        # What else a header may hold must not reach the database, which cannot even be asked for it.
        if found is None and is_name(name):
            row = await self._sandboxes.get(name)
            if row is not None and row.session_hash:
                found = self.keep(row, row.session_hash)
        return found

    async def claimed(self, session: Session) -> bool:
        """Whether the sandbox serves an execution; a member of a pool that is not wanted is refused."""
        if session.uid is None:
            row = await self._sandboxes.get(session.sandbox)
            if row is None or (row.uid is None and row.status in ("draining", "gone")):
                raise Refused(410, "NotWanted", f"sandbox {session.sandbox} is not wanted any more")
            session.uid = row.uid
        return session.uid is not None

    async def execution_of(self, session: Session) -> str:
        """The execution that the sandbox serves; raises Refused when there is none."""
        await self.claimed(session)
        if session.uid is None:
            raise Refused(409, "Superseded", f"sandbox {session.sandbox} serves no execution yet")
        return session.uid

    async def read(self, session: Session) -> State:
        """The state of the execution that the sandbox serves; raises Refused."""
        try:
            return await self._journal.read(await self.execution_of(session))
        except ExecutionUnknown:
            raise unknown() from None


def is_name(found: str) -> bool:
    """Whether a sandbox may be called so."""
    return _NAME.fullmatch(found) is not None


def unknown() -> Refused:
    """What a sandbox is told whose execution was deleted."""
    return Refused(410, "NotWanted", "the execution is not known any more")
