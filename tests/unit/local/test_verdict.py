"""What becomes of an attempt on this machine, by what its process said and how it ended."""

import json

import pytest

from citadel.core.failures import Failure
from citadel.core.jsonvalues import MAX_BYTES
from citadel.local.capture import Output
from citadel.local.verdict import verdict


def judged(said: bytes, code: int = 0, *secrets: str) -> object:
    return verdict(said, code, Output(lambda stream, line: None, list(secrets)))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("plain", "plain"),
        ("half a pair \ud800 and NUL \0", "half a pair \ufffd and NUL \ufffd"),
        ("the password is swordfish", "the password is ***"),
    ],
)
def test_a_failure_says_why_whatever_text_that_is(said: str, message: str) -> None:
    found = judged(b"F" + json.dumps({"reason": "Error", "message": said}).encode(), 1, "swordfish")
    assert isinstance(found, Failure)
    assert (found.reason, found.message) == ("Error", message)


@pytest.mark.parametrize("said", [b"F", b"F{", b"F[]", b'F{"reason": "Nonsense", "message": "m"}', b"F\xff"])
def test_a_failure_that_is_none_is_one_without_a_reason(said: bytes) -> None:
    found = judged(said, 1)
    assert isinstance(found, Failure)
    assert (found.reason, found.message) == ("Error", "the step failed, and did not say why")


@pytest.mark.parametrize(
    ("said", "code", "reason", "message"),
    [
        (b"", -9, "Error", "killed by SIGKILL"),
        (b"S1", 3, "Error", "exit code 3"),
        (b"", 0, "Error", "the process ended before main returned"),
        (b"S{", 0, "InvalidOutput", "the output is not valid"),
        (b'S"' + b"x" * MAX_BYTES + b'"', 0, "OutputTooLarge", "bytes of JSON, at most"),
    ],
)
def test_an_attempt_without_a_good_output_fails(said: bytes, code: int, reason: str, message: str) -> None:
    found = judged(said, code)
    assert isinstance(found, Failure)
    assert found.reason == reason
    assert message in found.message


def test_an_output_is_the_json_after_its_mark() -> None:
    assert judged(b'S{"a": "swordfish"}', 0, "swordfish") == {"a": "***"}
