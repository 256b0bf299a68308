"""All between a sandbox and the network, in a network of its own: `… component.egress.world FOLDER DATABASE`.

A real gateway, real proxy processes, a real runner; only the shim is a double. Started by
`unshare --net --mount`; reads one JSON command a line and answers with one JSON line.
"""

import asyncio
import contextlib
import json
import os
import ssl
import struct
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from build import created, definition, python_step
from citadel.controller.certificates import Identity, issue, new_authority
from citadel.core.hashing import hashed
from citadel.core.policy import egress_rules, read_policy
from citadel.gateway.egress import EgressDesk, callers
from citadel.gateway.internal import internal_app, internal_tls
from citadel.gateway.metrics import GatewayMetrics
from citadel.gateway.routes import Routes
from citadel.gateway.service import Gateway
from citadel.gateway.sessions import egress_token
from citadel.limiting import LimitedServer
from citadel.serving import serve, server_tls
from citadel.store import policies
from citadel.store.blobs import BlobLimits
from citadel.store.sql.database import open_database
from citadel.store.waking import Waker
from component.egress.network import DNS_ADDRESS, Everywhere, Names, open_up
from component.gateway.runner import PUBLIC_KEY

INTERNET = "93.184.216.34"
GATEWAY, INTERNAL = 18443, 18444
FIRST_PROXY = 19000
SHIM = "127.0.0.1:7070"


class World:
    """What a test can ask of it: the methods without an underscore."""

    def __init__(self, folder: Path, database_url: str, stack: AsyncExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.names, self.everywhere = Names(), Everywhere()
        self.database = open_database(database_url)
        self.proxies: dict[tuple[str, ...], int] = {}
        self.tokens: dict[str, str] = {}
        self.shim: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._runner: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        # A policy holds as soon as it is written: no test waits for a second to pass.
        policies.FRESH_SECONDS = -1.0
        open_up()
        await self.names.start()
        authority = new_authority("citadel", datetime.now(UTC))
        for name in ("gateway", "egress"):
            identity = Identity(["localhost", f"citadel-{name}"], ["127.0.0.1"], is_client=name == "egress")
            pair = issue(authority, identity, datetime.now(UTC))
            (self.folder / name).mkdir()
            files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate}
            for file, content in files.items():
                (self.folder / name / file).write_bytes(content)
        database, waker = self.database, Waker()
        blobs = database.blobs(BlobLimits())
        metrics = GatewayMetrics(CollectorRegistry())
        gateway = Gateway(
            database.journal,
            database.sandboxes,
            database.policies,
            blobs,
            waker,
            database.conversations,
            metrics.ended,
        )

        async def rules(namespace: str) -> Any:
            return egress_rules([read_policy(obj) for obj in await database.policies.get(namespace)])

        desk = EgressDesk(gateway.registry, database.journal, database.connections, rules, callers(database))
        tls = str(self.folder / "gateway")
        server = LimitedServer(Routes(gateway, metrics).handle, access_log=None)
        loop = asyncio.get_running_loop()
        await loop.create_server(server, "127.0.0.1", GATEWAY, ssl=server_tls(tls))
        await serve(self.stack, internal_app(desk, "citadel-egress"), INTERNAL, internal_tls(tls))
        self.stack.push_async_callback(server.shutdown, 0.1)
        following = asyncio.create_task(waker.follow(database.journal.listen()))
        self.stack.callback(following.cancel)
        self.gateway = gateway

    async def allow(self, egress: list[str], private: list[str] | None = None) -> None:
        """The one policy of the namespace; none without destinations."""
        spec: dict[str, Any] = {"egress": {"allow": egress}}
        if private:
            spec["privateDestinations"] = private
        policy = {"apiVersion": "citadel.dev/v1alpha1", "kind": "ExecutionPolicy", "metadata": {"name": "p"}}
        await self.database.policies.put("team", [{**policy, "spec": spec}] if egress else [])

    async def begin(self, uid: str, egress: list[str]) -> None:
        """An execution whose step `a` runs in a sandbox, and the token of that."""
        sandbox, key = await self._wanted(uid, egress)
        answer = await self.gateway.register(
            {"protocol": 1, "sandbox": sandbox, "key": key, "publicKey": PUBLIC_KEY}
        )
        assert answer["assignment"] is not None, "the step was not assigned"
        self.tokens[uid] = egress_token(sandbox, hashed(answer["session"]))

    async def end(self, uid: str) -> None:
        """The step of an execution has ended."""
        name = self.tokens[uid].partition(".")[0]
        session = await self.gateway.registry.known(name)
        assert session is not None
        await self.gateway.work.result(session, "a", 1, "Succeeded", b"null", claim=False)

    async def _wanted(self, uid: str, egress: list[str]) -> tuple[str, str]:
        flow = definition(python_step("a", network={"egress": egress}))
        advance = await self.database.journal.advance(
            uid, [created(uid, flow, {}, name=uid)], definition=flow
        )
        (sandbox,) = advance.state.sandboxes
        await self.database.sandboxes.observe(sandbox, pod_uid=f"pod-{uid}", key_hash=hashed(f"key-{uid}"))
        return sandbox, f"key-{uid}"

    async def name(self, name: str, *turns: list[str], alias: str | None = None) -> None:
        """What DNS says of a name."""
        self.names.zone[alias or name] = list(turns)
        self.names.asked.clear()
        if alias is not None:
            self.names.aliases[name] = alias

    async def listen(self, addresses: list[str]) -> None:
        """Where the internet, metadata services and neighbours are."""
        await self.everywhere.listen(addresses)

    async def redirect(self, location: str) -> None:
        """Where the internet's /redirect leads."""
        self.everywhere.location = location

    async def _proxy(self, without: tuple[str, ...]) -> int:
        """The port of a proxy without these controls."""
        if without not in self.proxies:
            port = self.proxies[without] = FIRST_PROXY + 2 * len(self.proxies)
            resolv = self.folder / "resolv.conf"
            resolv.write_text(f"nameserver {DNS_ADDRESS}\n")
            environment = {
                "CITADEL_TLS_DIR": str(self.folder / "egress"),
                "CITADEL_PORT": str(port),
                "CITADEL_HEALTH_PORT": str(port + 1),
                "CITADEL_GATEWAY_INTERNAL": f"https://localhost:{INTERNAL}",
            }
            started = await self._within(
                resolv, environment, sys.executable, "-m", "component.egress.without", *without
            )
            self.stack.callback(started.kill)
            await _listening(port)
        return self.proxies[without]

    async def _within(
        self, resolv: Path, environment: dict[str, str], *command: str, **pipes: Any
    ) -> asyncio.subprocess.Process:
        """A process that finds names where `resolv` says."""
        script = f'mount --bind {resolv} /etc/resolv.conf; exec "$@"'
        return await asyncio.create_subprocess_exec(
            *["unshare", "--mount", "sh", "-ec", script, "sh", *command],
            env=os.environ | environment,
            **pipes,
        )

    async def ask(
        self, head: str, who: str | None = None, without: list[str] | None = None, then: str = ""
    ) -> dict[str, Any]:
        """One connection to a proxy: what it said to `head`, and which addresses were reached."""
        return (await self.ask_all([head], who, without, then))[0] | {"reached": self.everywhere.reached}

    async def ask_all(
        self, heads: list[str], who: str | None = None, without: list[str] | None = None, then: str = ""
    ) -> list[dict[str, str]]:
        """Requests one after another over the same connection: what the proxy said to each."""
        port = await self._proxy(tuple(without or ()))
        self.everywhere.reached.clear()
        tls = ssl.create_default_context(cafile=str(self.folder / "egress" / "ca.crt"))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="localhost"
        )
        answers = []
        for head in heads:
            said = head.replace("{token}", self.tokens.get(who or "", "none"))
            writer.write(said.encode("utf-8", "surrogateescape"))
            status, body = "", b""
            with contextlib.suppress(OSError, EOFError):
                async with asyncio.timeout(10):
                    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    status = answer.split(" ")[1]
                    if status == "200":
                        asked = then.encode() or b"GET / HTTP/1.1\r\n\r\n"
                        # The end of what is said comes together with the next request.
                        writer.write(struct.pack(">H", len(asked)) + asked)
                        while size := int.from_bytes(await reader.readexactly(2)):
                            body += await reader.readexactly(size)
                        writer.write(b"\0\0")
                    else:
                        body = await reader.read()
            answers.append({"status": status, "body": body.decode("latin-1")})
        writer.transport.abort()
        return answers

    async def runner(self, binary: str, uid: str, egress: list[str]) -> list[str]:
        """Starts a runner; returns what its assignment names. Its step is under way until `finish`."""
        port = await self._proxy(())
        sandbox, key = await self._wanted(uid, egress)
        authority = (self.folder / "egress" / "ca.crt").read_text()
        environment = {
            "CITADEL_GATEWAY": f"https://127.0.0.1:{GATEWAY}",
            "CITADEL_EGRESS": f"127.0.0.1:{port}",
            "CITADEL_CA": authority,
            "CITADEL_SANDBOX": sandbox,
            "CITADEL_KEY": key,
        }
        if self._runner is not None:  # its step is over, but its ports may not be free yet
            _kill(self._runner)
            await self._runner.wait()
        started = self._runner = await asyncio.create_subprocess_exec(binary, env=environment)
        self.stack.callback(_kill, started)
        await _listening(int(SHIM.rpartition(":")[2]))
        host, _, shim = SHIM.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(shim))
        self.shim = reader, writer
        writer.write(_frame(b"H", {"version": "test", "runtime": True}))
        with contextlib.suppress(EOFError):
            kind, _ = await self._frame_of(reader)
            assert kind == b"A", kind
            return egress
        raise AssertionError((await self.database.journal.read(uid)).finished)

    async def _frame_of(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        size, kind = struct.unpack(">Ic", await reader.readexactly(5))
        return kind, await reader.readexactly(size)

    async def client(self, *command: str) -> dict[str, Any]:
        """A program within the sandbox: it finds names where the pod's resolv.conf says."""
        resolv = self.folder / "pod-resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\n")
        self.everywhere.reached.clear()
        pipe = asyncio.subprocess.PIPE
        process = await self._within(resolv, {}, *command, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        reached = list(self.everywhere.reached)
        return {"code": process.returncode, "out": out.decode(), "err": err.decode(), "reached": reached}

    async def finish(self, uid: str, lines: int) -> list[str]:
        """Ends the step of the runner, and returns what its log has of the runner's own: so many lines."""
        assert self.shim is not None
        _, writer = self.shim
        writer.write(_frame(b"R", b"snull"))
        async with asyncio.timeout(10):
            while True:
                chunks = await self.database.journal.logs(uid, {}, 1000)
                state = await self.database.journal.read(uid)
                said = [chunk.text for chunk in chunks if chunk.stream == "system"]
                if state.finished is not None and len(said) >= lines:
                    return said
                await asyncio.sleep(0.02)

    async def connection(self, uid: str, host: str) -> dict[str, Any]:
        """A connection of an execution to a host, when it has ended."""
        async with asyncio.timeout(10):
            while True:
                for row in await self.database.connections.of(uid, 1000):
                    if row.host == host and row.seconds is not None:
                        return vars(row)
                await asyncio.sleep(0.02)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _frame(kind: bytes, body: Any) -> bytes:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return struct.pack(">I", len(payload)) + kind + payload


def _sockets() -> list[str]:
    """The TCP sockets of this network, one a line; 0A is one that listens."""
    return [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]


async def _listening(port: int) -> None:
    """Returns when somebody listens at a port, and calls nobody for that: the runner takes one call."""
    wanted = f":{port:04X} "
    async with asyncio.timeout(20):
        while True:
            if any(wanted in line.partition(" 0A ")[0] for line in _sockets() if " 0A " in line):
                return
            await asyncio.sleep(0.01)


async def main(folder: Path, database_url: str) -> None:
    async with AsyncExitStack() as stack:
        world = World(folder, database_url, stack)
        await world.open()
        loop = asyncio.get_running_loop()
        commands = asyncio.StreamReader(limit=2**20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        print(json.dumps({"ready": True}), flush=True)
        while line := await commands.readline():
            name, arguments, fields = json.loads(line)
            try:
                told = {"answer": await getattr(world, name)(*arguments, **fields)}
            except Exception as error:
                told = {"error": repr(error)}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
