"""Scripts: the same question gets the same answer, and no pattern stalls the process."""

import time
from typing import Any

import pytest

from citadel.api.model import ModelSpec
from citadel.llm.provider import Answer, CallDelta, Delta, Message, ProviderError, Request
from citadel.llm.scripted import InvalidScript, Script


def script(*answers: dict[str, Any]) -> Script:
    return Script(ModelSpec.model_validate({"provider": "scripted", "script": list(answers)}))


async def ask(model: Script, *texts: str, max_tokens: int = 100) -> Answer:
    return await model.ask(Request(tuple(Message("user", text) for text in texts), max_tokens))


async def test_the_first_answer_counts_whose_condition_the_last_message_fits() -> None:
    model = script({"when": "^a", "text": "A"}, {"when": "(?i)ü", "json": {"x": [1]}}, {"text": "else"})
    assert [(await ask(model, "b", text)).text for text in ("ab", "Ü", "c")] == ["A", '{"x":[1]}', "else"]


async def test_what_counts_is_told_or_a_token_for_four_bytes() -> None:
    model = script(
        {"when": "told", "text": "x", "usage": {"inputTokens": 7, "outputTokens": 3}}, {"text": "y" * 9}
    )
    assert await ask(model, "told") == Answer("x", 7, 3)
    assert await ask(model, "1234", "5") == Answer("y" * 9, 2, 3)
    assert (await ask(model, "1", max_tokens=2)).output_tokens == 2


@pytest.mark.parametrize(
    ("status", "passes", "sent"), [(429, True, False), (503, True, True), (400, False, False)]
)
async def test_errors_are_those_of_a_provider(status: int, passes: bool, sent: bool) -> None:
    with pytest.raises(ProviderError, match=f"status {status}: no") as error:
        await ask(script({"error": {"status": status, "message": "no"}}), "x")
    assert (error.value.passes, error.value.sent) == (passes, sent)


async def test_a_message_that_no_answer_is_for_is_an_error() -> None:
    with pytest.raises(ProviderError, match="no answer of the script fits"):
        await ask(script({"when": "a", "text": "A"}), "b")


def test_a_condition_that_is_no_regular_expression_is_named() -> None:
    with pytest.raises(InvalidScript, match=r"script\[1\]\.when: found"):
        script({"text": "x"}, {"when": "(", "text": "y"})


async def test_a_hostile_pattern_takes_no_time() -> None:
    began = time.process_time()
    with pytest.raises(ProviderError):
        await ask(script({"when": "^(a+)+$", "text": "x"}), "a" * 50_000 + "b")
    assert time.process_time() - began < 1


def asked(*messages: Message) -> Request:
    return Request(messages, 100)


async def test_tools_are_called_and_each_call_has_an_id_of_its_own() -> None:
    call = {"name": "search", "arguments": {"q": "ü"}}
    model = script(
        {"turn": 0, "text": "Let me look.", "toolCalls": [call, {**call, "id": "mine"}]},
        {"turn": 1, "when": "^rain$", "toolCalls": [call]},
        {"turn": 2, "text": "done"},
    )
    conversation = [Message("user", "?")]
    seen = []
    for result in ("rain", "sun", ""):
        answer = await model.ask(asked(*conversation))
        seen.append(answer)
        conversation.append(Message("assistant", answer.text, answer.tool_calls))
        conversation += [Message("tool", result, tool_call_id=called.id) for called in answer.tool_calls]
    assert [[called.id for called in answer.tool_calls] for answer in seen] == [
        ["call_0_0", "mine"],
        ["call_1_0"],
        [],
    ]
    assert [answer.finish_reason for answer in seen] == ["tool_calls", "tool_calls", "stop"]
    assert (seen[0].text, seen[0].tool_calls[0].arguments) == ("Let me look.", {"q": "ü"})
    assert seen[2].text == "done"
    assert await model.ask(asked(Message("user", "?"))) == seen[0]


async def test_one_model_may_serve_several_who_are_told_different_things() -> None:
    model = script({"system": "(?i)critic", "text": "C"}, {"system": "writer", "turn": 0, "text": "W"})
    told = [("system", "You are a Critic."), ("user", "writer")], [("system", "A writer"), ("user", "?")]
    answers = [await model.ask(asked(*(Message(*item) for item in items))) for items in told]  # type: ignore[arg-type]
    assert [answer.text for answer in answers] == ["C", "W"]
    with pytest.raises(ProviderError, match=r"fits the message \(turn 1\)"):
        await model.ask(asked(Message("system", "writer"), Message("assistant", "x"), Message("user", "?")))


async def test_a_stream_is_the_answer_word_by_word() -> None:
    model = script({"text": " a  b\nc", "toolCalls": [{"name": "t", "arguments": {"n": 1}}]})
    request = asked(Message("user", "?"))
    items = [item async for item in model.stream(request)]
    assert items[-1] == await model.ask(request)
    assert [item.text for item in items[:-1] if isinstance(item, Delta)] == [" ", "a  ", "b\n", "c", ""]
    assert items[-2] == Delta(call=CallDelta(0, "call_0_0", "t", '{"n":1}'))


async def test_a_stream_fails_as_an_answer_does() -> None:
    model = script({"error": {"status": 429, "message": "no"}})
    with pytest.raises(ProviderError, match="status 429: no"):
        await anext(model.stream(asked(Message("user", "?"))))


def test_each_condition_that_is_no_regular_expression_is_named() -> None:
    with pytest.raises(InvalidScript, match=r"script\[0\]\.system: found"):
        script({"system": "[", "text": "x"})
