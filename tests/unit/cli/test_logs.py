"""Chunks of logs into lines, and the stream they come in."""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.cli.logs import LogPrinter, server_sent


def chunk(text: str, step: str = "a", attempt: int = 1, stream: str = "stdout") -> dict[str, Any]:
    return {"step": step, "attempt": attempt, "stream": stream, "n": 0, "at": "T1", "text": text}


def printed(*chunks: dict[str, Any], terminal: bool = False, timestamps: bool = False) -> str:
    out: list[str] = []
    printer = LogPrinter(out.append, terminal=terminal, timestamps=timestamps)
    for item in chunks:
        printer.print(item)
    printer.flush()
    return "".join(out)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([chunk("one\ntwo\n")], "a | one\na | two\n"),
        ([chunk("on"), chunk("e\ntw"), chunk("o")], "a | one\na | two\n"),
        ([chunk("\n\n")], "a | \na | \n"),
        ([chunk("x\r\n")], "a | x\n"),
        ([chunk("a1"), chunk("b1\n", step="b"), chunk("a2\n")], "b | b1\na | a1a2\n"),
        ([chunk("out"), chunk("err\n", stream="stderr"), chunk("\n")], "a | err\na | out\n"),
        ([chunk("again\n", attempt=2)], "a/2 | again\n"),
        ([chunk("\x1b[31mred\n")], "a | \x1b[31mred\n"),
        ([chunk("x\rb | forged\x85b | forged\n")], "a | x␍b | forged\\u0085b | forged\n"),
    ],
)
def test_every_line_carries_its_step_and_is_whole(chunks: list[dict[str, Any]], expected: str) -> None:
    assert printed(*chunks) == expected


def test_timestamps_come_first() -> None:
    assert printed(chunk("x\n"), timestamps=True) == "T1 a | x\n"


def test_on_a_terminal_user_code_cannot_steer_and_steps_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = printed(chunk("\x1b[2J\x9bx\n"), chunk("y\n", step="bb"), terminal=True)
    assert text == "\x1b[36ma |\x1b[0m ␛[2J\\u009bx\n\x1b[32mbb |\x1b[0m y\n"


def test_without_colours_nothing_but_text_reaches_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed(chunk("10%\r20%\r30%\n"), terminal=True) == "a | 30%\n"


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    out: list[str] = []
    printer = LogPrinter(out.append, terminal=False, timestamps=False)
    for _ in range(10):
        printer.print(chunk("x" * 64_000))
    assert len("".join(out)) > 256_000


async def events(data: bytes, cuts: list[int]) -> list[tuple[str, Any]]:
    async def pieces() -> AsyncIterator[bytes]:
        places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
        for start, end in pairwise(places):
            yield data[start:end]

    return [event async for event in server_sent(pieces())]


@given(st.lists(st.text(), max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
async def test_events_are_the_same_however_the_bytes_are_cut(texts: list[str], cuts: list[int]) -> None:
    sent = "".join(f"event: log\ndata: {json.dumps(text)}\n\n" for text in texts)
    data = f"{sent}event: end\ndata: {{}}\n\nevent: log\ndata: unfinished".encode()
    assert await events(data, cuts) == [*(("log", text) for text in texts), ("end", {})]
