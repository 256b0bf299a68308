"""What the model gateway's door adds to a call of a model: `python tests/bench/agents.py door`.

Beside each other, on this machine alone: a client asks a server that speaks OpenAI's protocol, and asks the
same server through door and egress proxy, with a database that commits for real, and a Redis. Server, gateway
and client are processes of their own.
"""

import asyncio
import json
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.machine import ALONE, Host, observed
from citadel.llm.asking import Common
from citadel.llm.caching import AnswerCache
from citadel.store.cached_answers import RedisAnswers
from citadel.store.sql.migrate import run as migrate
from component.models.doorworld import STEP, Doors, question
from component.models.gatewayworld import HOST, a_world
from component.postgres import PostgresServer
from component.proxying import Certificates
from component.redis import PASSWORD, RedisServer
from providers import Providers, Reply

ROUNDS, WARM = 400, 40
#: Calls of either way that are begun and ended in one moment of the machine.
BLOCK = 20
#: Agents that ask in turn: the sandbox of one may ask 50 times in a second.
AGENTS = 6
#: Seconds between the first byte of a stream and its end.
HELD = 0.2
Ask = Callable[[int], Awaitable[float]]


async def serve_models(folder: Path) -> None:
    """The server of models."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")

    async def brain(protocol: str, body: dict[str, Any]) -> Reply:
        gate = asyncio.Event()
        asyncio.get_running_loop().call_later(HELD, gate.set)
        return Reply("Yes, and no.", gate=gate if body.get("stream") else None)

    async with Providers(brain=brain).serving(tls) as providers:
        _tell({"port": providers.port})
        await asyncio.Event().wait()


async def serve_door(folder: Path, url: str, port: int, redis: int) -> None:
    """Door, egress proxy, and an agent that has its attempt."""
    client = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    async with AsyncExitStack() as stack:
        tls = Certificates(server, client, folder)
        world = await stack.enter_async_context(a_world(url, tls, Providers(port)))
        answers = RedisAnswers("127.0.0.1", redis, PASSWORD, b"key")
        stack.push_async_callback(answers.close)
        doors = Doors(world, stack, folder, Common(cache=AnswerCache(answers)))
        await doors.open()
        grant = {"limits": {"turns": 1000}, "models": [world.spec(cache={"ttl": "1h"})]}
        agents = [await doors.agent(f"u{number}", **grant) for number in range(AGENTS)]
        _tell({"port": doors.ports[0], "secrets": [agent.secret for agent in agents]})
        await asyncio.Event().wait()


def _tell(about: dict[str, Any]) -> None:
    print(json.dumps(about), flush=True)


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[dict[str, Any]]:
    """One of these servers as a process: what it tells of itself."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        yield json.loads(await child.stdout.readline())
    finally:
        child.terminate()
        await child.wait()


async def door(server: PostgresServer) -> list[str]:
    """What a call costs by either way, as lines for people."""
    url = server.url(server.create_database())
    await asyncio.to_thread(migrate, {"CITADEL_DATABASE_URL": url})
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        tls = Certificates.make(Path(folder), HOST)
        models = await stack.enter_async_context(process("models", folder))
        redis = RedisServer()
        stack.callback(redis.close)
        redis.start()
        ports = str(models["port"]), str(redis.port)
        gateway = await stack.enter_async_context(process("gateway", folder, url, *ports))
        connector = aiohttp.TCPConnector(ssl=tls.client)
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        path = f"https://localhost:{gateway['port']}/v1/attempts/{STEP}/1/chat/completions"
        ways = {"direct": f"https://localhost:{models['port']}/v1/chat/completions", "door": path}

        def asking(way: str, what: str, streamed: bool = False, agent: int = 0, **more: Any) -> Ask:
            there = ways[way]

            async def ask(number: int) -> float:
                headers = {"Authorization": f"Bearer {gateway['secrets'][(agent + number) % AGENTS]}"}
                body = {**question(what.format(number)), "max_tokens": 100, "stream": streamed, **more}
                began = time.perf_counter()
                async with client.post(there, json=body, headers=headers) as response:
                    assert response.status == 200, await response.text()
                    await response.content.readany()
                    first = time.perf_counter() - began
                    while await response.content.readany():
                        pass
                return first if streamed else time.perf_counter() - began

            return ask

        calls = await compared(asking("direct", "q{}"), asking("door", "q{}"), ROUNDS)
        again = await compared(asking("direct", "q{}"), asking("door", "q0"), ROUNDS // 2)
        # Those that have a temperature of 0 are kept, for whoever asks the same of the same Model.
        fill = asking("door", "c{}", temperature=0)
        for number in range(WARM + ROUNDS // 2):
            await fill(number)
        cached = await compared(
            asking("direct", "c{}"), asking("door", "c{}", agent=1, temperature=0), ROUNDS // 2
        )
        streams = await compared(asking("direct", "s{}", True), asking("door", "s{}", True), ROUNDS // 20)
    direct, through = medians(calls)
    lines = [
        f"a call of a model through the door: {through:.2f} ms, directly {direct:.2f} ms;"
        f" added {through - direct:.2f} ms (at most 5)"
    ]
    if quiet := [block for block in calls if block.taken <= ALONE]:
        direct, through = medians(quiet)
        lines.append(
            f"  of {len(quiet) * BLOCK} of these {ROUNDS} calls the host left the machine alone:"
            f" {through:.2f} ms, directly {direct:.2f} ms; added {through - direct:.2f} ms"
        )
    (_, recorded), (_, kept), (first, first_through) = medians(again), medians(cached), medians(streams)
    return [
        *lines,
        f"the same call again, from its record: {recorded:.2f} ms (at most 5)",
        f"the same call of another agent, from the cache: {kept:.2f} ms (at most 5)",
        f"the first piece of a stream through the door: {first_through:.2f} ms, directly {first:.2f} ms",
    ]


@dataclass(frozen=True)
class Block:
    """Calls in turns, so that the machine's moods fall on both ways: the seconds of each."""

    one: Sequence[float]
    other: Sequence[float]
    taken: float
    """The share of the machine's processors that its host took meanwhile."""


async def compared(one: Ask, other: Ask, rounds: int) -> list[Block]:
    """So many calls of each, when both are warm."""
    host, blocks = Host(), []
    for start in range(0, WARM + rounds, BLOCK):
        pairs = [(await one(number), await other(number)) for number in range(start, start + BLOCK)]
        blocks.append(Block(*zip(*pairs, strict=True), taken=host.took()))
    return blocks[WARM // BLOCK :]


def medians(blocks: Sequence[Block]) -> tuple[float, float]:
    """Of both ways, in milliseconds."""
    both = zip(*((block.one, block.other) for block in blocks), strict=True)
    first, second = (1000 * statistics.median(chain.from_iterable(found)) for found in both)
    return first, second


def main() -> None:
    match sys.argv[1:]:
        case ["models", folder]:
            uvloop.run(serve_models(Path(folder)))
        case ["gateway", folder, url, port, redis]:
            uvloop.run(serve_door(Path(folder), url, int(port), int(redis)))
        case ["door"]:
            server = PostgresServer()
            server.start()
            try:
                with observed():
                    for line in uvloop.run(door(server)):
                        print(line)
            finally:
                server.remove()
        case _:
            sys.exit(f"usage: {sys.argv[0]} door")


if __name__ == "__main__":
    main()
