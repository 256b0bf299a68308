"""Paths, errors and the watch stream: the API's wire format."""

import json
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Unavailable,
    error_from,
)
from citadel.kube.resources import EXECUTIONS, NODES, PODS, Resource
from citadel.kube.watching import WatchEvent, decode_watch


@pytest.mark.parametrize(
    ("resource", "parts", "path"),
    [
        (PODS, (), "/api/v1/pods"),
        (PODS, ("a",), "/api/v1/namespaces/a/pods"),
        (PODS, ("a", "p", "log"), "/api/v1/namespaces/a/pods/p/log"),
        (NODES, (None, "n"), "/api/v1/nodes/n"),
        (EXECUTIONS, ("a", "e", "status"), "/apis/citadel.dev/v1alpha1/namespaces/a/executions/e/status"),
    ],
)
def test_a_resource_knows_its_paths(resource: Resource, parts: tuple[str | None, ...], path: str) -> None:
    assert resource.path(*parts) == path


@pytest.mark.parametrize(
    ("resource", "parts"),
    [
        (PODS, (None, "p")),
        (NODES, ("a", "n")),
        (PODS, ("a", "../x")),
        (PODS, ("a", "..")),
        (PODS, ("a?b", "p")),
    ],
)
def test_parts_that_do_not_fit_are_refused(resource: Resource, parts: tuple[str | None, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        resource.path(*parts)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", Invalid),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Gone),
        (415, "UnsupportedMediaType", ApiError),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", Unavailable),
        (500, "InternalError", Unavailable),
        (504, "Timeout", Unavailable),
    ],
)
def test_a_status_becomes_the_exception_it_means(status: int, reason: str, kind: type[ApiError]) -> None:
    body = {"reason": reason, "message": "told", "details": {"name": "x"}}
    error = error_from(status, body, request="GET /x")
    assert type(error) is kind
    assert (error.reason, error.message, error.details) == (reason, "told", {"name": "x"})
    assert str(error) == f"GET /x: {status} {reason}: told"


def test_an_answer_of_some_proxy_is_an_error_too() -> None:
    error = error_from(502, "<html>" + "x" * 9999)
    assert isinstance(error, Unavailable)
    assert (error.reason, len(error.message)) == ("Unavailable", 500)
    missing = error_from(404, "404 page not found\n")
    assert (missing.reason, missing.message) == ("NotFound", "404 page not found")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


EVENTS = [
    WatchEvent("ADDED", {"metadata": {"resourceVersion": "1"}, "text": "é\n"}),
    WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
]
STREAM = b"".join(json.dumps({"type": e.type, "object": e.object}).encode() + b"\n" for e in EVENTS)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
async def test_events_may_be_cut_anywhere(cuts: list[int]) -> None:
    bounds = [0, *cuts, len(STREAM)]
    parts = [STREAM[start:end] for start, end in pairwise(bounds)]
    assert [event async for event in decode_watch(chunks(*parts), "")] == EVENTS


async def test_a_cut_last_line_is_dropped() -> None:
    assert [e.resource_version async for e in decode_watch(chunks(STREAM[:-5]), "")] == ["1"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}', Gone),
        (b'{"type":"ERROR","object":{}}', Unavailable),
        (b"<html>", Unavailable),
        (b"[]", Unavailable),
    ],
)
async def test_an_error_event_is_raised(line: bytes, kind: type[ApiError]) -> None:
    with pytest.raises(kind):
        async for _ in decode_watch(chunks(line + b"\n"), ""):
            pass
