"""The egress process without some of its controls, which its arguments name: for the twins of cases.

Whoever writes such a proxy by accident writes it like this: it believes what it is sent.
"""

import asyncio
import re
import socket
import sys
from urllib.parse import unquote

from citadel.egress import addresses, asking, dialling, process, requests, tunnels


def believing(head: bytes) -> requests.Request:
    """What a careless reader finds in a request: any method, the host by whatever field names one."""
    text = head.decode("utf-8", "replace").replace("\0", "")
    found = re.search(r"(?im)^host-?\s*:\s*(\S+)", text) if "host-trusting" in text else None
    target = found[1] if found else text.split()[1]
    authority = unquote(re.sub(r"^https?://", "", target)).split("/")[0].split("@")[-1].split("#")[-1]
    host, _, port = authority.rpartition(":")
    token = re.search(r"Bearer (\S+)", text)
    return requests.Request(host.strip("[]"), int(port), token[1] if token else "none", "a", 1)


async def look_up(self: object, host: str, port: int) -> list[str]:
    """The system's resolver as it is: it knows addresses in every spelling."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def allow(self: object, request: requests.Request) -> asking.Answer:
    """Everybody may do everything."""
    return asking.Answer(True, "", (), "", "")


async def check_and_forget(self: dialling.Dialler, host: str, port: int, listed: object) -> list[str]:
    """Checks what the name stands for now, and dials what it stands for a moment later."""
    for address in await self._resolve(host, port):
        if why := self._checks.refusal(address):
            raise requests.Refused(403, why)
    return await self._resolve(host, port)


def main(controls: list[str]) -> None:
    if "requests" in controls:
        tunnels.parse = believing  # type: ignore[attr-defined]
        dialling.SystemResolver.__call__ = look_up  # type: ignore[method-assign]
    if "addresses" in controls:
        addresses.Checks.refusal = lambda *_: None  # type: ignore[assignment, method-assign]
    if "gateway" in controls:
        asking.GatewayClient.ask = allow  # type: ignore[method-assign]
    if "pinning" in controls:
        dialling.Dialler.addresses = check_and_forget  # type: ignore[assignment, method-assign]
    process.run()


if __name__ == "__main__":
    main(sys.argv[1:])
