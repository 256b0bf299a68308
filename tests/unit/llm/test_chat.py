"""OpenAI's protocol: what a request asks for, what of it is refused, and how answers look on the wire."""

from typing import Any

import pytest

from citadel.api.model import ModelSpec
from citadel.llm import chat, replies
from citadel.llm.provider import Answer, CallDelta, Delta, ToolCall

REQUEST: dict[str, Any] = {
    "model": "citadel",
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 7,
    "temperature": 0,
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}},
    "stop": "END",
}
ANSWER = Answer("Hi", 3, 4, tool_calls=(ToolCall("c2", "look", {"a": 2}),), finish_reason="tool_calls")


def test_a_request_is_read_whole() -> None:
    asked = chat.read(REQUEST)
    assert [message.role for message in asked.messages] == ["system", "user", "assistant", "tool"]
    assert asked.messages[1].text == "Hi!"
    assert asked.messages[2].tool_calls == (ToolCall("c1", "look", {"a": 1}),)
    assert asked.messages[3].tool_call_id == "c1"
    assert asked.tools[0].name == "look"
    assert (asked.tool_choice, asked.schema, asked.stop) == ("look", {"type": "array"}, ("END",))
    assert (asked.max_tokens, asked.temperature, asked.stream, asked.with_usage) == (7, 0.0, True, True)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"stream": False}, True),
        ({"stream_options": None}, True),
        ({"model": "other"}, True),
        ({"max_tokens": 8}, False),
        ({"messages": REQUEST["messages"][:2]}, False),
        ({"tools": [], "tool_choice": None}, False),
    ],
)
def test_a_digest_knows_the_question_and_not_how_it_is_sent(change: dict[str, Any], same: bool) -> None:
    assert (chat.read(REQUEST | change).digest == chat.read(REQUEST).digest) is same


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "found a list of 0 items, expected an object"),
        ({}, "messages: found nothing (null), expected a list of one message or more"),
        ({"messages": []}, "messages: found a list of 0 items, expected a list of one message or more"),
        ({"messages": [{"role": "king"}]}, 'messages[0].role: found "king" (string), expected one of'),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id: expected a text"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content: found 3 (integer)"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]: expected a part of the type text",
        ),
        (REQUEST | {"max_tokens": 0}, "max_tokens: found 0 (integer), expected a whole number of at least 1"),
        (REQUEST | {"temperature": True}, "temperature: found true (boolean), expected a number from 0 to 2"),
        (REQUEST | {"tools": [{}]}, "tools[0]: expected a function with a name"),
        (REQUEST | {"tool_choice": 3}, "tool_choice: found 3 (integer), expected auto, none, required"),
        (REQUEST | {"response_format": {"type": "xml"}}, "response_format: expected text"),
        (REQUEST | {"stop": [1]}, "stop: expected a text, or at most four"),
    ],
)
def test_what_is_no_request_is_refused_by_its_field(body: Any, message: str) -> None:
    with pytest.raises(chat.InvalidRequest) as refused:
        chat.read(body)
    assert message in str(refused.value)


def test_an_answer_comes_back_from_what_is_recorded_of_it() -> None:
    recorded = replies.message_of(ANSWER)
    assert recorded["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a":2}'}
    found = replies.answer_of(recorded)
    assert (found.text, found.tool_calls, found.finish_reason) == ("Hi", ANSWER.tool_calls, "tool_calls")


def test_arguments_that_are_no_json_come_back_as_they_were_written() -> None:
    broken = Answer("", tool_calls=(ToolCall("c", "look", {}, "{oops"),), finish_reason="tool_calls")
    assert replies.answer_of(replies.message_of(broken)).tool_calls == broken.tool_calls


def test_a_whole_answer_says_what_it_took() -> None:
    whole = replies.completion(replies.message_of(ANSWER), "n", "m", (3, 4))
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_pieces_of_an_answer_are_its_text_and_then_its_calls() -> None:
    found = list(replies.pieces(ANSWER))
    assert found == [Delta("Hi"), Delta(call=CallDelta(0, "c2", "look", '{"a":2}'))]
    first, second = (replies.chunk(delta, "n", "m")["choices"][0]["delta"] for delta in found)
    assert first == {"role": "assistant", "content": "Hi"}
    assert second["tool_calls"][0]["id"] == "c2"
    ended = replies.last_chunks("stop", "n", "m", (3, 4))
    assert [item["choices"] for item in ended] == [
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        [],
    ]
    assert len(replies.last_chunks("stop", "n", "m", None)) == 1


@pytest.mark.parametrize(
    ("asked", "bounds", "expected"),
    [
        (None, None, (100, 0.5)),
        (7, None, (7, 0.5)),
        (7, 3, (3, 0.5)),
        (900, None, (100, 0.5)),
        (900, 500, (500, 0.5)),
    ],
)
def test_no_answer_is_longer_than_the_agent_or_else_the_model_lets_it_be(
    asked: int | None, bounds: int | None, expected: tuple[int, float]
) -> None:
    parameters = {"maxTokens": 100, "temperature": 0.5}
    spec = ModelSpec.model_validate(
        {"provider": "scripted", "script": [{"text": "x"}], "parameters": parameters}
    )
    body = REQUEST | {"max_tokens": asked, "temperature": None}
    found = chat.request_of(chat.read(body), chat.Bounds(bounds), spec)
    assert (found.max_tokens, found.temperature) == expected
