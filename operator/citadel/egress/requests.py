"""The one request the proxy serves, read strictly: what can be read in two ways is refused. Pure."""

import re
from dataclasses import dataclass, field

from citadel.api.egress import is_host

#: Bytes of a request, to the empty line.
HEAD_LIMIT = 4096
END = b"\r\n\r\n"
_LINE = re.compile(rb"CONNECT ([^ ]{1,300}) HTTP/1\.1")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_FIELD = re.compile(rb"([A-Za-z][A-Za-z-]{0,63}):[ ]?([\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?)")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9._-]{1,256})")
#: An instance of a step, such as fix[2].write.
_ATTEMPT = re.compile(r"([A-Za-z][A-Za-z0-9_.\[\]]{0,639})/([1-9][0-9]{0,5})")
_KNOWN = frozenset({"host", "proxy-authorization", "citadel-attempt", "user-agent"})


class Refused(Exception):
    """A request that is not served: the status it gets, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Request:
    """A connection that a sandbox asks for."""

    host: str
    port: int
    token: str = field(repr=False)
    """What the sandbox shows for itself."""
    step: str
    attempt: int


def parse(head: bytes) -> Request:
    """The request whose head this is, with its end mark; raises Refused."""
    if len(head) > HEAD_LIMIT:
        raise Refused(431, f"expected a request of at most {HEAD_LIMIT} bytes")
    if not head.endswith(END):
        raise Refused(400, "expected a request that ends with an empty line, and nothing behind it")
    line, *lines = head.removesuffix(END).split(b"\r\n")
    if not line.startswith(b"CONNECT "):
        raise Refused(405, "expected CONNECT: nothing else is served")
    matched = _LINE.fullmatch(line)
    if matched is None:
        raise Refused(400, "expected CONNECT host:port HTTP/1.1")
    fields = _fields(lines)
    authority = matched[1].decode("latin-1")
    host, port = _authority(authority)
    if fields.get("host", authority) != authority:
        raise Refused(400, "expected a Host that is the one to connect to")
    bearer = _BEARER.fullmatch(fields.get("proxy-authorization", ""))
    if bearer is None:
        raise Refused(407, "expected Proxy-Authorization: Bearer and a token")
    attempt = _ATTEMPT.fullmatch(fields.get("citadel-attempt", ""))
    if attempt is None:
        raise Refused(400, "expected Citadel-Attempt: step/attempt")
    return Request(host, port, bearer[1], attempt[1], int(attempt[2]))


def _authority(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not is_host(host):
        raise Refused(400, f"found the host {host!r:.100}, expected a full name in lower case")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise Refused(400, f"found the port {port!r:.20}, expected 1 to 65535")
    return host, int(port)


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        # No continuation lines, no bare CR or LF, no space before the colon, no bytes beyond ASCII.
        matched = _FIELD.fullmatch(line)
        if matched is None:
            raise Refused(400, "expected header fields of one plain line each")
        name = matched[1].decode().lower()
        if name not in _KNOWN:
            raise Refused(400, f"found the field {name!r}, expected none but {', '.join(sorted(_KNOWN))}")
        if name in fields:
            raise Refused(400, f"found the field {name!r} twice, expected it once")
        fields[name] = matched[2].decode()
    return fields
