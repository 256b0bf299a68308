"""An agent asks as LangChain's own model of the protocol would, and loads none of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

from citadel.llm import chat
from component.agents.conftest import RUNTIMES

PARTS = {"id": "r", "object": "chat.completion.chunk", "created": 0, "model": "m"}
TOOLS = [{"type": "function", "function": {"name": "f", "description": "", "parameters": {"type": "object"}}}]
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ARGUMENTS = st.dictionaries(
    WORDS, st.none() | st.integers() | st.lists(WORDS, max_size=2) | WORDS, max_size=3
)
CALLS = st.lists(
    st.builds(
        lambda name, args, own: {"name": name, "args": args, "id": own, "type": "tool_call"},
        WORDS,
        ARGUMENTS,
        WORDS,
    ),
    max_size=2,
)
MESSAGES = st.lists(
    st.builds(HumanMessage, WORDS)
    | st.builds(SystemMessage, WORDS)
    | st.builds(AIMessage, WORDS, tool_calls=CALLS)
    | st.builds(ToolMessage, WORDS, tool_call_id=WORDS, name=WORDS),
    min_size=1,
    max_size=6,
)
SETTINGS = st.fixed_dictionaries(
    {}, optional={"maxTokens": st.integers(1, 9999), "temperature": st.floats(0, 2)}
)


class Kept:
    """A door that keeps what it is asked, and answers with such pieces."""

    def __init__(self, *pieces: dict[str, Any]) -> None:
        self.pieces, self.asked = pieces, {}

    def answer(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self.asked = asked
        yield from self.pieces


def piece(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {**PARTS, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


@settings(deadline=None)  # the first loads what OpenAI's client needs
@given(MESSAGES, SETTINGS, st.booleans())
def test_what_is_asked_is_what_langchains_own_model_asks(
    package: Any, messages: list[BaseMessage], settings: dict[str, Any], with_tools: bool
) -> None:
    from citadel_agent.asking import fitted

    door = Kept(piece("stop", content="x"))
    model = fitted(settings, door)
    (model.bind_tools(TOOLS, tool_choice=None) if with_tools else model).invoke(messages)
    names = {"maxTokens": "max_tokens", "temperature": "temperature"}
    same: Any = {names[name]: value for name, value in settings.items()}
    theirs = ChatOpenAI(model="citadel", api_key="-", base_url="http://door", **same)  # type: ignore[arg-type]
    expected = theirs._get_request_payload(messages, stream=True, **({"tools": TOOLS} if with_tools else {}))
    read = [json.loads(json.dumps(asked)) for asked in (door.asked, expected)]
    # By the digest a record is found: of an agent that began with the other as well.
    assert chat.digest_of(read[0]) == chat.digest_of(read[1])
    assert door.asked["stream"]


def function(index: int, name: str | None, said: str, id_: str | None = None) -> dict[str, Any]:
    return {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": said}}


@pytest.mark.parametrize(
    ("pieces", "text", "calls", "ended"),
    [
        ([piece(content="Yes"), piece(content=", no."), piece("stop")], "Yes, no.", [], "stop"),
        ([piece(content="Yes")], "Yes", [], None),
        ([{**PARTS, "choices": []}, {**PARTS}, piece("stop", content=None)], "", [], "stop"),
        (
            [
                piece(tool_calls=[function(0, "a", '{"x"', "1"), function(1, "b", "", "2")]),
                piece(tool_calls=[function(0, None, ": 1}")]),
                piece("tool_calls"),
            ],
            "",
            [("a", {"x": 1}, "1"), ("b", {}, "2")],
            "tool_calls",
        ),
        (
            [piece(tool_calls=[function(0, "a", "[1]", "1")]), piece("tool_calls")],
            "",
            [("a", {"\N{REPLACEMENT CHARACTER}": "[1]"}, "1")],
            "tool_calls",
        ),
        (
            [piece(tool_calls=[function(0, "a", '{"x": NaN', "1")]), piece("length")],
            "",
            [("a", {"\N{REPLACEMENT CHARACTER}": '{"x": NaN'}, "1")],
            "length",
        ),
    ],
    ids=["in words", "broken off", "of nothing", "two calls", "no object", "cut off"],
)
def test_an_answer_is_what_its_pieces_say(
    package: Any, pieces: list[Any], text: str, calls: list[Any], ended: str | None
) -> None:
    from citadel_agent.asking import fitted

    message = fitted({}, Kept(*pieces)).invoke("?")
    assert message.content == text
    assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls] == calls
    assert message.response_metadata.get("finish_reason") == ended


def test_no_client_of_openai_is_loaded() -> None:
    folders = [str(RUNTIMES / name) for name in ("agent", "python")]
    code = (
        f"import sys; sys.path[:0] = {folders!r}; import citadel_agent.warm as w; w.citadel_rehearse();"
        "print(*sorted({'openai', 'langchain_openai', 'tiktoken'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
