"""The clients of real providers against servers that speak as these do."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx2
import pytest

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.llm import bedrock, langchain  # noqa: F401 - seconds of work, which no test is to wait for
from citadel.llm.provider import (
    Answer,
    Delta,
    Message,
    Provider,
    ProviderError,
    Request,
    ToolCall,
    ToolSpec,
)
from citadel.llm.ways import provider_of
from providers import Providers, Reply

KEY = "sk-very-secret-0123456789"
AWS = {"accessKeyId": "AKIA0123456789", "secretAccessKey": KEY, "region": "eu-west-3"}
ALL = ("openai", "huggingface", "anthropic", "bedrock")
WEATHER = ToolSpec(
    "weather",
    "Tells it.",
    {"type": "object", "properties": {"max_days": {"type": "integer"}}, "required": ["max_days"]},
)
CALL = ToolCall("call-1", "weather", {"max_days": 2, "ort": "Köln"})
ASK = Request((Message("system", "Be brief."), Message("user", "Hm?")), 100)


class _Here(httpx2.AsyncHTTPTransport):
    """Every name is this machine."""

    def __init__(self, port: int, **how: Any) -> None:
        super().__init__(**how)
        self._port = port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return await super().handle_async_request(request)


@pytest.fixture
async def servers() -> AsyncIterator[Providers]:
    async with Providers().serving() as made:
        yield made


def model(
    servers: Providers, provider: str, key: str | None = None, client: httpx2.AsyncClient | None = None
) -> Provider:
    path = "/v1" if provider in ("openai", "huggingface") else ""
    spec = ModelSpec.model_validate(
        {"provider": provider, "model": "m-1", "endpoint": f"http://models.example.com{path}"}
    )
    given = json.dumps(AWS) if provider == "bedrock" else KEY
    return provider_of(
        spec,
        key or given,
        lambda: client or httpx2.AsyncClient(transport=_Here(servers.port), timeout=None),
    )


async def streamed(provider: Provider, request: Request) -> tuple[list[Delta], Answer]:
    deltas: list[Delta] = []
    async for item in provider.stream(request):
        if isinstance(item, Answer):
            return deltas, item
        deltas.append(item)
    raise AssertionError("no answer at the end")


@pytest.mark.parametrize("provider", ALL)
async def test_an_answer_is_the_same_at_once_and_as_it_comes(servers: Providers, provider: str) -> None:
    servers.replies = [Reply("Grüße to \U0001f600 all")]
    whole = await model(servers, provider).ask(ASK)
    assert whole == Answer("Grüße to \U0001f600 all", 30, 4, 10)
    deltas, at_end = await streamed(model(servers, provider), ASK)
    assert at_end == whole
    assert [delta.text for delta in deltas] == ["Grüße", " to", " \U0001f600", " all"]


@pytest.mark.parametrize("provider", ALL)
async def test_what_was_prepared_is_sent_by_the_call_that_it_was_made_for(
    servers: Providers, provider: str
) -> None:
    servers.replies = ["yes"]
    asked = model(servers, provider)
    other = Request((Message("user", "Other?"),), 100)
    asked.prepare(other, stream=False)
    await asked.ask(ASK)
    asked.prepare(ASK, stream=True)
    await asked.ask(ASK)
    for _ in range(2):
        asked.prepare(ASK, stream=False)
        await asked.ask(ASK)
    asked.prepare(ASK, stream=True)
    assert (await streamed(asked, ASK))[1].text == "yes"
    *whole, last = [body for _, body, _ in servers.asked]
    assert len(whole) == 4
    assert all(body == whole[0] for body in whole)
    assert "Other?" not in json.dumps(whole)
    if provider != "bedrock":  # which asks elsewhere for a stream
        assert last["stream"] is True


@pytest.mark.parametrize("provider", ["openai", "huggingface"])
async def test_what_cannot_be_prepared_is_told_by_the_call(servers: Providers, provider: str) -> None:
    half = Request((Message("user", "half a character: \ud83d"),), 100)
    asked = model(servers, provider)
    asked.prepare(half, stream=False)
    with pytest.raises(ProviderError) as failed:
        await asked.ask(half)
    assert failed.value.reason is Reason.MODEL_ERROR
    assert servers.asked == []


@pytest.mark.parametrize("provider", ALL)
async def test_tools_are_called_and_told_what_they_gave(servers: Providers, provider: str) -> None:
    servers.replies = [
        Reply("Let me see.", (("call-1", "weather", CALL.arguments), ("call-2", "weather", {}))),
    ]
    given = Message("assistant", "", (CALL,)), Message("tool", "rain", tool_call_id="call-1")
    request = Request((*ASK.messages, *given), 100, tools=(WEATHER,), tool_choice="weather")
    whole = await model(servers, provider).ask(request)
    calls = (CALL, ToolCall("call-2", "weather", {}))
    assert whole == Answer("Let me see.", 30, 4, 10, calls, "tool_calls")
    deltas, at_end = await streamed(model(servers, provider), request)
    assert at_end == whole
    pieces = [delta.call for delta in deltas if delta.call is not None]
    assert [(piece.index, piece.id, piece.name) for piece in pieces if piece.id] == [
        (0, "call-1", "weather"),
        (1, "call-2", "weather"),
    ]
    text = "".join(piece.arguments for piece in pieces if piece.index == 0)
    assert json.loads(text) == CALL.arguments
    for _, body, _ in servers.asked:
        _check_asked(provider, body)


def _check_asked(provider: str, body: dict[str, Any]) -> None:
    """As the protocols have it."""
    schema: dict[str, Any] = WEATHER.parameters
    if provider == "anthropic":
        assert body["system"] == "Be brief."
        assert body["tools"] == [{"name": "weather", "description": "Tells it.", "input_schema": schema}]
        assert body["tool_choice"] == {"type": "tool", "name": "weather"}
        assert body["messages"][1]["content"][0]["input"] == CALL.arguments
        assert body["messages"][2]["content"][0]["tool_use_id"] == "call-1"
    elif provider == "bedrock":
        assert body["system"] == [{"text": "Be brief."}]
        spec = {"name": "weather", "description": "Tells it.", "inputSchema": {"json": schema}}
        assert body["toolConfig"] == {
            "tools": [{"toolSpec": spec}],
            "toolChoice": {"tool": {"name": "weather"}},
        }
        assert body["messages"][1]["content"][-1]["toolUse"]["input"] == CALL.arguments
        assert body["messages"][2]["content"][0]["toolResult"]["toolUseId"] == "call-1"
        assert body["inferenceConfig"]["maxTokens"] == 100
    else:
        function = {"name": "weather", "description": "Tells it.", "parameters": schema}
        assert body["tools"] == [{"type": "function", "function": function}]
        assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
        assert json.loads(body["messages"][2]["tool_calls"][0]["function"]["arguments"]) == CALL.arguments
        assert body["messages"][3] == {"role": "tool", "tool_call_id": "call-1", "content": "rain"}


@pytest.mark.parametrize(
    ("provider", "choices"),
    [
        ("openai", ["auto", "none", "required"]),
        ("anthropic", [{"type": "auto"}, {"type": "none"}, {"type": "any"}]),
        # It has no word for none, which is told by telling of no tools.
        ("bedrock", ["not told", "no tools", {"any": {}}]),
    ],
)
async def test_what_is_to_be_called_is_told_as_each_protocol_has_it(
    servers: Providers, provider: str, choices: list[Any]
) -> None:
    servers.replies = ["x"]
    for choice in ("auto", "none", "required"):
        await model(servers, provider).ask(Request(ASK.messages, 9, tools=(WEATHER,), tool_choice=choice))
    told = []
    for _, body, _ in servers.asked:
        config = body.get("toolConfig", {}) if provider == "bedrock" else body
        told.append(config.get("toolChoice", config.get("tool_choice", "not told")) if config else "no tools")
    assert told == choices


@pytest.mark.parametrize("provider", ALL)
async def test_a_stream_is_not_held_back(servers: Providers, provider: str) -> None:
    gate = asyncio.Event()
    servers.replies = [Reply("one two", gate=gate)]
    stream = model(servers, provider).stream(ASK)
    assert [await anext(stream), await anext(stream)] == [Delta("one"), Delta(" two")]
    gate.set()
    assert [item async for item in stream] == [Answer("one two", 30, 4, 10)]


@pytest.mark.parametrize("provider", ALL)
async def test_whoever_breaks_off_is_not_waited_for(servers: Providers, provider: str) -> None:
    servers.replies = [Reply("one two", gate=asyncio.Event())]
    stream: Any = model(servers, provider).stream(ASK)
    await anext(stream)
    async with asyncio.timeout(10):
        await stream.aclose()
    asking = asyncio.create_task(model(servers, provider).ask(Request(ASK.messages, 1)))
    servers.replies = [asyncio.Event()]
    await servers.were_asked(2)
    asking.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(asking, return_exceptions=True)
    assert asking.cancelled()


class _Kept(httpx2.AsyncClient):
    """A client that outlives calls."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return


@pytest.mark.parametrize("provider", ALL)
async def test_what_is_broken_off_leaves_no_connection_behind(servers: Providers, provider: str) -> None:
    transport = _Here(servers.port, limits=httpx2.Limits(max_connections=1))
    async with httpx2.AsyncClient(transport=transport) as _:
        asked = model(servers, provider, client=_Kept(transport=transport, timeout=None))
        for _ in range(2):
            servers.replies = [Reply("one two", gate=asyncio.Event())]
            stream: Any = asked.stream(ASK)
            await anext(stream)
            await stream.aclose()
            del stream
        servers.replies = ["there"]
        async with asyncio.timeout(20):
            assert (await asked.ask(ASK)).text == "there"


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("reply", [Reply("one two", cut=True), Reply("one two", error="overloaded")])
async def test_what_breaks_in_its_midst_may_pass_and_is_paid_for(
    servers: Providers, provider: str, reply: Reply
) -> None:
    servers.replies = [reply]
    with pytest.raises(ProviderError) as failed:
        await streamed(model(servers, provider), ASK)
    assert (failed.value.reason, failed.value.sent) == (Reason.MODEL_UNAVAILABLE, True)
    assert (reply.error or "") in failed.value.message


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("status", "reason", "sent"),
    [
        (400, "ModelError", False),
        (401, "ModelError", False),
        (403, "ModelError", False),
        (429, "RateLimited", False),
        (500, "ModelUnavailable", True),
        (503, "ModelUnavailable", True),
        (529, "ModelUnavailable", True),
    ],
)
async def test_errors_are_told_without_the_key(
    servers: Providers, provider: str, streams: bool, status: int, reason: str, sent: bool
) -> None:
    body = json.dumps({"message": f"no {KEY}", "error": {"message": f"no {KEY}", "type": "x"}})
    servers.replies = [(status, {"Retry-After": "7"}, body)]
    asked = model(servers, provider)
    with pytest.raises(ProviderError, match=f"status {status}") as failed:
        await (streamed(asked, ASK) if streams else asked.ask(ASK))
    assert (failed.value.reason, failed.value.sent) == (reason, sent)
    assert KEY not in failed.value.message
    assert len(servers.asked) == 1
    if status in (429, 503):
        assert failed.value.retry_after == 7


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"choices": 3, "content": 3, "output": 3}', ""])
async def test_an_answer_that_is_none_is_told(servers: Providers, provider: str, body: str) -> None:
    servers.replies = [(200, {"Content-Type": "application/json"}, body)]
    with pytest.raises(ProviderError) as failed:
        await model(servers, provider).ask(ASK)
    assert failed.value.sent


@pytest.mark.parametrize("provider", ["openai", "bedrock"])
@pytest.mark.parametrize("streams", [False, True])
async def test_where_nobody_says_what_it_took_it_is_not_known(
    servers: Providers, provider: str, streams: bool
) -> None:
    servers.replies = [Reply("x", usage=None)]
    asked = model(servers, provider)
    answer = (await streamed(asked, ASK))[1] if streams else await asked.ask(ASK)
    assert (answer.input_tokens, answer.output_tokens) == (None, None)


@pytest.mark.parametrize("provider", ["openai", "huggingface"])
async def test_arguments_that_are_no_object_are_told_as_they_came(servers: Providers, provider: str) -> None:
    servers.replies = [Reply("", (("a", "weather", '{"max_days": '), ("b", "weather", "[1]")))]
    whole = await model(servers, provider).ask(ASK)
    at_end = (await streamed(model(servers, provider), ASK))[1]
    for answer in (whole, at_end):
        found = {call.id: call for call in answer.tool_calls}
        assert found["a"] == ToolCall("a", "weather", {}, '{"max_days": ')
        assert answer.finish_reason == "tool_calls"
    assert ToolCall("b", "weather", {"arguments": [1]}) in whole.tool_calls
    assert ToolCall("b", "weather", {}, "[1]") in at_end.tool_calls


@pytest.mark.parametrize("provider", ALL)
async def test_a_schema_is_told_where_the_protocol_has_no_field_for_it(
    servers: Providers, provider: str
) -> None:
    servers.replies = ["{}"]
    await model(servers, provider).ask(Request(ASK.messages, 9, schema={"title": "Mood"}))
    assert '{\\"title\\":\\"Mood\\"}' in json.dumps(servers.asked[0][1])


@pytest.mark.parametrize("provider", ALL)
async def test_an_answer_that_is_cut_off_says_so(servers: Providers, provider: str) -> None:
    servers.replies = [Reply("x", end="length" if provider in ("openai", "huggingface") else "max_tokens")]
    assert (await model(servers, provider).ask(ASK)).finish_reason == "length"
    assert (await streamed(model(servers, provider), ASK))[1].finish_reason == "length"


async def test_bedrock_is_paid_by_key_or_token(servers: Providers) -> None:
    servers.replies = ["x"]
    await model(servers, "bedrock").ask(ASK)
    session = json.dumps({**AWS, "sessionToken": "S3ss10n"})
    await model(servers, "bedrock", session).ask(ASK)
    await model(servers, "bedrock", json.dumps({"bearerToken": KEY, "region": "eu-west-3"})).ask(ASK)
    (path, _, first), (_, _, second), (_, _, third) = servers.asked
    assert path == "/model/m-1/converse"
    assert first["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA0123456789/")
    assert "/eu-west-3/bedrock/aws4_request" in first["Authorization"]
    assert KEY not in json.dumps(first)
    assert second["X-Amz-Security-Token"] == "S3ss10n"
    assert third["Authorization"] == f"Bearer {KEY}"


async def test_a_credential_of_bedrock_that_is_none_is_told_without_it(servers: Providers) -> None:
    for key in ("secret", '["secret"]', '{"bearerToken": "secret"}', '{"bearerToken": ["secret"]}'):
        with pytest.raises(ProviderError, match="expected JSON") as failed:
            model(servers, "bedrock", key)
        assert "secret" not in failed.value.message.replace("secretAccessKey", "")
