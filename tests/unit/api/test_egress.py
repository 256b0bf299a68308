"""Destinations: what they may be, what is said of everything else, and what a wildcard stands for."""

import re

import pytest

from citadel.api.egress import DESTINATION_PATTERN, covers, is_host, split
from citadel.api.validate import InvalidObject, parse

LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
GOOD = {
    "api.example.com:443": ("api.example.com", 443),
    "db.mine:5432": ("db.mine", 5432),
    "*.example.com:443": ("*.example.com", 443),
    "*.a.example.com:1": ("*.a.example.com", 1),
    "xn--bcher-kva.example:65535": ("xn--bcher-kva.example", 65535),
    "1.example.com:80": ("1.example.com", 80),
    "a-b.c--d.e2:10000": ("a-b.c--d.e2", 10000),
    f"{LONG}:443": (LONG, 443),
    f"*.{LONG}:443": (f"*.{LONG}", 443),
}
ADDRESS = "the name of a host; addresses cannot be named"
WRONG = {
    "": "a port too",
    "api.example.com": "a port too",
    "api.example.com:": "a port too",
    "https://api.example.com:443": "host:port, without scheme",
    "api.example.com:443/x": "host:port, without scheme",
    "me@api.example.com:443": "host:port, without scheme",
    "127.0.0.1:80": ADDRESS,
    "127.1:80": ADDRESS,
    "0x7f000001:80": ADDRESS,
    "0x7f.0.0.1:80": ADDRESS,
    "0177.0.0.1:80": ADDRESS,
    "2130706433:80": ADDRESS,
    "127.0.0.1.:80": ADDRESS,
    "127.0.0.1": ADDRESS,
    "10.0.0.0x1:80": ADDRESS,
    "[::1]:80": ADDRESS,
    "::1:80": ADDRESS,
    "::ffff:127.0.0.1:80": ADDRESS,
    "fd00:ec2::254:80": ADDRESS,
    "a.example.com:80:80": ADDRESS,
    "api.example.com:0": "a port from 1 to 65535",
    "api.example.com:65536": "a port from 1 to 65535",
    "api.example.com:0443": "a port from 1 to 65535",
    "api.example.com:https": "a port from 1 to 65535",
    "api.example.com:٤٤٣": "a port from 1 to 65535",
    "api.example.com:-1": "a port from 1 to 65535",
    "bücher.example:443": "ASCII",
    "①.example.com:443": "ASCII",
    "example。com.de:443": "ASCII",
    "API.example.com:443": "lower case: api.example.com:443",
    "api.example.com.:443": "no dot at the end of the name: api.example.com:443",
    "*:443": "a wildcard only",
    "*.com:443": "a wildcard only",
    "*.*.example.com:443": "a wildcard only",
    "a.*.example.com:443": "a wildcard only",
    "a*.example.com:443": "a wildcard only",
    "localhost:80": "a full name",
    "db:5432": "a full name",
    f"{LONG}x:443": "a name of at most 253",
    f"{'a' * 64}.example.com:443": "a name of at most 253",
    "-a.example.com:443": "labels of letters",
    "a-.example.com:443": "labels of letters",
    "a..example.com:443": "labels of letters",
    ".example.com:443": "labels of letters",
    "a_b.example.com:443": "labels of letters",
    "a b.example.com:443": "labels of letters",
    "a.example.com\n:443": "labels of letters",
    "a.example.c%6fm:443": "labels of letters",
    "example.1com:443": "labels of letters",
}


@pytest.mark.parametrize(("text", "parts"), GOOD.items())
def test_a_full_name_and_a_port_are_a_destination(text: str, parts: tuple[str, int]) -> None:
    assert split(text) == parts
    assert re.fullmatch(DESTINATION_PATTERN, text)
    assert is_host(parts[0]) is not parts[0].startswith("*")


@pytest.mark.parametrize(("text", "expected"), WRONG.items())
def test_of_anything_else_is_said_what_is_wrong_with_it(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"expected {expected}")):
        split(text)


@pytest.mark.parametrize("text", WRONG)
def test_the_api_server_refuses_it_too_but_for_the_length_of_the_whole(text: str) -> None:
    assert text.startswith(LONG) or not re.search(DESTINATION_PATTERN.replace("$", r"\Z"), text)


@pytest.mark.parametrize(
    "host", ["api.example.com\n", "127.0.0.1", "*.example.com", "a", "", "a.B", "a.b.", "é.fr"]
)
def test_what_is_no_exact_host_is_not_taken_for_one(host: str) -> None:
    assert not is_host(host)


@pytest.mark.parametrize(
    ("rule", "host", "port", "does"),
    [
        ("api.example.com:443", "api.example.com", 443, True),
        ("api.example.com:443", "api.example.com", 80, False),
        ("api.example.com:443", "x.api.example.com", 443, False),
        ("*.example.com:443", "api.example.com", 443, True),
        ("*.example.com:443", "a.b.example.com", 443, True),
        ("*.example.com:443", "example.com", 443, False),
        ("*.example.com:443", "evilexample.com", 443, False),
        ("*.example.com:443", "example.com.evil.org", 443, False),
        ("*.example.com:443", "*.example.com", 443, True),
        ("*.example.com:443", "*.b.example.com", 443, True),
        ("*.b.example.com:443", "*.example.com", 443, False),
        ("api.example.com:443", "*.example.com", 443, False),
    ],
)
def test_a_destination_stands_for_itself_and_a_wildcard_for_all_names_below(
    rule: str, host: str, port: int, does: bool
) -> None:
    assert covers(rule, host, port) is does


def step(egress: list[object]) -> dict[str, object]:
    fields = {"name": "a", "run": {"runtime": "python", "code": "x"}, "network": {"egress": egress}}
    spec = {"steps": [fields]}
    return {"apiVersion": "citadel.dev/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}, "spec": spec}


def test_a_step_names_its_destinations() -> None:
    network = parse("Workflow", step(["db.mine:5432"])).steps[0].network
    assert network is not None
    assert network.egress == ("db.mine:5432",)


@pytest.mark.parametrize(
    ("egress", "message"),
    [
        (
            ["ok.example.com:1", "db.mine"],
            "spec.steps[0].network.egress[1]: found 'db.mine', expected a port too",
        ),
        ([5432], "spec.steps[0].network.egress[0]: found 5432 (integer), expected a string"),
        (["a.b:1"] * 65, "spec.steps[0].network.egress: found 65 items, expected at most 64"),
    ],
)
def test_a_wrong_destination_is_named_by_its_place(egress: list[object], message: str) -> None:
    with pytest.raises(InvalidObject) as caught:
        parse("Workflow", step(egress))
    assert message in str(caught.value)
