"""What the gateway answers to a sandbox, apart from HTTP: see docs/protocol.md."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from secrets import compare_digest
from typing import Any

from citadel.core.hashing import hashed
from citadel.core.values import Content
from citadel.gateway import reports
from citadel.gateway.calls import ToolCalls
from citadel.gateway.heartbeats import HEARTBEAT_SECONDS, Heartbeats
from citadel.gateway.memory import Memory
from citadel.gateway.parcels import Parcels
from citadel.gateway.policies import LivePolicies
from citadel.gateway.refusals import Refused
from citadel.gateway.registry import Registry, is_name, unknown
from citadel.gateway.sessions import Session, is_public_key, session_secret
from citadel.gateway.work import POLL_SECONDS, Work
from citadel.store.blobs import Blobs
from citadel.store.conversations import Conversations
from citadel.store.journal import ExecutionUnknown, Journal, PolicyTable
from citadel.store.ledger import Ledger
from citadel.store.sandboxes import Sandboxes
from citadel.store.waking import Waker

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
        conversations: Conversations,
        ended: Callable[[str], None],
        told: Callable[[float], None] = lambda seconds: None,
        ledger: Ledger | None = None,
    ) -> None:
        self._journal, self._sandboxes, self._parcels = journal, sandboxes, Parcels(blobs)
        self.registry = Registry(journal, sandboxes)
        self.memory = Memory(conversations, self.registry)
        live = LivePolicies(policies)
        self.work = Work(
            journal, sandboxes, self.registry, live, self._parcels, waker, ended, told, self.memory, ledger
        )
        self.tools = ToolCalls(journal, self.registry, waker)
        self.heartbeats = Heartbeats(self.registry, sandboxes, waker)

    async def register(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The one registration of a sandbox: its key for a session."""
        if body.get("protocol") != 1:
            raise Refused(400, "Protocol", f"protocol: found {body.get('protocol')!r:.20}, expected 1")
        name, key, public_key = (body.get(field) for field in ("sandbox", "key", "publicKey"))
        if not (isinstance(name, str) and is_name(name) and isinstance(key, str)):
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
        session = self.registry.keep(row, hashed(secret))
        told = await self.work.first(session)
        answer = {
            "session": secret,
            "sandbox": name,
            "limits": LIMITS,
            "assignment": told,
            "member": session.uid is None,
        }
        if session.packages is not None:
            answer["packages"] = {field: session.packages[field] for field in ("digest", "size")}
        return answer

    async def keep(
        self, session: Session, step: str, attempt: int, name: str, pieces: AsyncIterator[bytes]
    ) -> dict[str, Any]:
        """Stores an artifact of an attempt under way."""
        return asdict(
            await self._parcels.keep(session, await self.registry.read(session), step, attempt, name, pieces)
        )

    async def blob(self, session: Session, digest: str, offset: int) -> tuple[Content, AsyncIterator[bytes]]:
        """What a digest of the session's assignment, or of its Runtime, names, from `offset` on."""
        if session.packages is not None and session.packages["digest"] == digest:
            return await self._parcels.open_packages(session.packages, offset)
        return await self._parcels.open(session, await self.registry.read(session), digest, offset)

    async def logs(self, session: Session, step: str, attempt: int, body: bytes) -> dict[str, Any]:
        """Stores chunks of an attempt that this sandbox was given."""
        try:
            chunks = reports.log_chunks(step, attempt, body)
        except reports.BadReport as error:
            raise Refused(400, "BadRequest", str(error)) from None
        uid = await self.registry.execution_of(session)
        if (step, attempt) not in session.logged:
            state = await self.registry.read(session)
            if f"{step}/{attempt}" not in state.sandboxes[session.sandbox].given:
                raise Refused(409, "Superseded", f"step {step} attempt {attempt} is not this sandbox's")
        size = session.logged.get((step, attempt), 0) + sum(len(chunk.text) for chunk in chunks)
        if size > 2 * reports.LOG_LIMIT:
            raise Refused(413, "LogTooLarge", f"found more than {reports.LOG_LIMIT} bytes of log")
        try:
            await self._journal.append_logs(uid, chunks)
        except ExecutionUnknown:
            raise unknown() from None
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
