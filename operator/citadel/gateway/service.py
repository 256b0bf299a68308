"""What the gateway answers to a sandbox, apart from HTTP: see docs/protocol.md."""

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict
from secrets import compare_digest
from typing import Any

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.builds import SUFFIX
from citadel.core.decide import wake_at
from citadel.core.state import State
from citadel.core.values import Content
from citadel.gateway import reports
from citadel.gateway.assignments import assignment
from citadel.gateway.parcels import Parcels
from citadel.gateway.policies import LivePolicies
from citadel.gateway.refusals import Refused
from citadel.gateway.sessions import (
    Session,
    Sessions,
    is_public_key,
    sandbox_of,
    session_secret,
)
from citadel.store.blobs import Blobs
from citadel.store.journal import Advance, ExecutionUnknown, Journal, PolicyTable
from citadel.store.sandboxes import Sandboxes, hashed
from citadel.store.waking import Waker

POLL_SECONDS = 20.0
HEARTBEAT_SECONDS = 10.0
#: Longest wait for a notice; behind a lost one stands another look.
LOOK_SECONDS = 1.0
CANCEL_GRACE = 10
_NAME = re.compile(r"[a-z0-9][-a-z0-9]{0,62}")
LIMITS = {
    "pollSeconds": POLL_SECONDS,
    "heartbeatSeconds": HEARTBEAT_SECONDS,
    "logChunkBytes": reports.CHUNK_LIMIT,
    "attemptLogBytes": reports.LOG_LIMIT,
    "outputBytes": 2**20,
}


class Gateway:
    """Serves sandboxes from the journal. Keeps nothing that may not be lost."""

    def __init__(
        self,
        journal: Journal,
        sandboxes: Sandboxes,
        policies: PolicyTable,
        blobs: Blobs,
        waker: Waker,
        ended: Callable[[str], None],
        told: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._journal, self._sandboxes, self._parcels = journal, sandboxes, Parcels(blobs)
        self._policies = LivePolicies(policies)
        self._waker, self._ended, self._told = waker, ended, told
        self._sessions = Sessions()

    async def register(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The one registration of a sandbox: its key for a session."""
        if body.get("protocol") != 1:
            raise Refused(400, "Protocol", f"protocol: found {body.get('protocol')!r:.20}, expected 1")
        name, key, public_key = (body.get(field) for field in ("sandbox", "key", "publicKey"))
        if not (isinstance(name, str) and _NAME.fullmatch(name) and isinstance(key, str)):
            raise Refused(400, "BadRequest", "expected the name of a sandbox and its key")
        if not is_public_key(public_key):
            raise Refused(400, "BadRequest", "publicKey: expected the base64 of 32 bytes")
        row = await self._sandboxes.get(name)
        if row is None or row.status in ("draining", "gone"):
            raise Refused(410, "NotWanted", f"sandbox {name} is not wanted")
        if row.pod_uid is None or row.key_hash is None:
            raise Refused(425, "NotRecorded", f"the pod of sandbox {name} is not recorded yet")
        if not compare_digest(row.key_hash, hashed(key)):
            raise Refused(401, "InvalidKey", f"the key is not the one of sandbox {name}")
        secret = session_secret(name, key, str(public_key))
        if not await self._sandboxes.register(name, row.pod_uid, hashed(secret), str(public_key)):
            raise Refused(401, "Registered", f"sandbox {name} has registered before")
        session = self._sessions.keep(name, row.uid, hashed(secret))
        session.packages = row.template.get("packages")
        told = None
        if session.uid is not None:
            claim = await self._may_work(session)
            advance = await self._advance(session, [ev.SandboxRegistered(name)], claim=claim)
            told = await self._assignment(session, advance)
        answer = {"session": secret, "sandbox": name, "limits": LIMITS, "assignment": told}
        if session.packages is not None:
            answer["packages"] = {field: session.packages[field] for field in ("digest", "size")}
        return answer

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
        if found is None and _NAME.fullmatch(name):
            row = await self._sandboxes.get(name)
            if row is not None and row.session_hash:
                found = self._sessions.keep(name, row.uid, row.session_hash)
                found.packages = row.template.get("packages")
        return found

    async def poll(self, session: Session) -> dict[str, Any]:
        """The next assignment, waiting for one as long as a poll may be held."""
        deadline = time.monotonic() + POLL_SECONDS
        while True:
            topics = (f"execution {session.uid}", f"sealed {session.sandbox}", f"sandbox {session.sandbox}")
            expected = self._waker.expect(*topics)
            try:
                if session.uid is None:
                    left = deadline - time.monotonic()
                    if not await self._claimed(session):
                        if left <= 0:
                            return {"assignment": None}
                        await expected.met(min(LOOK_SECONDS, left))
                    continue
                advance = await self._advance(session, (), claim=await self._may_work(session))
                _still_wanted(advance.state, session.sandbox)
                told = await self._assignment(session, advance)
                left = deadline - time.monotonic()
                if told is not None or left <= 0:
                    return {"assignment": told}
                await expected.met(min(LOOK_SECONDS, left, _until_due(advance.state)))
            finally:
                expected.close()

    async def result(
        self,
        session: Session,
        step: str,
        attempt: int,
        outcome: str,
        body: bytes,
        *,
        claim: bool,
        artifacts: bool = False,
    ) -> dict[str, Any]:
        """Records the result of an attempt, which may have left `artifacts`, and gives the next one."""
        try:
            fact, values = reports.result(step, attempt, session.sandbox, outcome, body)
        except reports.BadReport as error:
            raise Refused(400, "BadRequest", str(error)) from None
        # Only then it costs another look: a warm step is one commit.
        if isinstance(fact, ev.AttemptSucceeded) and (artifacts or step.endswith(SUFFIX)):
            fact = await self._parcels.complete(await self._read(session), fact)
        claim = claim and await self._may_work(session)
        advance = await self._advance(session, [fact], claim=claim, outputs=values)
        recorded = advance.accepted[0]
        if recorded:
            self._ended("Succeeded" if isinstance(fact, ev.AttemptSucceeded) else fact.failure.reason)
        else:
            _refuse_outdated(advance.state, session.sandbox, step, attempt)
        return {"recorded": recorded, "assignment": await self._assignment(session, advance)}

    async def keep(
        self, session: Session, step: str, attempt: int, name: str, pieces: AsyncIterator[bytes]
    ) -> dict[str, Any]:
        """Stores an artifact of an attempt under way."""
        return asdict(
            await self._parcels.keep(session, await self._read(session), step, attempt, name, pieces)
        )

    async def blob(self, session: Session, digest: str, offset: int) -> tuple[Content, AsyncIterator[bytes]]:
        """What a digest of the session's assignment, or of its Runtime, names, from `offset` on."""
        if session.packages is not None and session.packages["digest"] == digest:
            return await self._parcels.open_packages(session.packages, offset)
        return await self._parcels.open(session, await self._read(session), digest, offset)

    async def logs(self, session: Session, step: str, attempt: int, body: bytes) -> dict[str, Any]:
        """Stores chunks of an attempt that this sandbox was given."""
        try:
            chunks = reports.log_chunks(step, attempt, body)
        except reports.BadReport as error:
            raise Refused(400, "BadRequest", str(error)) from None
        uid = await self.execution_of(session)
        if (step, attempt) not in session.logged:
            state = await self._read(session)
            if f"{step}/{attempt}" not in state.sandboxes[session.sandbox].given:
                raise Refused(409, "Superseded", f"step {step} attempt {attempt} is not this sandbox's")
        size = session.logged.get((step, attempt), 0) + sum(len(chunk.text) for chunk in chunks)
        if size > 2 * reports.LOG_LIMIT:
            raise Refused(413, "LogTooLarge", f"found more than {reports.LOG_LIMIT} bytes of log")
        try:
            await self._journal.append_logs(uid, chunks)
        except ExecutionUnknown:
            raise _unknown() from None
        # What was not stored comes again, and does not count twice.
        session.logged[step, attempt] = size
        return {"stored": max((chunk.n for chunk in chunks if chunk.stream != "end"), default=-1)}

    async def isolation(self, session: Session, body: Mapping[str, Any]) -> dict[str, Any]:
        """Records what the sandbox found of the network around it; who waits for that looks again."""
        try:
            isolated, answered = reports.isolation(body)
        except reports.BadReport as error:
            raise Refused(400, "BadRequest", str(error)) from None
        session.isolated = isolated
        await self._sandboxes.observe(session.sandbox, isolated=isolated, answered=answered)
        return {}

    async def _may_work(self, session: Session) -> bool:
        """Whether the sandbox may have an attempt: where isolation is required, only once it is proven."""
        if session.isolated:
            return True
        if session.namespace is None:
            state = await self._read(session)
            assert state.created is not None
            session.namespace = state.created.namespace
            session.guarded = state.plan is not None and state.plan.workflow.spec.isolation.required
        if not (session.guarded or await self._policies.isolation_required(session.namespace)):
            return True
        row = await self._sandboxes.get(session.sandbox)
        session.isolated = None if row is None else row.isolated
        return session.isolated is True

    async def heartbeat(self, session: Session, told: Mapping[str, Any]) -> dict[str, Any]:
        """Notes that the runner lives; answers after a while, or with what it was not `told` yet."""
        await self._sandboxes.heartbeat([session.sandbox])
        deadline = time.monotonic() + HEARTBEAT_SECONDS
        known = (told.get("step"), told.get("attempt"), told.get("cancelling"))
        while True:
            expected = self._waker.expect(f"control {session.uid}", f"sandbox {session.sandbox}")
            try:
                known_uid = session.uid
                drain, cancel = await self._wishes(session)
                if session.uid != known_uid:
                    continue  # claimed just now: there is more to listen to
                cancel = [item for item in cancel if item != known]
                left = deadline - time.monotonic()
                if cancel or drain or left <= 0:
                    names = ("step", "attempt", "graceSeconds")
                    return {
                        "cancel": [dict(zip(names, item, strict=True)) for item in cancel],
                        "drain": drain,
                    }
                await expected.met(min(5 * LOOK_SECONDS, left))
            finally:
                expected.close()

    async def _wishes(self, session: Session) -> tuple[bool, list[tuple[str, int, int]]]:
        """Whether the sandbox is to end, and what it is to cancel."""
        try:
            if not await self._claimed(session):
                return False, []
        except Refused:
            return True, []
        state = await self._read(session)
        drain = not state.sandboxes[session.sandbox].usable
        return drain, list(_cancellations(state, session.sandbox))

    async def _claimed(self, session: Session) -> bool:
        """Whether the sandbox serves an execution; a member of a pool that is not wanted is refused."""
        if session.uid is None:
            row = await self._sandboxes.get(session.sandbox)
            if row is None or (row.uid is None and row.status in ("draining", "gone")):
                raise Refused(410, "NotWanted", f"sandbox {session.sandbox} is not wanted any more")
            session.uid = row.uid
        return session.uid is not None

    async def execution_of(self, session: Session) -> str:
        """The execution that the sandbox serves; raises Refused when there is none."""
        await self._claimed(session)
        if session.uid is None:
            raise Refused(409, "Superseded", f"sandbox {session.sandbox} serves no execution yet")
        return session.uid

    async def _assignment(self, session: Session, advance: Advance) -> dict[str, Any] | None:
        """The JSON of what the sandbox has now; None while its sealed arguments are awaited."""
        name = advance.step
        if name is None:
            return None
        step = advance.state.steps[name]
        assert advance.state.plan is not None
        denial = await self._policies.denial(advance.state, name)
        if denial is not None:
            failure = ev.Failure.cut(Reason.POLICY_DENIED, denial)
            fact = ev.AttemptFailed(name, step.attempt, session.sandbox, failure)
            return await self._assignment(session, await self._advance(session, [fact], claim=True))
        if not await self._may_work(session):
            return None  # it came with the sandbox's claim; the controller ends what is never proven
        if not advance.state.plan.steps[name].has_references:
            return assignment(advance, None)
        delivery = await self._sandboxes.delivery(session.sandbox)
        if (
            delivery is None
            or delivery.sealed is None
            or (delivery.step, delivery.attempt) != (name, step.attempt)
        ):
            return None
        if step.delivered_at is None:
            delivered = ev.Delivered(name, step.attempt, step.placing)
            advance = await self._advance(session, [delivered], claim=True)
            if advance.step != name:
                return None
        return assignment(advance, delivery.sealed)

    async def _advance(
        self,
        session: Session,
        facts: Any,
        *,
        claim: bool,
        outputs: Mapping[str, bytes] | None = None,
    ) -> Advance:
        uid = await self.execution_of(session)
        try:
            advance = await self._journal.advance(
                uid, facts, claim=session.sandbox if claim else None, outputs=outputs
            )
        except ExecutionUnknown:
            raise _unknown() from None
        self._count_claim(advance, session.sandbox)
        return advance

    def _count_claim(self, advance: Advance, sandbox: str) -> None:
        """How long it took from a claim until its sandbox was told, on the database's clock."""
        mine = advance.state.sandboxes.get(sandbox)
        if mine is None or not mine.claimed or len(mine.given) > 1:
            return
        for event in advance.events:
            if isinstance(event, ev.Delivered):
                at = advance.state.steps[event.step].delivered_at
                self._told((at or mine.wanted_at) - mine.wanted_at)

    async def _read(self, session: Session) -> State:
        try:
            return await self._journal.read(await self.execution_of(session))
        except ExecutionUnknown:
            raise _unknown() from None


def _until_due(state: State) -> float:
    """Seconds until time alone may bring work, as when a backoff is over: nobody announces that."""
    now = time.time()
    at = wake_at(state, now)
    return LOOK_SECONDS if at is None else at - now + 0.005


def _cancellations(state: State, sandbox: str) -> Iterator[tuple[str, int, int]]:
    """Step, attempt and grace of what this sandbox is to end."""
    step = state.sandboxes[sandbox].step
    if step is not None and (state.stop is not None or state.finished is not None):
        at_once = state.finished is not None or (state.stop is not None and state.stop.mode == "Terminate")
        yield step, state.steps[step].attempt, 0 if at_once else CANCEL_GRACE


def _unknown() -> Refused:
    return Refused(410, "NotWanted", "the execution is not known any more")


def _still_wanted(state: State, sandbox: str) -> None:
    found = state.sandboxes.get(sandbox)
    if state.finished is not None or found is None or not found.usable:
        raise Refused(410, "NotWanted", f"sandbox {sandbox} has no more work")


def _refuse_outdated(state: State, sandbox: str, step: str, attempt: int) -> None:
    """A repeated result is fine; one of an attempt that is not this sandbox's any more is refused."""
    found, mine = state.steps.get(step), state.sandboxes.get(sandbox)
    given = mine is not None and f"{step}/{attempt}" in mine.given
    if given and found is not None and found.attempt == attempt and found.sandbox == sandbox:
        return
    _still_wanted(state, sandbox)
    raise Refused(409, "Superseded", f"step {step} attempt {attempt} is not under way in this sandbox")
