"""Destinations of the network, as steps, Runtimes and policies name them: `host:port`, and nothing else.

A host is a full name in lower case, or `*.` and one. It is never an address: what has digits at its end, in
whatever base, is read as an address by one resolver or another. So what is compared as text here is what is
looked up later.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from citadel.api.meta import Model

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The last label begins with a letter: 127.1, 0x7f000001 and 2130706433 are addresses to some.
_NAME = rf"({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?"
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
DESTINATION_PATTERN = rf"^(\*\.)?{_NAME}:{_PORT}$"
MAX_HOST = 253
_DESTINATION = re.compile(DESTINATION_PATTERN)
_HOST = re.compile(_NAME)
_ADDRESS = re.compile(r"\[.*|[0-9a-fA-F]*:[0-9a-fA-F:.]*|(.*\.)?(0[xX][0-9a-fA-F]*|[0-9]+)\.?")


def is_host(text: str) -> bool:
    """Whether this is an exact host: a full name in lower case, no wildcard, no address."""
    return len(text) <= MAX_HOST and _HOST.fullmatch(text) is not None


def url_of_a_host(url: str) -> str:
    """The URL; raises ValueError where its host is no exact one."""
    host = urlsplit(url).hostname or ""
    if not is_host(host):
        raise ValueError(f"found the host {host!r}, expected a full name in lower case")
    return url


def split(destination: str) -> tuple[str, int]:
    """Host (or `*.` and a host) and port of a destination; raises ValueError saying what is wrong."""
    host, _, port = destination.rpartition(":")
    if len(destination.removeprefix("*.").rpartition(":")[0]) > MAX_HOST or not _DESTINATION.fullmatch(
        destination
    ):
        raise ValueError(f"found {destination!r:.300}, expected {_expected(destination)}")
    return host, int(port)


def _expected(text: str) -> str:
    """What a destination should be, for one that is not: the first thing that is wrong with it."""
    host, colon, port = text.rpartition(":")
    if "/" in text or "@" in text:
        return "host:port, without scheme, user or path"
    if text.count(":") > 1 or _ADDRESS.fullmatch(host if colon else text):
        return "the name of a host; addresses cannot be named"
    if not colon or not port:
        return "a port too, such as api.example.com:443"
    if not (port.isascii() and port.isdigit()) or not re.fullmatch(_PORT, port):
        return "a port from 1 to 65535 after the colon"
    if not text.isascii():
        return "ASCII; a name in another script is written in its punycode form, xn--…"
    if host != host.lower():
        return f"lower case: {text.lower()}"
    if host.endswith("."):
        return f"no dot at the end of the name: {host.rstrip('.')}:{port}"
    if "*" in host and not re.fullmatch(rf"\*\.{_NAME}", host):
        return "a wildcard only as the first label, before at least two others: *.example.com:443"
    if "." not in host:
        return "a full name, of at least two labels, such as db.example.com:5432"
    if len(host.removeprefix("*.")) > MAX_HOST or any(len(label) > 63 for label in host.split(".")):
        return f"a name of at most {MAX_HOST} characters, its labels of at most 63"
    return "labels of letters, digits and -, no - at their ends, and a letter at the start of the last"


def _checked(destination: str) -> str:
    split(destination)
    return destination


Destination = Annotated[
    str,
    StringConstraints(max_length=MAX_HOST + 8),
    AfterValidator(_checked),
    Field(json_schema_extra={"pattern": DESTINATION_PATTERN}),
]


class Network(Model):
    """What is reached beyond the sandbox. Without it: nothing."""

    egress: Annotated[tuple[Destination, ...], Field(max_length=64)] = ()
    """Destinations as host:port, the host a full name or *. and one, which stands for all names below it. A
    step reaches what itself and its Runtime name, as far as every ExecutionPolicy of the namespace allows
    it."""


def covers(rule: str, host: str, port: int) -> bool:
    """Whether a destination stands for this host, or for all that are meant if it is a wildcard too."""
    of, at = split(rule)
    if at != port:
        return False
    # `*.example.com` stands for names of any depth below example.com, and not for itself.
    return host == of or (of.startswith("*.") and host.removeprefix("*").endswith(of[1:]))
