"""A network of its own for a process that `unshare --net` started: every address is here, and says which.

One server stands for the internet, for metadata services and for neighbours alike: it answers with the
address at which it was reached. A DNS server tells whatever a test wants to be told.
"""

import asyncio
import fcntl
import ipaddress
import socket
import struct
from collections import defaultdict
from collections.abc import Sequence

DNS_ADDRESS = "10.99.0.53"
PORTS = (80, 443, 5432)
_LOOPBACK = 1  # index of lo in every network namespace


def open_up() -> None:
    """Brings loopback up, and makes every address of both families local to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        up_and_running = struct.pack("16sh", b"lo", 0x1 | 0x40)
        fcntl.ioctl(control, 0x8914, up_and_running)  # SIOCSIFFLAGS
    for family in (socket.AF_INET, socket.AF_INET6):
        _local_route(family)


def _local_route(family: int) -> None:
    """`ip route add local default dev lo`, in the words of rtnetlink."""
    # family, no destination prefix, no source, no TOS, table local, by the boot, host scope, a local route
    route = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 255, 3, 254 if family == socket.AF_INET else 0, 2, 0)
    device = struct.pack("=HHi", 8, 4, _LOOPBACK)
    body = route + device
    # RTM_NEWROUTE; request, acknowledge, create
    header = struct.pack("=IHHII", 16 + len(body), 24, 0x1 | 0x4 | 0x400, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.send(header + body)
        answer = kernel.recv(4096)
    (code,) = struct.unpack_from("=i", answer, 16)
    if code != 0:
        raise OSError(-code, "a route that makes every address local")


class Everywhere:
    """Answers HTTP at whatever address it is told to; `reached` are those at which it was reached."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self._listening: set[str] = set()
        self.location = ""
        """Where to a request for /redirect is sent."""

    async def listen(self, addresses: Sequence[str]) -> None:
        """Answers at these too; a sandbox in the same network listens at loopback addresses of its own."""
        for address in set(addresses) - self._listening:
            for port in PORTS:
                await asyncio.start_server(self._answer, address, port)
            self._listening.add(address)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here = writer.get_extra_info("sockname")[0]
        self.reached.append(here)
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            status = "200 OK"
            if request.startswith(b"GET /redirect "):
                status = f"302 Found\r\nLocation: {self.location}"
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(here)}\r\nConnection: close\r\n\r\n"
            writer.write((head + here).encode())
            await writer.drain()
        except (OSError, EOFError):
            pass
        writer.close()


class Names(asyncio.DatagramProtocol):
    """A DNS server. A name has answers in turns: each look-up takes the next, and the last one stays."""

    def __init__(self) -> None:
        self.zone: dict[str, list[Sequence[str]]] = {}
        self.aliases: dict[str, str] = {}
        self.asked: defaultdict[tuple[str, int], int] = defaultdict(int)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(DNS_ADDRESS, 53))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, query: bytes, peer: tuple[str, int]) -> None:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        name, question = ".".join(labels).lower(), query[12 : at + 5]
        (kind,) = struct.unpack_from(">H", query, at + 1)
        records = []
        alias = self.aliases.get(name)
        if alias is not None:
            target = b"".join(bytes([len(part)]) + part.encode() for part in alias.split(".")) + b"\0"
            records.append(b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 0, len(target)) + target)
        turns = self.zone.get(alias or name)
        if turns:
            turn = self.asked[name, kind]
            self.asked[name, kind] += 1
            # With a CNAME the answer belongs to its target, right behind the first record's head.
            target_at = 12 + len(question) + 12
            at_target = struct.pack(">H", 0xC000 | target_at)
            owner = b"\xc0\x0c" if alias is None else at_target
            for text in turns[min(turn, len(turns) - 1)]:
                address = ipaddress.ip_address(text)
                if kind == {4: 1, 6: 28}[address.version]:
                    packed = address.packed
                    records.append(owner + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed)
        code = 0 if turns else 3
        header = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        self._transport.sendto(header + question + b"".join(records), peer)  # type: ignore[attr-defined]
