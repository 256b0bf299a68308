"""Programs in a sandbox reach hosts by name: through real runner, real proxy and real gateway."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from component.egress.conftest import Remote

RUNTIMES = Path(__file__).parents[3] / "runtimes"
INTERNET, METADATA, DATABASE = "93.184.216.34", "169.254.169.254", "10.1.2.3"
EGRESS = ["internet.test:80", "db.mine.test:5432", "*.wild.test:80"]
PRIVATE = ["10.1.0.0/16:5432"]

FETCH = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())
"""
#: Says that it is done, and only then reads: the answer needs the other direction.
HALF = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
s.shutdown(socket.SHUT_WR)
print(b"".join(iter(lambda: s.recv(100), b"")).decode().splitlines()[-1])
"""
NAMES = """
import socket, sys, time
began = time.monotonic()
try:
    print(sorted({found[4][0] for found in socket.getaddrinfo(sys.argv[1], 80, type=socket.SOCK_STREAM)}))
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME, time.monotonic() - began < 4)
"""

#: The log lines that the runner wrote itself, once the step has ended.
Finish = Callable[[int], list[str]]


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The real runner."""
    binary = tmp_path_factory.mktemp("runner") / "runner"
    subprocess.run(["go", "build", "-o", str(binary), "./runner"], cwd=RUNTIMES, check=True)
    return str(binary)


@pytest.fixture
def running(world: Remote, runner: str, numbers: Iterator[int]) -> Iterator[tuple[Remote, str, Finish]]:
    """A sandbox whose step runs and names EGRESS; the names that there are, and a policy for them."""
    world.call("listen", [INTERNET, METADATA, DATABASE])
    world.call("allow", EGRESS, PRIVATE)
    for name, address in {"internet.test": INTERNET, "db.mine.test": DATABASE, "a.wild.test": INTERNET,
                          "other.test": INTERNET, "metadata.test": METADATA}.items():  # fmt: skip
        world.call("name", name, [address])
    uid = f"run-{next(numbers)}"
    world.call("runner", runner, uid, EGRESS)
    with finishing(world, uid) as finish:
        yield world, uid, finish


@contextmanager
def finishing(world: Remote, uid: str) -> Iterator[Finish]:
    said: list[list[str]] = []

    def finish(lines: int) -> list[str]:
        if not said:
            said.append(world.call("finish", uid, lines))
        return said[0]

    yield finish
    finish(0)


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return count()


def python(world: Remote, program: str, *arguments: str) -> str:
    found = world.call("client", sys.executable, "-c", program, *arguments)
    assert found["code"] == 0, found["err"]
    return str(found["out"]).strip()


def test_http_by_name_arrives_and_is_recorded(running: tuple[Remote, str, Finish]) -> None:
    world, uid, finish = running
    assert python(world, FETCH, "http://internet.test/") == INTERNET
    row = world.call("connection", uid, "internet.test")
    assert (row["verdict"], row["address"], row["port"], row["step"]) == ("allowed", INTERNET, 80, "a")
    assert row["sent"] > 50
    assert row["received"] > len(INTERNET)
    assert finish(0) == []


def test_a_database_at_a_private_address_that_the_policy_lists_is_reached_by_its_name_and_port(
    running: tuple[Remote, str, Finish],
) -> None:
    world, _, _ = running
    assert python(world, HALF, "db.mine.test", "5432") == DATABASE


def test_names_below_a_wildcard_are_reached(running: tuple[Remote, str, Finish]) -> None:
    world, _, _ = running
    assert python(world, FETCH, "http://a.wild.test/") == INTERNET


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed here")
def test_node_finds_names_as_well(running: tuple[Remote, str, Finish]) -> None:
    world, _, _ = running
    program = "fetch('http://internet.test/').then(r => r.text()).then(console.log)"
    found = world.call("client", "node", "-e", program)
    assert (found["out"].strip(), found["code"]) == (INTERNET, 0), found["err"]


def test_a_name_has_one_address_of_the_sandboxs_own_and_any_other_fails_at_once_with_a_line(
    running: tuple[Remote, str, Finish],
) -> None:
    world, _, finish = running
    assert python(world, NAMES, "internet.test") == "['127.102.22.112']"
    assert python(world, NAMES, "other.test") == "True True"
    assert finish(1) == ["other.test is not in network.egress of step a\n"]


def test_a_redirect_to_a_name_that_is_not_allowed_leads_nowhere(running: tuple[Remote, str, Finish]) -> None:
    world, _, finish = running
    world.call("redirect", "http://metadata.test/")
    found = world.call("client", sys.executable, "-c", FETCH, "http://internet.test/redirect")
    assert found["code"] != 0
    assert found["reached"] == [INTERNET]
    assert finish(1) == ["metadata.test is not in network.egress of step a\n"]


def test_its_twin_that_names_metadata_and_lists_it_gets_there(
    world: Remote, runner: str, numbers: Iterator[int]
) -> None:
    egress = ["internet.test:80", "metadata.test:80"]
    world.call("listen", [INTERNET, METADATA])
    world.call("allow", egress, ["169.254.169.254/32:80"])
    world.call("name", "internet.test", [INTERNET])
    world.call("name", "metadata.test", [METADATA])
    world.call("redirect", "http://metadata.test/")
    uid = f"twin-{next(numbers)}"
    world.call("runner", runner, uid, egress)
    with finishing(world, uid):
        assert python(world, FETCH, "http://internet.test/redirect") == METADATA


def test_a_policy_that_is_taken_away_refuses_the_next_connection_and_the_log_says_why(
    running: tuple[Remote, str, Finish],
) -> None:
    world, uid, finish = running
    world.call("allow", ["internet.test:443"])
    found = world.call("client", sys.executable, "-c", FETCH, "http://internet.test/")
    assert found["code"] != 0
    assert found["reached"] == []
    row = world.call("connection", uid, "internet.test")
    reason = "ExecutionPolicy p does not allow internet.test:80"
    assert (row["verdict"], row["reason"]) == ("refused", reason)
    assert finish(1) == [f"internet.test:80: {reason}\n"]
