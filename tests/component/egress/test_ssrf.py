"""What code in a sandbox may try: sent to a real proxy, which asks a real gateway.

Each case has a twin: the same bytes, sent to a proxy without the controls that stop it, reach what they are
after. A case whose twin does not proves nothing, and fails.
"""

from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from component.egress.conftest import Remote

INTERNET, METADATA, NEIGHBOUR = "93.184.216.34", "169.254.169.254", "10.1.2.3"
EGRESS = ["internet.test:80", "internet.test:443", "*.evil.test:80", "*.wild.test:80"]

#: Addresses that names stand for: all are reached, as the twins show, but for the check after the look-up.
#: Where the kernel sends a connection somewhere else than to the address itself, that is named behind it.
FORBIDDEN = {
    "127.0.0.1": "127.0.0.1",
    "127.255.255.254": "127.255.255.254",
    "0.0.0.0": "127.0.0.1",
    "10.1.2.3": "10.1.2.3",
    "10.255.255.1": "10.255.255.1",
    "172.16.0.1": "172.16.0.1",
    "172.31.255.254": "172.31.255.254",
    "192.168.1.1": "192.168.1.1",
    "169.254.169.254": "169.254.169.254",
    "169.254.1.1": "169.254.1.1",
    "100.64.0.1": "100.64.0.1",
    "100.100.100.200": "100.100.100.200",
    "168.63.129.16": "168.63.129.16",
    "192.0.0.192": "192.0.0.192",
    "192.0.2.1": "192.0.2.1",
    "192.88.99.1": "192.88.99.1",
    "198.18.0.1": "198.18.0.1",
    "198.51.100.1": "198.51.100.1",
    "203.0.113.1": "203.0.113.1",
    "240.0.0.1": "240.0.0.1",
    "::1": "::1",
    "::ffff:127.0.0.1": "127.0.0.1",
    "::ffff:169.254.169.254": "169.254.169.254",
    "::ffff:10.1.2.3": "10.1.2.3",
    "::127.0.0.1": "::7f00:1",
    "::ffff:0:10.1.2.3": "::ffff:0:a01:203",
    "64:ff9b::169.254.169.254": "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::10.1.2.3": "64:ff9b:1::a01:203",
    "fd00:ec2::254": "fd00:ec2::254",
    "fc00::1": "fc00::1",
    "fec0::1": "fec0::1",
    "2002:a9fe:a9fe::1": "2002:a9fe:a9fe::1",
    "2001::a9fe:a9fe": "2001::a9fe:a9fe",
    "2001:db8::1": "2001:db8::1",
    "3fff::1": "3fff::1",
    "5f00::1": "5f00::1",
    "100::1": "100::1",
    "2a00::5efe:10.1.2.3": "2a00::5efe:a01:203",
}

#: Targets as careless readers take them, and what those reach.
SPELLINGS = {
    "127.0.0.1:80": "127.0.0.1",
    "127.1:80": "127.0.0.1",
    "2130706433:80": "127.0.0.1",
    "0x7f000001:80": "127.0.0.1",
    "0x7f.1:80": "127.0.0.1",
    "0177.0.0.1:80": "127.0.0.1",
    "0:80": "127.0.0.1",
    "169.254.169.254:80": METADATA,
    "2852039166:80": METADATA,
    "0xa9fea9fe:80": METADATA,
    "0251.0376.0251.0376:80": METADATA,
    "169.254.43518:80": METADATA,
    "[::1]:80": "::1",
    "[::ffff:169.254.169.254]:80": METADATA,
    "[::ffff:a9fe:a9fe]:80": METADATA,
    "[fd00:ec2::254]:80": "fd00:ec2::254",
    "169.254.169%2e254:80": METADATA,
    "①⑥⑨.254.169.254:80": METADATA,
    "169。254。169。254:80": METADATA,
    "internet.test:80@169.254.169.254:80": METADATA,
    "internet.test#@169.254.169.254:80": METADATA,
    "localhost:80": "127.0.0.1",
    "169.254.169.254:080": METADATA,
    "169.254.169.254:+80": METADATA,
    "169.254.169.254:٨٠": METADATA,
    "metadata.evil.test.:80": METADATA,
    "METADATA.evil.test:80": METADATA,
    "metadata.evil\0.test:80": METADATA,
}


def connect(target: str, fields: str = "", attempt: str = "a/1") -> str:
    """A request as the runner sends it, for a target that it would never send."""
    return (
        f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Bearer {{token}}\r\n"
        f"Citadel-Attempt: {attempt}\r\n{fields}\r\n"
    )


@dataclass(frozen=True)
class Case:
    """Something to send, what it is after, and the controls that are in its way."""

    head: str
    target: str
    without: tuple[str, ...]
    who: str = "ours"
    then: str = ""


META = "metadata.evil.test:80"
_SLOPPY = ("requests", "addresses", "gateway")
CASES = {
    **{f"a name for {a}": Case(connect(f"n{n}.evil.test:80"), reached, ("addresses",))
       for n, (a, reached) in enumerate(FORBIDDEN.items())},
    **{f"spelt {spelling!a}": Case(connect(spelling), reached, _SLOPPY)
       for spelling, reached in SPELLINGS.items()},
    "a CNAME to a private address": Case(connect("alias.evil.test:80"), NEIGHBOUR, ("addresses",)),
    "a name that changes between check and dial": Case(
        connect("rebind.evil.test:80"), METADATA, ("pinning",)),
    "GET with the whole URL": Case(f"GET http://{META}/ HTTP/1.1\r\nHost: {META}\r\n\r\n", METADATA, _SLOPPY),
    "POST": Case(f"POST http://{META}/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n", METADATA, _SLOPPY),
    "an older version": Case(connect(META).replace("HTTP/1.1", "HTTP/1.0"), METADATA, _SLOPPY),
    "no version": Case(connect(META).replace(" HTTP/1.1", " "), METADATA, _SLOPPY),
    "another Host than the target": Case(
        connect("internet.test:80").replace("Host: internet", "Host: metadata.evil")
        .replace("\r\n\r\n", "\r\nUser-Agent: host-trusting\r\n\r\n"), METADATA, _SLOPPY),
    "two Hosts": Case(
        f"CONNECT internet.test:80 HTTP/1.1\r\nHost: {META}\r\n"
        + connect("internet.test:80", "User-Agent: host-trusting\r\n").partition("\r\n")[2],
        METADATA, _SLOPPY),
    "a Host with a space before its colon": Case(
        connect("internet.test:80", f"Host : {META}\r\nUser-Agent: host-trusting\r\n")
        .replace("Host: internet.test:80\r\n", ""), METADATA, _SLOPPY),
    "a field on two lines": Case(
        connect("internet.test:80", "User-Agent: host-trusting\r\n").replace(
            "Host: internet.test:80", f"Host:\r\n {META}"), METADATA, _SLOPPY),
    "a line feed for an end of line": Case(
        connect("internet.test:80", f"User-Agent: x\nHost-: {META}\nX: host-trusting\r\n")
        .replace("Host: internet.test:80\r\n", ""), METADATA, _SLOPPY),
    "a body that is another request": Case(
        connect(META, "Content-Length: 40\r\n") + "GET / HTTP/1.1\r\n\r\n", METADATA, _SLOPPY),
    "a chunked body": Case(connect(META, "Transfer-Encoding: chunked\r\n"), METADATA, _SLOPPY),
    "a request behind the request": Case(
        connect(META) + connect("internet.test:80"), METADATA, _SLOPPY),
    "a field that forwards": Case(connect(META, "X-Forwarded-For: 127.0.0.1\r\n"), METADATA, _SLOPPY),
    "CR and LF in the target": Case(connect("internet.test:80\r\nX: y").replace(
        "CONNECT internet.test:80", f"CONNECT {META} HTTP/1.1\r\nX: z"), METADATA, _SLOPPY),
    "a name that no step names": Case(connect("other.test:80"), INTERNET, ("gateway",)),
    "a port that no step names": Case(connect("internet.test:5432"), INTERNET, ("gateway",)),
    "a name that ends like a wildcard's": Case(connect("notwild.test:80"), INTERNET, ("gateway",)),
    "a wildcard's own name": Case(connect("wild.test:80"), INTERNET, ("gateway",)),
    "a wildcard's name within another": Case(connect("a.wild.test.other.test:80"), INTERNET, ("gateway",)),
    "a name that the policy does not allow": Case(connect("internet.test:443"), INTERNET, ("gateway",)),
    "the token of a sandbox that names nothing": Case(
        connect("internet.test:80"), INTERNET, ("gateway",), "quiet"),
    "the token of a step that has ended": Case(connect("internet.test:80"), INTERNET, ("gateway",), "ended"),
    "the token for another attempt": Case(connect("internet.test:80", attempt="a/2"), INTERNET, ("gateway",)),
    "the token for another step": Case(connect("internet.test:80", attempt="b/1"), INTERNET, ("gateway",)),
    "no token of ours": Case(connect("internet.test:80"), INTERNET, ("gateway",), "nobody"),
    "no token at all": Case(
        connect("internet.test:80").replace("Proxy-Authorization: Bearer {token}\r\n", ""),
        INTERNET, ("requests", "gateway")),
    "a token by another scheme": Case(
        connect("internet.test:80").replace("Bearer", "Basic"), INTERNET, ("requests", "gateway")),
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(world: Remote) -> Remote:
    """Three executions, the names they ask for, and a policy that allows what one of them names."""
    world.call("listen", ["0.0.0.0", "::"])
    world.call("allow", EGRESS)
    for uid, egress in (("ours", EGRESS), ("quiet", []), ("ended", EGRESS)):
        world.call("begin", uid, egress)
    world.call("end", "ended")
    world.call("allow", [name for name in EGRESS if name != "internet.test:443"])
    for host in ("internet", "other", "notwild", "wild", "a.wild.test.other"):
        world.call("name", f"{host}.test", [INTERNET])
    for number, address in enumerate(FORBIDDEN):
        world.call("name", f"n{number}.evil.test", [address])
    world.call("name", "metadata.evil.test", [METADATA])
    world.call("name", "alias.evil.test", [NEIGHBOUR], alias="inner.test")
    return world


def asked(world: Remote, case: Case, without: tuple[str, ...]) -> list[str]:
    """The addresses that a case reaches."""
    # Each look-up asks once for each family: the first pair of answers is for the check.
    world.call("name", "rebind.evil.test", [INTERNET], [METADATA])
    found = world.call("ask", case.head, case.who, list(without), case.then)
    return [plain(address) for address in found["reached"]]


def plain(text: str) -> str:
    """An address in its one spelling; what a socket of both families calls mapped is IPv4."""
    address = ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


@pytest.mark.parametrize("name", CASES)
def test_it_reaches_nothing_and_without_the_controls_it_does(prepared: Remote, name: str) -> None:
    case = CASES[name]
    reached = asked(prepared, case, ())
    # The name that changes is public when it is checked: that address is dialled, and no other.
    assert reached == ([INTERNET] if "pinning" in case.without else [])
    assert plain(case.target) in asked(prepared, case, case.without)


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 60
    assert {control for case in CASES.values() for control in case.without} == {
        "addresses", "gateway", "pinning", "requests",
    }  # fmt: skip


def test_of_several_addresses_only_those_that_are_public_are_dialled(prepared: Remote) -> None:
    prepared.call("name", "mixed.evil.test", [NEIGHBOUR, METADATA, INTERNET])
    found = prepared.call("ask", connect("mixed.evil.test:80"), "ours")
    assert (found["status"], found["reached"]) == ("200", [INTERNET])


def test_a_private_address_is_reached_where_a_policy_lists_it_at_that_port_and_nowhere_else(
    prepared: Remote,
) -> None:
    listed = {"10.0.0.0/8:80": [NEIGHBOUR], "10.0.0.0/8:81": [], "10.2.0.0/16:80": []}
    try:
        for number, (private, reached) in enumerate(listed.items()):
            prepared.call("allow", EGRESS, [private])
            # Each time another name: the proxy believes an answer for some seconds.
            prepared.call("name", f"db{number}.evil.test", [NEIGHBOUR])
            told = prepared.call("ask", connect(f"db{number}.evil.test:80"), "ours")
            assert told["reached"] == reached
    finally:
        prepared.call("allow", EGRESS)


def test_a_refusal_is_told_and_kept_with_the_reason(prepared: Remote) -> None:
    prepared.call("name", "told.evil.test", [METADATA])
    told = prepared.call("ask", connect("told.evil.test:80"), "ours")
    reason = "told.evil.test resolves to 169.254.169.254 (a metadata service), which no ExecutionPolicy lists"
    assert (told["status"], told["body"]) == ("403", reason)
    row = prepared.call("connection", "ours", "told.evil.test")
    assert (row["verdict"], row["reason"], row["address"], row["step"]) == ("refused", reason, "", "a")


def test_each_request_over_one_connection_is_judged_for_itself(prepared: Remote) -> None:
    targets = ("internet.test:80", "internet.test:80", "other.test:80")
    first, second, third = prepared.call("ask_all", [connect(target) for target in targets], "ours")
    assert [answer["status"] for answer in (first, second, third)] == ["200", "200", "403"]
    assert first["body"].endswith(INTERNET)
    assert second["body"].endswith(INTERNET)
    assert "is not in network.egress" in third["body"]
