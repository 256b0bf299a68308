"""The one request that the proxy reads, and what becomes of everything that is nearly one."""

import pytest

from citadel.egress.requests import HEAD_LIMIT, Refused, Request, parse

LINES = (
    "CONNECT api.example.com:443 HTTP/1.1",
    "Host: api.example.com:443",
    "Proxy-Authorization: Bearer cx-0.abc_-",
    "Citadel-Attempt: load/2",
)
GOOD = "\r\n".join((*LINES, "", ""))


def test_a_request_names_host_port_token_and_attempt() -> None:
    assert parse(GOOD.encode()) == Request("api.example.com", 443, "cx-0.abc_-", "load", 2)
    assert "cx-0" not in repr(parse(GOOD.encode()))


@pytest.mark.parametrize("line", LINES[1:2])
def test_host_may_be_left_out(line: str) -> None:
    assert parse(GOOD.replace(line + "\r\n", "").encode()).host == "api.example.com"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GOOD.replace("CONNECT", "GET"), 405),
        (GOOD.replace("CONNECT", "connect"), 405),
        (" " + GOOD, 405),
        ("\r\n" + GOOD, 405),
        (GOOD.replace("HTTP/1.1", "HTTP/1.0"), 400),
        (GOOD.replace(" HTTP/1.1", ""), 400),
        (GOOD.replace("CONNECT ", "CONNECT  "), 400),
        (GOOD.replace("CONNECT ", "CONNECT\t"), 405),
        (GOOD + "x", 400),
        (GOOD + GOOD, 400),
        (GOOD[:-2], 400),
        (GOOD.replace("\r\n", "\n"), 400),
        (GOOD.replace("Host: api", "Host : api"), 400),
        (GOOD.replace("Host: api", "Host: other"), 400),
        (GOOD.replace("Host:", "Host: api.example.com:443\r\nHost:"), 400),
        (GOOD.replace("Host:", "X:\r\n y\r\nHost:"), 400),
        (GOOD.replace("Host:", "Content-Length: 3\r\nHost:"), 400),
        (GOOD.replace("Host:", "Transfer-Encoding: chunked\r\nHost:"), 400),
        (GOOD.replace("Host:", "Upgrade: x\r\nHost:"), 400),
        (GOOD.replace("Host:", "User-Agent: \0\r\nHost:"), 400),
        (GOOD.replace("Host:", "User-Agent: é\r\nHost:"), 400),
        (GOOD.replace("Host:", f"User-Agent: {'x' * HEAD_LIMIT}\r\nHost:"), 431),
        (GOOD.replace(LINES[2] + "\r\n", ""), 407),
        (GOOD.replace("Bearer", "Basic"), 407),
        (GOOD.replace("cx-0.abc_-", "cx-0.abc def"), 407),
        (GOOD.replace("cx-0.abc_-", "x" * 257), 407),
        (GOOD.replace(LINES[3] + "\r\n", ""), 400),
        (GOOD.replace("load/2", "load/0"), 400),
        (GOOD.replace("load/2", "lo ad/2"), 400),
        *(
            (GOOD.replace("api.example.com:443", target), 400)
            for target in ("127.0.0.1:80", "2130706433:80", "[::1]:80", "localhost:80", "*.example.com:80",
                           "API.example.com:80", "api.example.com.:80", "api.example.com:0443",
                           "api.example.com:0", "api.example.com:65536", "api.example.com",
                           "a@api.example.com:80", "é.example.com:80")
        ),
    ],
)  # fmt: skip
def test_what_is_nearly_one_is_refused(head: str, status: int) -> None:
    with pytest.raises(Refused) as caught:
        parse(head.encode())
    assert caught.value.status == status


def test_an_attempt_may_be_of_a_turn_of_a_loop() -> None:
    found = parse(GOOD.replace("load/2", "fix[2].write/3").encode())
    assert (found.step, found.attempt) == ("fix[2].write", 3)
