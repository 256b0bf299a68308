"""`citadel memory`: what agents remember, on a terminal."""

import json
from typing import Any

import pytest

from citadel.core.values import Inline
from citadel.store.conversations import Answered, Key
from component.cli.conftest import Cli


async def say(cli: Cli, conversation: str, prompt: str, answer: Any) -> None:
    kept, uid = cli.citadel.conversations, f"uid-{prompt}"
    await kept.recall(uid, "work", 1, Key("team", "clerk", conversation), prompt)
    kept.append(Answered(uid, "work", 1, Inline(answer)), {})


async def test_conversations_are_listed_shown_and_deleted(cli: Cli) -> None:
    await say(cli, "Kunde/7 ü", "Where is\nmy order?", {"days": 2})
    await say(cli, "other", "Hi.", "Hello.\x1b[31m")
    code, out, err = await cli.run("memory", "list", "clerk")
    assert (code, err) == (0, "")
    header, first, second = out.splitlines()
    assert header.split() == ["CONVERSATION", "MESSAGES", "SUMMARISED", "FIRST", "LAST"]
    assert first.startswith("other")
    assert second.split()[:4] == ["Kunde/7", "ü", "2", "no"]
    code, out, _ = await cli.run("memory", "show", "clerk", "--conversation", "Kunde/7 ü")
    assert code == 0
    assert "user\n  Where is\n  my order?\n" in out
    assert 'assistant\n  {"days":2}\n' in out
    _, out, _ = await cli.run("memory", "show", "clerk", "--conversation", "other")
    assert "\x1b" not in out
    _, out, _ = await cli.run("memory", "show", "clerk", "--conversation", "Kunde/7 ü", "-o", "json")
    assert json.loads(out)["messages"][0]["content"] == "Where is\nmy order?"
    told = "Agent clerk has forgotten 1 conversation\n"
    assert await cli.run("memory", "delete", "clerk", "--conversation", "Kunde/7 ü") == (0, told, "")
    code, _, err = await cli.run("memory", "show", "clerk", "--conversation", "Kunde/7 ü")
    assert code == 2
    assert "remembers no conversation 'Kunde/7 ü'" in err
    assert await cli.run("memory", "delete", "clerk", "--all") == (0, told, "")
    assert await cli.run("memory", "list", "clerk") == (0, "", "Agent clerk remembers no conversation\n")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["show", "clerk"], "name the conversation"),
        (["show", "clerk", "--conversation", ""], "--conversation: found nothing"),
        (["delete", "clerk"], "say what to delete"),
        (["delete", "clerk", "--all", "--conversation", "x"], "say what to delete"),
        (["list", "No/Name"], "No/Name"),
        (["forget", "clerk"], "No such command"),
    ],
)
async def test_what_is_missing_or_wrong_is_said(cli: Cli, given: list[str], told: str) -> None:
    code, out, err = await cli.run("memory", *given)
    assert (code, out) == (2, "")
    assert told in err
