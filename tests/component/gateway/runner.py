"""A runner's double: it says to a gateway what docs/protocol.md says a runner says, and no more."""

import base64
import io
import ssl
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp

PUBLIC_KEY = base64.b64encode(b"k" * 32).decode()


@dataclass
class Answer:
    """Status and body of an answer."""

    status: int
    body: Any
    raw: bytes = b""

    @property
    def assignment(self) -> Any:
        assert self.status == 200, self.body
        return self.body["assignment"]

    @property
    def step(self) -> str | None:
        """The step that was assigned, if one was."""
        return self.assignment["step"] if self.assignment is not None else None

    @property
    def refused(self) -> tuple[int, str]:
        """Status and reason of a refusal."""
        assert self.status != 200, self.body
        return self.status, self.body["error"]["reason"]


@dataclass
class Runner:
    """One sandbox at one gateway; `address` is where it comes from."""

    url: str
    sandbox: str = ""
    key: str = ""
    public_key: str = PUBLIC_KEY
    address: str = "127.0.0.1"
    secret: str = ""
    tls: ssl.SSLContext | None = None
    """What it trusts, where the gateway speaks TLS."""
    _session: aiohttp.ClientSession = field(init=False)

    async def __aenter__(self) -> Self:
        tls = True if self.tls is None else self.tls
        connector = aiohttp.TCPConnector(local_addr=(self.address, 0), limit=0, ssl=tls)
        self._session = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def at(self, url: str) -> "Runner":
        """The same sandbox, at another gateway."""
        return Runner(url, self.sandbox, self.key, self.public_key, self.address, self.secret)

    async def post(self, path: str, body: Any = None, data: Any = None, **headers: str) -> Answer:
        """One request, in the session if there is one."""
        sent = {"Authorization": f"Bearer {self.secret}"} | headers
        if isinstance(data, bytes):
            data = io.BytesIO(data)
        form = {"data": data} if data is not None else {"json": {} if body is None else body}
        async with self._session.post(self.url + path, headers=sent, **form) as answer:
            return Answer(answer.status, await answer.json(), await answer.read())

    async def register(self, **changes: Any) -> Answer:
        who = {"sandbox": self.sandbox, "key": self.key, "publicKey": self.public_key}
        body = {"protocol": 1, **who, "version": "test"} | changes
        answer = await self.post("/v1/register", body)
        if answer.status == 200:
            self.secret = answer.body["session"]
        return answer

    async def put(self, step: str, name: str, data: Any, attempt: int = 1) -> Answer:
        """Stores an artifact; `data` may be what brings its bytes."""
        path = f"/v1/attempts/{step}/{attempt}/artifacts/{name}"
        headers = {"Authorization": f"Bearer {self.secret}"}
        data = io.BytesIO(data) if isinstance(data, bytes) else data
        async with self._session.put(self.url + path, headers=headers, data=data) as answer:
            return Answer(answer.status, await answer.json())

    async def blob(self, digest: str, offset: int = 0) -> Answer:
        """The bytes of a blob, or why there are none."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        url = f"{self.url}/v1/blobs/{digest}?offset={offset}"
        async with self._session.get(url, headers=headers) as answer:
            return Answer(answer.status, await (answer.read() if answer.status == 200 else answer.json()))

    async def remember(self, step: str, body: Any, attempt: int = 1) -> Answer:
        """Gives a summary of what an agent was told."""
        headers, url = {"Authorization": f"Bearer {self.secret}"}, f"/v1/attempts/{step}/{attempt}/memory"
        async with self._session.put(self.url + url, headers=headers, json=body) as answer:
            return Answer(answer.status, await answer.json())

    async def poll(self) -> Answer:
        return await self.post("/v1/poll")

    async def succeed(self, step: str, output: bytes = b"null", attempt: int = 1, more: str = "") -> Answer:
        path = f"/v1/attempts/{step}/{attempt}/result?outcome=Succeeded&chunks=0{more}"
        return await self.post(path, data=output)

    async def fail(self, step: str, reason: str = "Error", attempt: int = 1) -> Answer:
        path = f"/v1/attempts/{step}/{attempt}/result?outcome=Failed&chunks=0"
        return await self.post(path, {"reason": reason, "message": "boom"})

    async def log(
        self, step: str, *texts: str, start: int = 0, attempt: int = 1, last: bool = False
    ) -> Answer:
        chunks = [
            {"n": number, "stream": "stdout", "at": "2026-01-31T12:00:00.000Z", "text": text}
            for number, text in enumerate(texts, start)
        ]
        return await self.post(f"/v1/attempts/{step}/{attempt}/logs", {"chunks": chunks, "last": last})

    async def beat(self, **running: Any) -> Answer:
        return await self.post("/v1/heartbeat", running)
