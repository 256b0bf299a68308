"""What one sandbox may take, with a clock that only tests move."""

from contextlib import ExitStack

import pytest

from citadel.core.hashing import hashed
from citadel.gateway.limits import AT_ONCE, BYTES_PER_SECOND, CALLS_AT_ONCE, REQUESTS_BURST, Allowance
from citadel.gateway.sessions import KNOWN_SESSIONS, Sessions, is_public_key, session_secret
from citadel.limiting import Bucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(bucket: Bucket, tries: int) -> int:
    return sum(bucket.take(1) for _ in range(tries))


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(10.0, 20.0, clock)
    assert taken(bucket, 100) == 20
    clock.now += 0.5
    assert taken(bucket, 100) == 5
    clock.now += 3600
    assert taken(bucket, 100) == 20


def test_a_debt_is_paid_before_anything_more_is_given() -> None:
    clock = Clock()
    bucket = Bucket(10.0, 20.0, clock)
    assert bucket.take(50)
    clock.now += 2.9
    assert not bucket.take(1)
    clock.now += 0.2
    assert bucket.take(1)


def test_a_refused_request_takes_nothing() -> None:
    clock = Clock()
    bucket = Bucket(10.0, 1.0, clock)
    assert taken(bucket, 1000) == 1
    clock.now += 0.1
    assert bucket.take(1)


def test_a_clock_that_stands_still_gives_no_more() -> None:
    assert taken(Bucket(1e9, 3.0, Clock()), 10) == 3


def test_an_allowance_ends_with_its_requests() -> None:
    allowance = Allowance()
    allowance.requests = Bucket(0.0, REQUESTS_BURST, Clock())
    assert sum(allowance.admits(0) for _ in range(1000)) == REQUESTS_BURST


def test_an_allowance_ends_with_its_bytes() -> None:
    allowance = Allowance()
    allowance.bytes = Bucket(0.0, 2 * BYTES_PER_SECOND, Clock())
    assert sum(allowance.admits(2**20) for _ in range(100)) == 2 * BYTES_PER_SECOND / 2**20


def test_an_allowance_ends_with_its_concurrency() -> None:
    allowance = Allowance()
    with ExitStack() as stack:
        for _ in range(AT_ONCE):
            stack.enter_context(allowance.counting())
        assert not allowance.admits(0)
        assert allowance.admits(0, call=True)
    with ExitStack() as stack:
        for _ in range(CALLS_AT_ONCE):
            stack.enter_context(allowance.counting(call=True))
        assert not allowance.admits(0, call=True)
        assert allowance.admits(0)
    assert allowance.admits(0, call=True)


def test_registering_again_gives_the_same_session_and_nothing_of_its_allowance_back() -> None:
    sessions = Sessions()
    first = sessions.keep("cx-1", "uid-1", hashed("a"))
    first.allowance.under_way = 5
    assert sessions.keep("cx-1", "uid-1", hashed("a")) is first
    assert sessions.keep("cx-1", "uid-1", hashed("b")) is not first


def test_only_the_sessions_used_last_are_remembered() -> None:
    sessions = Sessions()
    for number in range(KNOWN_SESSIONS + 10):
        sessions.keep(f"cx-{number}", "uid", "hash")
        assert sessions.get("cx-0") is not None
    assert sessions.get("cx-1") is None
    assert sessions.get("cx-11") is not None


def test_a_session_is_held_by_its_secret_alone() -> None:
    secret = session_secret("cx-1", "token", "key")
    session = Sessions().keep("cx-1", "uid-1", hashed(secret))
    assert session.holds(secret)
    others = (session_secret("cx-1", "token", "other key"), session_secret("cx-1", "other token", "key"))
    for other in (*others, "", "cx-1.", secret + "x", "\udcff"):
        assert not session.holds(other)


@pytest.mark.parametrize(
    ("found", "good"),
    [
        ("A" * 43 + "=", True),
        ("A" * 43, False),
        ("", False),
        ("A" * 44, False),
        ("é" * 44, False),
        ("\0" * 44, False),
        (None, False),
        (["A"], False),
    ],
)
def test_a_public_key_is_the_base64_of_32_bytes(found: object, good: bool) -> None:
    assert is_public_key(found) is good
