"""Calls of HTTP tools over the egress proxy: what is sent, what is taken for an answer, and what is not."""

import asyncio
import base64
import gzip
import json
from typing import Any

import pytest
from aiohttp import web

from citadel.api.reasons import Reason
from citadel.calls.exchanges import ToolError
from component.tools.servers import Server
from component.tools.world import HOST, KEY, World, http


async def failure(world: World, *given: Any, **more: Any) -> ToolError:
    with pytest.raises(ToolError) as failed:
        await world.call(*given, **more)
    return failed.value


async def test_a_template_is_asked_with_the_credential_that_nobody_can_override(
    world: World, server: Server
) -> None:
    server.says({"id": 42, "name": "ünï"})
    spec = http(
        server.port,
        method="POST",
        url=f"https://{HOST}:{server.port}/v1/leads/${{args.id}}/notes",
        query={"tag": "${args.tags}"},
        headers={"X-Who": "${args.who}"},
        body={"text": "${args.text}", "n": "${args.n}"},
        with_key=True,
    )
    given: dict[str, Any] = {"id": "a/b c", "tags": ["x", "y&z"], "who": "ann", "text": "hällo", "n": 3}
    assert await world.call(spec, given) == {"id": 42, "name": "ünï"}
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/v1/leads/a%2Fb%20c/notes?tag=x&tag=y%26z")
    assert json.loads(asked.body) == {"text": "hällo", "n": 3}
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert (asked.headers["X-Who"], asked.headers["Idempotency-Key"]) == ("ann", "idem-1")
    record = world.gateway.records[-1]
    assert (record.step, record.host, record.verdict) == ("a", HOST, "allowed")


async def test_arguments_that_would_leave_the_path_are_never_sent(world: World, server: Server) -> None:
    spec = http(server.port, url=f"https://{HOST}:{server.port}/v1/leads/${{args.id}}")
    error = await failure(world, spec, {"id": "../admin"})
    assert (error.reason, error.sent) == (Reason.TOOL_REFUSED, False)
    assert server.asked == []


@pytest.mark.parametrize(
    ("body", "kind", "given"),
    [
        (b'{"a": [1, null, 1.5]}', "application/json", {"a": [1, None, 1.5]}),
        (b'{"a": 1}', "application/vnd.crm+json; charset=utf-8", {"a": 1}),
        (b"", "application/json", None),
        (b"\xef\xbb\xbf[1]", "application/json", [1]),
        ("grüß".encode("latin-1"), "text/plain; charset=iso-8859-1", "grüß"),
        ("grüß".encode(), "text/html", "grüß"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"plain", "", "plain"),
    ],
)
async def test_answers_are_json_or_text(
    world: World, server: Server, body: bytes, kind: str, given: Any
) -> None:
    server.says(body, Content_Type=kind)
    assert await world.call(http(server.port)) == given


@pytest.mark.parametrize(
    ("body", "headers", "reason", "told"),
    [
        (b"{", {}, "ToolFailed", "the answer: not JSON"),
        (b"[" * 100 + b"]" * 100, {}, "ToolFailed", "nested more than 64 levels deep"),
        (b'"\\u0000"', {}, "ToolFailed", "U+0000"),
        (b"NaN", {}, "ToolFailed", "JSON numbers are finite"),
        (b"\x89PNG", {"Content-Type": "image/png"}, "ToolFailed", "found an answer of the type image/png"),
        (b"\xff\xfe", {"Content-Type": "text/plain"}, "ToolFailed", "that is no text in utf-8"),
        (b"x", {"Content-Type": "text/plain; charset=nonsense"}, "ToolFailed", "that is no text in nonsense"),
        (b"a\0b", {"Content-Type": "text/plain"}, "ToolFailed", "U+0000"),
        (gzip.compress(b"1" * 10**6), {"Content-Encoding": "gzip"}, "ToolFailed", "found an answer in gzip"),
        (b'"' + b"x" * 2**20 + b'"', {}, "OutputTooLarge", "more than 1048576 bytes"),
    ],
)
async def test_what_is_neither_is_no_answer(
    world: World, server: Server, body: bytes, headers: dict[str, str], reason: str, told: str
) -> None:
    server.says(body, **{name.replace("-", "_"): text for name, text in headers.items()})
    error = await failure(world, http(server.port))
    assert error.reason == reason
    assert told in error.message


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (400, "ToolFailed", 'status 400: {"error": "no such lead"}'),
        (401, "ToolFailed", "status 401: the server refuses who calls"),
        (404, "ToolFailed", "status 404"),
        (302, "ToolFailed", "redirects are not followed, found one to https://evil.example.com/"),
        (429, "ToolUnavailable", "status 429, again after 7 s"),
        (500, "ToolUnavailable", "status 500"),
        (503, "ToolUnavailable", "status 503"),
    ],
)
async def test_a_status_that_is_none_of_success_fails_the_call(
    world: World, server: Server, status: int, reason: str, told: str
) -> None:
    server.says({"error": "no such lead"}, status, Location="https://evil.example.com/", Retry_After="7")
    error = await failure(world, http(server.port))
    assert (error.reason, error.sent) == (reason, True)
    assert told in error.message
    assert len(server.asked) == 1


async def test_a_credential_that_comes_back_is_masked_in_every_form(world: World, server: Server) -> None:
    encoded = base64.b64encode(KEY.encode()).decode()

    async def echo(request: web.Request, body: bytes) -> web.Response:
        told = {request.headers["Authorization"]: [encoded, {"x": f"it is {KEY}!"}], "fine": 1}
        return web.json_response(told)

    server.reply = echo
    found = await world.call(http(server.port, with_key=True))
    assert found == {"Bearer ***": ["***", {"x": "it is ***!"}], "fine": 1}
    server.says({"you sent": KEY}, 400)
    error = await failure(world, http(server.port, with_key=True))
    assert KEY not in error.message
    assert "***" in error.message


async def test_a_credential_goes_nowhere_but_where_it_was_sealed_for(world: World, server: Server) -> None:
    error = await failure(world, http(server.port, with_key=True), host="other.example.com:443")
    assert error.reason == Reason.HOST_NOT_ALLOWED
    assert "for other.example.com:443, not for" in error.message
    assert server.asked == []


async def test_what_no_policy_allows_is_not_dialled(world: World, server: Server) -> None:
    world.allow = ("other.example.com:443",)
    error = await failure(world, http(server.port))
    assert (error.reason, error.sent) == (Reason.TOOL_FAILED, False)
    assert f"ExecutionPolicy p does not allow {HOST}" in error.message
    assert server.asked == []
    assert world.gateway.records[-1].verdict == "refused"


async def test_a_token_opens_only_where_its_call_goes(world: World, server: Server) -> None:
    error = await failure(world, http(server.port), hosts=("other.example.com:443",))
    assert error.reason == Reason.TOOL_FAILED
    assert f"{HOST}:{server.port} is not where a tool is that step a calls" in error.message


async def test_nobody_there_is_told_as_not_sent(world: World, server: Server) -> None:
    world.allow = (f"{HOST}:9",)
    error = await failure(world, http(9))
    assert (error.reason, error.sent) == (Reason.TOOL_UNAVAILABLE, False)


async def test_what_breaks_off_after_it_was_sent_is_told_as_sent(world: World, server: Server) -> None:
    async def hang_up(request: web.Request, body: bytes) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        await asyncio.sleep(1)
        return web.Response()

    server.reply = hang_up
    sent: list[int] = []

    async def sending() -> None:
        sent.append(len(server.asked))

    error = await failure(world, http(server.port), sending=sending)
    assert (error.reason, error.sent) == (Reason.TOOL_UNAVAILABLE, True)
    # It is written down before the first byte goes out.
    assert sent == [0]


async def test_an_endless_answer_is_cut_off(world: World, server: Server) -> None:
    async def endless(request: web.Request, body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)

    server.reply = endless
    assert (await failure(world, http(server.port))).reason == Reason.OUTPUT_TOO_LARGE


async def test_another_certificate_is_not_believed(world: World, server: Server) -> None:
    world.allow = (f"wrong.example.com:{server.port}",)
    error = await failure(
        world, http(server.port, url=f"https://wrong.example.com:{server.port}/", with_key=True)
    )
    assert (error.reason, error.sent) == (Reason.TOOL_UNAVAILABLE, False)
    assert "certificate" in error.message
    assert server.asked == []
