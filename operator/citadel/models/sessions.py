"""Which attempt asks: found by the session of its sandbox, and by nothing that a message says.

What is kept here may be old, for a moment or where a notice was lost. It opens nothing by itself: a call is
reserved only while its attempt has a grant. And nobody is refused by it without another look.
"""

import re
import time
from dataclasses import dataclass, field
from secrets import compare_digest

from citadel.core.hashing import hashed
from citadel.core.sessions import current
from citadel.core.state import State
from citadel.limiting import Bucket, Refused, Strangers
from citadel.store.caching import Lru
from citadel.store.journal import ExecutionUnknown, Journal, Notice
from citadel.store.sandboxes import Sandboxes

#: Calls of one sandbox at a time, and in a second.
MOST_UNDER_WAY = 8
_PER_SECOND, _BURST = 50.0, 100.0
#: Seconds for which a state is taken to be unchanged, should the notice of its change be lost.
FRESH_SECONDS = 10.0
_KNOWN = 10_000
_NAME = re.compile(r"[a-z0-9][-a-z0-9]{0,62}")


@dataclass
class Session:
    """A registered sandbox that serves an execution."""

    sandbox: str
    uid: str
    secret_hash: str
    requests: Bucket = field(default_factory=lambda: Bucket(_PER_SECOND, _BURST))
    under_way: int = 0


@dataclass(frozen=True)
class Attempt:
    """The attempt of an agent step that is under way in a sandbox."""

    uid: str
    step: str
    attempt: int
    sandbox: str
    namespace: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What its grant and its records are known by."""
        return self.uid, self.step, self.attempt


class Sessions:
    """Knows sandboxes and what they run."""

    def __init__(self, journal: Journal, sandboxes: Sandboxes) -> None:
        self._journal, self._sandboxes = journal, sandboxes
        self._known: Lru[str, Session] = Lru(_KNOWN)
        self._states: Lru[str, tuple[float, State]] = Lru(1000)
        self._strangers = Strangers()

    def take(self, notice: Notice) -> None:
        """Something happened in the journal."""
        if notice.topic in ("execution", "control"):
            self._states.drop(notice.id)
        elif notice.topic == "listening":
            self._states.clear()  # nobody knows what was announced meanwhile

    async def session(self, authorization: str, address: str) -> Session:
        """The session that an Authorization header names; raises Refused."""
        secret = authorization.removeprefix("Bearer ")
        name = secret.partition(".")[0]
        found = self._known.get(name)
        if found is None:
            self._strangers.admit(address)
            # What else a header may hold must not reach the database, which cannot even be asked for it.
            row = await self._sandboxes.get(name) if _NAME.fullmatch(name) else None
            if row is not None and row.session_hash and row.uid:
                found = Session(name, row.uid, row.session_hash)
                self._known.put(name, found)
        if found is None or not compare_digest(found.secret_hash, hashed(secret)):
            raise Refused(401, "InvalidSession", "the session is not valid")
        return found

    async def attempt(self, session: Session, step: str, attempt: int) -> Attempt:
        """The attempt of an agent that this sandbox has now; raises Refused."""
        state = self._fresh(session.uid)
        if state is None or not _has(state, session.sandbox, step, attempt):
            # It may have begun a moment ago.
            state = await self._read(session.uid)
        if state.created is None or state.plan is None or not _has(state, session.sandbox, step, attempt):
            message = f"step {step} attempt {attempt} is not under way in this sandbox"
            raise Refused(409, "Superseded", message)
        if state.plan.step(step).spec.agent is None:
            raise Refused(403, "NoAgent", f"step {step} runs no agent")
        return Attempt(session.uid, step, attempt, session.sandbox, state.created.namespace)

    def _fresh(self, uid: str) -> State | None:
        at, state = self._states.get(uid) or (float("-inf"), None)
        return state if time.monotonic() - at <= FRESH_SECONDS else None

    async def _read(self, uid: str) -> State:
        at = time.monotonic()
        try:
            state = await self._journal.read(uid)
        except ExecutionUnknown:
            raise Refused(410, "NotWanted", "the execution is not known any more") from None
        self._states.put(uid, (at, state))
        return state


def _has(state: State, sandbox: str, step: str, attempt: int) -> bool:
    running = state.steps.get(step)
    return (
        state.finished is None
        and running is not None
        and running.attempt == attempt
        and current(state, sandbox) == step
    )
