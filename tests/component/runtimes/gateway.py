"""A gateway's double: it speaks docs/protocol.md over TLS to real runners, and remembers what they said."""

import asyncio
import contextlib
import datetime
import hashlib
import ipaddress
import json
import ssl
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from component.runtimes.compiled import COMPILED, Build

Json = Any
Key = tuple[str, int]
LIMITS = {
    "pollSeconds": 2,
    "heartbeatSeconds": 2,
    "logChunkBytes": 65536,
    "attemptLogBytes": 10485760,
    "outputBytes": 1048576,
}


def self_signed(directory: Path) -> tuple[ssl.SSLContext, str]:
    """A server context for 127.0.0.1, and the PEM that a client trusts for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "tls.crt").write_bytes(pem)
    (directory / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    return context, pem.decode()


@dataclass
class Result:
    """How an attempt ended, as the runner told it."""

    outcome: str
    body: Json
    chunks: int
    next: bool

    @property
    def output(self) -> Json:
        assert self.outcome == "Succeeded", self.body
        return self.body

    @property
    def failure(self) -> Json:
        assert self.outcome == "Failed", self.body
        return self.body


@dataclass
class Gateway:
    """What the double knows. `refuse` maps the first part of a path to (status, reason, times left)."""

    port: int = 0
    public_key: str = ""
    key: str = "the-key"
    waiting: deque[Json] = field(default_factory=deque)
    current: Json = None
    results: dict[Key, Result] = field(default_factory=dict)
    deliveries: list[Key] = field(default_factory=list)
    logs: dict[Key, list[Json]] = field(default_factory=dict)
    ended_logs: set[Key] = field(default_factory=set)
    heartbeats: list[Json] = field(default_factory=list)
    cancel: list[Json] = field(default_factory=list)
    drain: bool = False
    gone: bool = False
    refuse: dict[str, list[Any]] = field(default_factory=dict)
    log_requests: int = 0
    packages: bytes = b""
    """The tree of the Runtime's packages; none while it is empty."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    blob_bytes: int = 2**30
    blob_requests: int = 0
    artifacts: dict[tuple[str, str], Json] = field(default_factory=dict)
    build: Build | None = None
    """Compiles what is to be compiled, as the engine has it done ahead of an attempt."""
    member: bool = False
    """Whether who registers is of a warm pool, and not claimed."""
    isolations: list[Json] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def assign(self, step: str, attempt: int = 1, **fields: Json) -> None:
        """Queue an attempt; `code` makes it a run, `command` a container. What is compiled is built first."""
        action = "container" if "command" in fields else "run"
        base = {"step": step, "attempt": attempt, "action": action, "language": "python", "code": None}
        base |= {"command": None, "args": None, "env": [], "timeoutSeconds": None, "input": {}, "sealed": {}}
        base |= {"exclusive": False} | fields
        if base["action"] == "run" and base["language"] in COMPILED and self.build is not None:
            built = await self.build(base["language"], step, base["code"])
            if not isinstance(built, bytes):
                async with self.changed:
                    self.results[step, attempt] = Result("Failed", built, 0, True)
                    self.changed.notify_all()
                return
            base["program"] = self.content(built)
        async with self.changed:
            self.waiting.append(base)
            self.changed.notify_all()

    async def run(self, step: str, attempt: int = 1, **fields: Json) -> Result:
        """Queue an attempt and wait for its result."""
        await self.assign(step, attempt, **fields)
        return await self.result(step, attempt)

    async def until(self, condition: Any, seconds: float = 30) -> None:
        """Wait until condition() holds."""
        async with self.changed, asyncio.timeout(seconds):
            await self.changed.wait_for(condition)

    async def result(self, step: str, attempt: int = 1, seconds: float = 30) -> Result:
        """The result of an attempt, when it has come."""
        await self.until(lambda: (step, attempt) in self.results, seconds)
        return self.results[step, attempt]

    async def log(self, step: str, attempt: int = 1, stream: str = "stdout") -> str:
        """The complete log of an attempt, whose chunks must be in order."""
        key = (step, attempt)
        result = await self.result(step, attempt)
        await self.until(lambda: len(self.logs.get(key, [])) >= result.chunks)
        if result.chunks:
            await self.until(lambda: key in self.ended_logs)
        chunks = self.logs.get(key, [])
        assert [chunk["n"] for chunk in chunks] == list(range(result.chunks))
        return "".join(chunk["text"] for chunk in chunks if chunk["stream"] == stream)

    def take(self) -> Json:
        """The assignment of the sandbox: the same one until its result is there."""
        if self.current is None and self.waiting and not self.drain:
            self.current = self.waiting.popleft()
        return self.current

    async def held(self, seconds: float, condition: Any) -> None:
        with contextlib.suppress(TimeoutError):
            await self.until(condition, seconds)

    async def register(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["protocol"] == 1
        if body["key"] != self.key:
            return error(401, "Unauthorized")
        self.public_key = body["publicKey"]
        answer = {"session": "the-session", "sandbox": "s1", "limits": LIMITS, "new": 1}
        answer["member"] = self.member
        packages = self.content(self.packages) if self.packages else None
        return web.json_response(answer | {"packages": packages, "assignment": self.take()})

    async def poll(self, request: web.Request) -> web.Response:
        await self.held(LIMITS["pollSeconds"], lambda: self.take() is not None or self.drain or self.gone)
        return web.json_response({"assignment": self.take()})

    async def deliver(self, request: web.Request) -> web.Response:
        key = (request.match_info["step"], int(request.match_info["attempt"]))
        body = await request.read()
        if len(body) > LIMITS["outputBytes"] + 65536:
            return error(413, "TooLarge")
        wants_next = request.query.get("next") != "false"
        async with self.changed:
            self.deliveries.append(key)
            recorded = key not in self.results
            if recorded:
                chunks = int(request.query["chunks"])
                self.results[key] = Result(request.query["outcome"], json.loads(body), chunks, wants_next)
                self.current = None
            following = self.take() if wants_next else None
            self.changed.notify_all()
        return web.json_response({"recorded": recorded, "assignment": following})

    async def store(self, request: web.Request) -> web.Response:
        key = (request.match_info["step"], int(request.match_info["attempt"]))
        body = await request.json()
        async with self.changed:
            self.log_requests += 1
            stored = self.logs.setdefault(key, [])
            for chunk in body["chunks"]:
                if chunk["n"] == len(stored):  # one sent again changes nothing
                    stored.append(chunk)
            if body["last"]:
                self.ended_logs.add(key)
            self.changed.notify_all()
        return web.json_response({"stored": len(stored) - 1})

    async def keep(self, request: web.Request) -> web.Response:
        body = await request.read()
        content = self.content(body)
        async with self.changed:
            self.artifacts[request.match_info["step"], request.match_info["name"]] = content
            self.changed.notify_all()
        return web.json_response(content)

    def content(self, body: bytes) -> Json:
        """Keeps a blob, and gives its name."""
        digest = digest_of(body)
        self.blobs[digest] = body
        return {"digest": digest, "size": len(body)}

    async def blob(self, request: web.Request) -> web.StreamResponse:
        """A blob, of which each answer brings a part: the rest of it is asked for."""
        body = self.blobs[request.match_info["digest"]][int(request.query["offset"]) :]
        self.blob_requests += 1
        response = web.StreamResponse()
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: self.blob_bytes])
        if len(body) > self.blob_bytes and request.transport is not None:
            request.transport.abort()
        return response

    async def asked(self, request: web.Request) -> web.Response:
        """What an agent asks, which is the answer."""
        asked = {"path": request.raw_path, "body": await request.json()}
        return web.json_response(asked | {"session": request.headers["Authorization"]})

    async def isolation(self, request: web.Request) -> web.Response:
        """What a sandbox has found out about its network."""
        async with self.changed:
            self.isolations.append(await request.json())
            self.changed.notify_all()
        return web.json_response({})

    async def heartbeat(self, request: web.Request) -> web.Response:
        body = await request.json()
        async with self.changed:
            self.heartbeats.append(body)
            self.changed.notify_all()

        def news() -> list[Json]:
            told = (body.get("step"), body.get("attempt"), body.get("cancelling"))
            return [c for c in self.cancel if (c["step"], c["attempt"], c["graceSeconds"]) != told]

        await self.held(LIMITS["heartbeatSeconds"], lambda: news() or self.drain or self.gone)
        if self.gone:
            return error(410, "Gone")
        return web.json_response({"cancel": news(), "drain": self.drain})

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refusals that a test asked for, and the session."""
        for path, refusal in self.refuse.items():
            if request.path.startswith(path) and refusal[2] > 0:
                refusal[2] -= 1
                if refusal[1] == "Superseded":
                    self.current = None
                return error(refusal[0], refusal[1])
        if request.path != "/v1/register" and request.headers.get("Authorization") != "Bearer the-session":
            return error(401, "Unauthorized")
        if self.gone:
            return error(410, "Gone")
        return await handler(request)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.guard], client_max_size=256 << 20)
        app.router.add_post("/v1/register", self.register)
        app.router.add_post("/v1/poll", self.poll)
        app.router.add_post("/v1/attempts/{step}/{attempt}/result", self.deliver)
        app.router.add_post("/v1/attempts/{step}/{attempt}/logs", self.store)
        app.router.add_post("/v1/heartbeat", self.heartbeat)
        app.router.add_post("/v1/isolation", self.isolation)
        app.router.add_put("/v1/attempts/{step}/{attempt}/artifacts/{name}", self.keep)
        app.router.add_get("/v1/blobs/{digest}", self.blob)
        for method, what in (("POST", "chat/completions"), ("POST", "tools"), ("PUT", "memory")):
            app.router.add_route(method, f"/v1/attempts/{{step}}/{{attempt}}/{what}", self.asked)
        return app

    async def change(self, **fields: Any) -> None:
        """Set fields, and wake who waits for them."""
        async with self.changed:
            for name, value in fields.items():
                setattr(self, name, value)
            self.changed.notify_all()


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def error(status: int, reason: str) -> web.Response:
    """An error in the protocol's form."""
    body = {"error": {"reason": reason, "message": f"the double says {reason}"}}
    return web.json_response(body, status=status)
