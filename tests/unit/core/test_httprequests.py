"""Requests that arguments make of templates: whatever they are, only what the template means is asked."""

import json
import string
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from citadel.api.tool import Http
from citadel.core.httprequests import HttpRequest, InvalidArgument, request_of

URL = "https://crm.example.com/v1/leads/${args.id}/notes"


def made(arguments: dict[str, Any], **fields: Any) -> HttpRequest:
    return request_of(Http.model_validate({"url": "https://crm.example.com/v1", **fields}), arguments)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("42", "/v1/leads/42/notes"),
        (42, "/v1/leads/42/notes"),
        (1.5, "/v1/leads/1.5/notes"),
        (True, "/v1/leads/true/notes"),
        ("a b/c?d#e", "/v1/leads/a%20b%2Fc%3Fd%23e/notes"),
        ("ünï", "/v1/leads/%C3%BCn%C3%AF/notes"),
        ("%2e%2e", "/v1/leads/%252e%252e/notes"),
        ("...", "/v1/leads/.../notes"),
        ("@evil.example.com", "/v1/leads/%40evil.example.com/notes"),
        ("a;b=c&d", "/v1/leads/a%3Bb%3Dc%26d/notes"),
    ],
)
def test_an_argument_stays_in_its_segment_of_the_path(given: Any, path: str) -> None:
    assert made({"id": given}, url=URL).url == f"https://crm.example.com{path}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "args.id: found an empty text"),
        (".", "args.id: found '.'"),
        ("..", "args.id: found '..'"),
        ("../../admin", "args.id: found '../../admin'"),
        ("a/../b", "args.id: found"),
        ("..\\admin", "args.id: found"),
        ("a\r\nHost: evil", "args.id: found"),
        ("\0", "args.id: found"),
        (None, "args.id: found a value of the type null, expected a text, number or boolean"),
        ([1], "args.id: found a value of the type array"),
        ({"a": 1}, "args.id: found a value of the type object"),
    ],
)
def test_what_would_leave_the_path_is_refused(given: Any, told: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        made({"id": given}, url=URL)
    assert str(refused.value).startswith(told)


def test_a_missing_argument_of_the_path_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"args.id: found none, expected a text, number or boolean"):
        made({}, url=URL)


@pytest.mark.parametrize(
    ("query", "arguments", "expected"),
    [
        ({"q": "${args.q}"}, {"q": "a&b=c d+é"}, [("q", "a&b=c d+é")]),
        ({"q": "name:${args.q}"}, {"q": "x"}, [("q", "name:x")]),
        ({"n": "${args.n}"}, {"n": 3}, [("n", "3")]),
        ({"n": "${args.n}", "m": "1"}, {}, [("m", "1")]),
        ({"n": "${args.n}"}, {"n": None}, []),
        ({"ids": "${args.ids}"}, {"ids": ["a", 2, True]}, [("ids", "a"), ("ids", "2"), ("ids", "true")]),
        ({"ids": "${args.ids}"}, {"ids": []}, []),
        ({"c": "${args.who.name}"}, {"who": {"name": "ann"}}, [("c", "ann")]),
        ({"a&b": "${args.x}"}, {"x": ""}, [("a&b", "")]),
    ],
)
def test_the_query_holds_each_argument_under_its_own_name(
    query: dict[str, str], arguments: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    url = made(arguments, query=query).url
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == expected


@pytest.mark.parametrize("given", ["a\r\nX: b", "a\nb", "a\0b", "\x7f", "é", "x" * 9000])
def test_a_header_stays_one_line(given: str) -> None:
    with pytest.raises(InvalidArgument, match=r"headers.X-Who: found"):
        made({"who": given}, headers={"X-Who": "by ${args.who}"})


def test_headers_hold_arguments_and_go_without_those_that_are_missing() -> None:
    headers = {"X-Who": "${args.who}", "X-Of": "id-${args.id}", "X-Fixed": "1"}
    assert made({"id": 3}, headers=headers).headers == (("X-Of", "id-3"), ("X-Fixed", "1"))


@pytest.mark.parametrize(
    ("body", "arguments", "expected"),
    [
        ("${args.all}", {"all": {"a": [1, None]}}, {"a": [1, None]}),
        ({"n": "${args.n}", "t": "n is ${args.n}"}, {"n": 3}, {"n": 3, "t": "n is 3"}),
        ({"a": "${args.a}", "b": "${args.b}"}, {"b": None}, {"b": None}),
        ([1, "${args.a}", "${args.b}"], {"a": False}, [1, False]),
        ({"x": {"y": ["${args.t}"]}}, {"t": '","admin":true,"x":"'}, {"x": {"y": ['","admin":true,"x":"']}}),
        ({"k": 1.5, "z": True, "n": None}, {}, {"k": 1.5, "z": True, "n": None}),
        ({"t": "${args.t}"}, {"t": "${args.secret}"}, {"t": "${args.secret}"}),
    ],
)
def test_the_body_keeps_types_and_texts_stay_texts(body: Any, arguments: Any, expected: Any) -> None:
    found = made(arguments, body=body)
    assert found.body is not None
    assert json.loads(found.body) == expected
    assert ("Content-Type", "application/json") in found.headers


def test_a_body_that_is_one_missing_argument_is_none() -> None:
    found = made({}, body="${args.body}")
    assert (found.body, found.headers) == (None, ())


def test_a_content_type_says_how_the_body_is_written() -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    found = made({"a": "x&y=z", "b": [1, 2]}, headers=form, body={"a": "${args.a}", "b": "${args.b}"})
    assert found.body == b"a=x%26y%3Dz&b=1&b=2"
    assert made({"t": "é"}, headers={"content-type": "text/plain"}, body="${args.t}").body == "é".encode()
    linked = made({"t": "é"}, headers={"Content-Type": "application/ld+json"}, body="${args.t}")
    assert linked.body == '"é"'.encode()


def test_a_request_without_method_posts() -> None:
    assert made({}).method == "POST"
    assert made({}, method="GET").method == "GET"
    assert made({}, url="https://a.example.com").url == "https://a.example.com/"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), JSON))
def test_no_argument_changes_where_a_request_goes(arguments: dict[str, Any]) -> None:
    template = {
        "url": "https://crm.example.com:8443/v1/${args.a}/x-${args.b}",
        "query": {"q": "${args.c}", "r": "r:${args.d}"},
        "headers": {"X-A": "${args.a}", "X-B": "b ${args.b}"},
        "body": {"a": "${args.a}", "t": "t ${args.b}"},
    }
    try:
        found = made(arguments, **template)
    except InvalidArgument:
        return
    parts = urlsplit(found.url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "crm.example.com:8443", "")
    segments = parts.path.split("/")
    assert len(segments) == 4
    assert segments[1] == "v1"
    assert not {unquote(segment) for segment in segments[2:]} & {"", ".", ".."}
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    assert set(names) <= {"q", "r"}
    assert names.count("r") == 1
    for name, line in found.headers:
        assert name in ("X-A", "X-B", "Content-Type")
        assert set(line) <= set(string.printable) - set("\r\n\t\x0b\x0c")
    assert found.body is not None
    assert set(json.loads(found.body)) <= {"a", "t"}
