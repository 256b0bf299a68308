"""From a name to a connection: resolve, check every address, dial exactly one that was checked.

A name is never looked up again between check and dial: what it resolves to a moment later does not matter.
What it resolved to is believed for two seconds, and checked for each connection.
"""

import asyncio
import contextlib
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from citadel.egress.addresses import Checks
from citadel.egress.requests import Refused

RESOLVE_SECONDS = 5.0
CONNECT_SECONDS = 3.0
DIAL_SECONDS = 10.0
#: Seconds for which a name keeps its addresses: a client that opens many connections waits for one look-up.
FRESH_SECONDS = 2.0
_REMEMBERED = 2000
#: Names looked up at once; the system's resolver blocks a thread for each.
_LOOKUPS = 32
#: Addresses of one name that are looked at.
_MOST = 16

Resolve = Callable[[str, int], Awaitable[list[str]]]


class SystemResolver:
    """The system's resolver, asked for names as they are, never for one with a search domain behind it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="resolve")
        self._free = asyncio.Semaphore(_LOOKUPS)

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a name, in the order in which they are to be tried; raises Refused."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise Refused(503, "too many names are being resolved") from None
        lookup = loop.run_in_executor(self._threads, _look_up, f"{host}.", port)
        # Given back when the thread is free, which may be long after nobody waits any more.
        lookup.add_done_callback(lambda _: self._free.release())
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                return await asyncio.shield(lookup)
        except TimeoutError:
            raise Refused(504, f"{host} was not resolved within {RESOLVE_SECONDS:.0f} s") from None
        except socket.gaierror as error:
            raise Refused(502, f"{host} does not resolve: {error.strerror}") from None

    def close(self) -> None:
        """Ends without waiting for what is still looked up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(name: str, port: int) -> list[str]:
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Dialler:
    """Opens connections to names."""

    def __init__(self, resolve: Resolve, checks: Checks) -> None:
        self._resolve, self._checks = resolve, checks
        self._known: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()

    async def addresses(self, host: str, port: int, listed: Sequence[str]) -> list[str]:
        """The addresses of a name that may be dialled; raises Refused when there is none."""
        found = await self._look_up(host, port)
        refused = {address: self._checks.refusal(address, listed) for address in found}
        good = [address for address, why in refused.items() if why is None]
        if not good:
            told = ", ".join(f"{address} ({why})" for address, why in list(refused.items())[:3])
            raise Refused(403, f"{host} resolves to {told or 'nothing'}, which no ExecutionPolicy lists")
        return good

    async def _look_up(self, host: str, port: int) -> list[str]:
        at, found = self._known.get(host, (float("-inf"), []))
        if time.monotonic() - at > FRESH_SECONDS:
            found = (await self._resolve(host, port))[:_MOST]
            self._known[host] = time.monotonic(), found
            self._known.move_to_end(host)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found

    async def dial(self, addresses: Sequence[str], port: int) -> tuple[socket.socket, str]:
        """A connection to the first of these addresses that answers, and which one; raises Refused."""
        problems = []
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                for address in addresses:
                    try:
                        return await _connect(address, port), address
                    except OSError as error:
                        problems.append(f"{address}: {error.strerror or 'no answer'}")
        except TimeoutError:
            problems.append(f"no answer within {DIAL_SECONDS:.0f} s")
        raise Refused(502, "; ".join(problems[:3]))


async def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    dialled = socket.socket(family, socket.SOCK_STREAM)
    try:
        dialled.setblocking(False)
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dialled.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(dialled, (address, port))
    except BaseException:
        with contextlib.suppress(OSError):
            dialled.close()
        raise
    return dialled
