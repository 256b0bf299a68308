"""Scripts: the same question gets the same answer, and no pattern stalls the process."""

import time
from typing import Any

import pytest

from citadel.api.model import ModelSpec
from citadel.llm.provider import Answer, Message, ProviderError, Request
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
