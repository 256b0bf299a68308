"""What a sandbox reports is made safe or refused: nothing else ever comes of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.core import events as ev
from citadel.core.jsonvalues import MAX_BYTES, canonical, check
from citadel.core.records import from_json, to_json
from citadel.core.values import Inline, Stored
from citadel.gateway.reports import CHUNK_LIMIT, CHUNKS_LIMIT, BadReport, clean, log_chunks, result

DEEP = 100_000


def succeeded(body: bytes) -> Any:
    return result("load", 1, "cx-1", "Succeeded", body)


def failed(body: Any) -> ev.AttemptFailed:
    fact, values = result(
        "load", 1, "cx-1", "Failed", body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    assert isinstance(fact, ev.AttemptFailed)
    assert values == {}
    return fact


def test_a_small_output_stands_in_its_event() -> None:
    fact, values = succeeded(b' {"b": [1, 2.5], "a": null} ')
    assert fact == ev.AttemptSucceeded("load", 1, "cx-1", Inline({"b": [1, 2.5], "a": None}))
    assert values == {}


def test_a_large_output_goes_by_digest_with_its_canonical_json() -> None:
    fact, values = succeeded(json.dumps({"b": "x" * 5000, "a": 1}).encode())
    assert isinstance(fact.output, Stored)
    assert values == {fact.output.digest: canonical({"a": 1, "b": "x" * 5000})}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="not JSON"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b'"\\u0000"', id="NUL"),
        pytest.param(b'{"\\u0000": 1}', id="NUL in a key"),
        pytest.param(b'"\\ud800"', id="a lone surrogate"),
        pytest.param(b"NaN", id="not a number"),
        pytest.param(b"-Infinity", id="infinite"),
        pytest.param(b"1e999", id="out of range"),
        pytest.param(b"9" * 5000, id="more digits than anybody converts"),
        pytest.param(b"[" * DEEP + b"]" * DEEP, id="bottomless"),
        pytest.param(b'"' + b"x" * MAX_BYTES + b'"', id="too large"),
    ],
)
def test_an_output_that_cannot_be_kept_is_a_failure_of_the_attempt(body: bytes) -> None:
    fact, values = succeeded(body)
    assert isinstance(fact, ev.AttemptFailed)
    assert fact.failure.reason == "InvalidOutput"
    assert fact.failure.message.startswith("the output is not valid: ")
    assert values == {}


def test_a_failure_is_taken_over_with_its_texts_mended_and_cut() -> None:
    fact = failed(
        {
            "reason": "Timeout",
            "message": "a\0b\ud800c" + "x" * 10_000,
            "traceback": ["first", "last"],
            "exitCode": 137,
            "logTail": "the end",
            "unknown": {"fields": "are ignored"},
        }
    )
    failure = fact.failure
    assert failure.reason == "Timeout"
    assert failure.message.startswith("a\N{REPLACEMENT CHARACTER}b")
    assert len(failure.message.encode()) <= 1024
    assert (failure.traceback, failure.exit_code, failure.log_tail) == ("first\nlast", 137, "the end")
    assert "\0" not in failure.message
    failure.message.encode()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"[]", "expected a JSON object", id="a list"),
        pytest.param(b"[" * DEEP, "not JSON", id="bottomless"),
        pytest.param({}, "reason: found ''", id="no reason"),
        pytest.param({"reason": "SandboxLost"}, "reason: found 'SandboxLost'", id="a reason not its own"),
        pytest.param({"reason": ["Error"]}, "reason: expected text", id="a list for a reason"),
        pytest.param({"reason": "x" * 9999}, "reason: found", id="a long reason"),
        pytest.param({"reason": "Error", "message": 7}, "message: expected text", id="a number for text"),
        pytest.param({"reason": "Error", "logTail": {}}, "logTail: expected text", id="an object for text"),
        pytest.param({"reason": "Error", "traceback": "x"}, "traceback: expected a list", id="no list"),
        pytest.param({"reason": "Error", "traceback": [1]}, "traceback: expected a list", id="no lines"),
    ],
)
def test_a_malformed_failure_is_refused(body: Any, says: str) -> None:
    with pytest.raises(BadReport) as refused:
        failed(body)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("code", [True, "1", 2**31, -(2**40), 1.5, None, [1]])
def test_an_exit_code_that_is_none_is_left_out(code: Any) -> None:
    assert failed({"reason": "Error", "message": "", "exitCode": code}).failure.exit_code is None


def test_an_outcome_is_one_of_two() -> None:
    with pytest.raises(BadReport, match="found 'Skipped', expected Succeeded or Failed"):
        result("load", 1, "cx-1", "Skipped", b"{}")


def chunk(**fields: Any) -> dict[str, Any]:
    return {"n": 0, "stream": "stdout", "at": "2026-01-31T12:00:00.123Z", "text": "hello\n"} | fields


def chunks_of(*chunks: Any, **fields: Any) -> Any:
    return log_chunks("load", 2, json.dumps({"chunks": chunks, **fields}).encode())


def test_chunks_keep_their_order_and_the_end_is_marked() -> None:
    found = chunks_of(chunk(), chunk(n=1, stream="stderr", text="a\0\ud800"), last=True)
    assert [(item.step, item.attempt, item.n, item.stream, item.text) for item in found] == [
        ("load", 2, 0, "stdout", "hello\n"),
        ("load", 2, 1, "stderr", "a\N{REPLACEMENT CHARACTER}?"),
        ("load", 2, 2**31 - 1, "end", ""),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("text", id="text"),
        pytest.param(None, id="null"),
        pytest.param(chunk(n=-1), id="a negative number"),
        pytest.param(chunk(n=True), id="a boolean number"),
        pytest.param(chunk(n=1.0), id="a float"),
        pytest.param(chunk(n="0"), id="a number in text"),
        pytest.param(chunk(n=CHUNKS_LIMIT), id="more chunks than an attempt may have"),
        pytest.param(chunk(n=2**31 - 1), id="the number of the end mark"),
        pytest.param(chunk(stream="end"), id="an end mark of its own making"),
        pytest.param(chunk(stream=["stdout"]), id="a list for a stream"),
        pytest.param(chunk(text=7), id="a number for text"),
        pytest.param(chunk(text="x" * (CHUNK_LIMIT + 1)), id="too long"),
        pytest.param(chunk(text="é" * (CHUNK_LIMIT // 2 + 1)), id="too long in bytes"),
        pytest.param(chunk(at=[]), id="a list for a time"),
    ],
)
def test_a_malformed_chunk_is_refused_with_the_whole_request(bad: Any) -> None:
    with pytest.raises(BadReport):
        chunks_of(chunk(), bad)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"chunks": {}}', b'{"chunks": null}', b"[" * DEEP], ids=repr)
def test_a_request_without_chunks_is_refused(body: bytes) -> None:
    with pytest.raises(BadReport):
        log_chunks("load", 1, body[:100_000])


def test_a_request_has_at_most_a_thousand_chunks() -> None:
    assert len(chunks_of(*(chunk(n=number) for number in range(1000)))) == 1000
    with pytest.raises(BadReport, match="at most 1000"):
        chunks_of(*(chunk(n=number) for number in range(1001)))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ("reason", "message", "traceback", "exitCode", "logTail", "chunks", "last", "n", "text")
)
bodies = st.binary(max_size=200) | (json_like | st.dictionaries(fields, json_like)).map(
    lambda value: json.dumps(value).encode()
)


@given(st.sampled_from(("Succeeded", "Failed", "", "\0")), bodies)
def test_a_result_is_a_fact_that_can_be_stored_or_a_bad_report(outcome: str, body: bytes) -> None:
    try:
        fact, values = result("load", 1, "cx-1", outcome, body)
    except BadReport:
        return
    data = to_json(fact)
    check(data)
    assert len(canonical(data)) <= 4096
    assert from_json(type(fact).__name__, data) == fact
    assert all(isinstance(value, bytes) for value in values.values())


@given(bodies)
def test_a_log_request_is_chunks_that_can_be_stored_or_a_bad_report(body: bytes) -> None:
    try:
        found = log_chunks("load", 1, body)
    except BadReport:
        return
    for item in found:
        check([item.stream, item.at, item.text])
        assert type(item.n) is int


@given(st.text(st.characters()))
def test_cleaned_text_is_storable_and_good_text_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    check(cleaned)
    assert clean(cleaned) == cleaned
