"""An agent's loop: LangChain's own, with a model and tools behind a door."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from component.agents.conftest import RUNTIMES
from component.agents.doubles import Door, calls, fails, says

SEARCH = {
    "name": "search",
    "description": "Finds.",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
}
Run = Callable[..., Any]


def test_a_prompt_is_answered_and_the_words_stand_in_the_log_as_they_come(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    door = Door([says("Grüße| aus| Köln 🌊")])
    assert run(door, system="Be kind.", input={"b": 1, "a": ["é"]}) == "Grüße aus Köln 🌊"
    assert door.asked[0]["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": 'Go on.\n\n{"a":["é"],"b":1}'},
    ]
    assert capsys.readouterr().out == "Grüße aus Köln 🌊\n"


def test_settings_of_the_agent_go_with_each_request(run: Run) -> None:
    door = Door([says("x")])
    run(door, maxTokens=77, temperature=0.0)
    sent = door.asked[0]
    assert sent["max_completion_tokens"] == 77
    assert {name: sent[name] for name in ("temperature", "stream")} == {"temperature": 0.0, "stream": True}


def test_tools_are_called_and_what_they_give_goes_back(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    door = Door(
        [calls(("search", {"q": "ä"}), text="Let me see."), says("Found.")],
        {"search": lambda arguments: {"status": "Succeeded", "output": {"hits": [arguments["q"]]}}},
    )
    assert run(door, tools=[SEARCH]) == "Found."
    assert door.called == [{"id": "call-search-0", "name": "search", "arguments": {"q": "ä"}}]
    told = door.asked[1]["messages"][-1]
    assert told == {"role": "tool", "content": '{"hits":["ä"]}', "tool_call_id": "call-search-0"}
    assert door.asked[0]["tools"][0]["function"] == SEARCH
    assert capsys.readouterr().out.splitlines() == [
        "Let me see.",
        '→ search {"q":"ä"}',
        '← search {"hits":["ä"]}',
        "Found.",
    ]


def test_a_call_is_asked_for_as_long_as_it_runs(run: Run) -> None:
    left = iter([{"status": "Running"}, {"status": "Running"}, {"status": "Succeeded", "output": "done"}])
    door = Door([calls(("search", {})), says("ok")], {"search": lambda _: next(left)})
    assert run(door, tools=[SEARCH]) == "ok"
    assert door.called == [door.called[0]] * 3


def test_refusals_and_failures_are_told_to_the_model(run: Run) -> None:
    refused = {"status": "Failed", "reason": "ToolRefused", "message": "args.q: too long"}
    door = Door([calls(("search", {"q": "x"})), says("Then not.")], {"search": lambda _: refused})
    assert run(door, tools=[SEARCH]) == "Then not."
    assert door.asked[1]["messages"][-1]["content"] == "ToolRefused: args.q: too long"


@pytest.mark.parametrize("tools", [[], [SEARCH]], ids=["none", "others"])
def test_a_name_that_the_model_made_up_is_refused_by_the_gateway(run: Run, tools: list[Any]) -> None:
    refused = {"status": "Failed", "reason": "ToolNotAllowed", "message": "no tool rm"}
    door = Door([calls(("rm", {"path": "/"})), says("Sorry.")], {"rm": lambda _: refused})
    assert run(door, tools=tools) == "Sorry."
    assert door.called == [{"id": "call-rm-0", "name": "rm", "arguments": {"path": "/"}}]


@pytest.mark.parametrize(("name", "sent"), [("w" * 5000, "w" * 64), ("a\0b", "a\N{REPLACEMENT CHARACTER}b")])
def test_names_that_no_tool_can_have_come_to_the_gateway_too(run: Run, name: str, sent: str) -> None:
    refused = {"status": "Failed", "reason": "ToolNotAllowed", "message": "no such tool"}
    door = Door([calls((name, {"q": "x\0"})), says("Then not.")], {sent: lambda _: refused})
    assert run(door, tools=[SEARCH]) == "Then not."
    assert [(call["name"], call["arguments"]) for call in door.called] == [
        (sent, {"q": "x\N{REPLACEMENT CHARACTER}"})
    ]


@pytest.mark.parametrize(
    "arguments", ["{broken", '{"q": "half a wo', '{"q": NaN}', "[1]", '"text"', "12", "null", "{" * 9000]
)
def test_arguments_that_are_no_object_come_to_the_gateway_as_the_text_that_they_are(
    run: Run, arguments: str
) -> None:
    refused = {"status": "Failed", "reason": "ToolRefused", "message": "expected an object"}
    door = Door([calls(("search", arguments)), says("ok")], {"search": lambda _: refused})
    assert run(door, tools=[SEARCH]) == "ok"
    assert [call["arguments"] for call in door.called] == [arguments[:4096]]
    assert door.asked[1]["messages"][-1]["content"] == "ToolRefused: expected an object"


def test_calls_of_one_turn_run_side_by_side_and_are_told_in_their_order(run: Run) -> None:
    all_at_once, others = threading.Barrier(4), threading.Semaphore(0)

    def answered(arguments: Any) -> Any:
        all_at_once.wait(30)
        if arguments["q"] == "0":
            assert all(others.acquire(timeout=30) for _ in range(3))
        else:
            others.release()
        return {"status": "Succeeded", "output": arguments["q"]}

    door = Door([calls(*(("search", {"q": str(n)}) for n in range(4))), says("ok")], {"search": answered})
    assert run(door, tools=[SEARCH]) == "ok"
    told = [message["content"] for message in door.asked[1]["messages"] if message["role"] == "tool"]
    assert told == ["0", "1", "2", "3"]


def test_a_call_that_is_made_again_is_another_call_whatever_id_the_model_gives_it(run: Run) -> None:
    door = Door(
        [calls(("search", {"q": "x"})), calls(("search", {"q": "x"})), says("ok")],
        {"search": lambda _: {"status": "Succeeded", "output": 1}},
    )
    assert run(door, tools=[SEARCH]) == "ok"
    assert [call["id"] for call in door.called] == ["call-search-0", "call-search-0-2"]
    sent = door.asked[2]["messages"]
    assert [message["tool_call_id"] for message in sent if message["role"] == "tool"] == [
        "call-search-0",
        "call-search-0-2",
    ]


def test_a_second_run_asks_the_same_byte_for_byte(run: Run) -> None:
    def some_time(arguments: Any) -> Any:
        time.sleep(random.random() / 50)
        return {"status": "Succeeded", "output": {"z": arguments, "a": [1.5, None]}}

    def once() -> Door:
        door = Door(
            [
                calls(*(("search", {"q": f"{n}é"}) for n in range(5)), text="One moment"),
                calls(("search", {"q": "more"})),
                says("no json"),
                says('{"n": 1}'),
            ],
            {"search": some_time},
        )
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
        assert run(door, tools=[SEARCH], outputSchema=schema, history=history, summary="s") == {"n": 1}
        return door

    first, second = once(), once()
    assert first.raw == second.raw
    assert sorted(map(json.dumps, first.called)) == sorted(map(json.dumps, second.called))


def test_the_model_reads_tools_exactly_as_the_agent_names_them(run: Run) -> None:
    schema = {"$defs": {"n": {"title": "N", "type": "integer"}}, "$ref": "#/$defs/n", "title": "Größe"}
    tools = [
        {"name": "zeta-1", "description": "Erste.\n  Zweite.", "parameters": schema},
        {"name": "Alpha_2", "description": None, "parameters": None},
        {"name": "0"},
    ]
    nothing = {"type": "object", "properties": {}}
    door = Door([says("ok")])
    assert run(door, tools=tools) == "ok"
    assert door.asked[0]["tools"] == [
        {
            "type": "function",
            "function": {"name": name, "description": description, "parameters": parameters},
        }
        for name, description, parameters in (
            ("zeta-1", "Erste.\n  Zweite.", schema),
            ("Alpha_2", "Alpha_2", nothing),
            ("0", "0", nothing),
        )
    ]


def test_runs_side_by_side_in_one_process_have_nothing_in_common(run: Run) -> None:
    both = threading.Barrier(2)

    def door(mine: str) -> Door:
        def answered(_: Any) -> Any:
            both.wait(30)  # neither has ended while the other asks
            return {"status": "Succeeded", "output": mine}

        model = [calls(("search", {"q": mine}), text=mine), says(f"{mine}: ok")]
        return Door(model, {"search": answered})

    def tool(mine: str) -> dict[str, Any]:
        return {**SEARCH, "description": f"Finds {mine}."}

    agents = {
        "a": {"system": "You are a.", "tools": [tool("a")], "maxTokens": 7},
        "b": {"tools": [tool("b"), {"name": "more"}], "prompt": "Go on, b."},
    }
    doors = {name: door(name) for name in agents}
    with ThreadPoolExecutor() as threads:
        given = {name: threads.submit(run, doors[name], **agent) for name, agent in agents.items()}
        assert {name: answer.result(60) for name, answer in given.items()} == {"a": "a: ok", "b": "b: ok"}
    for name, found in doors.items():
        assert found.called == [{"id": "call-search-0", "name": "search", "arguments": {"q": name}}]
        assert [message["content"] for message in found.asked[1]["messages"]][-2:] == [name, name]
        described = [tool["function"]["description"] for tool in found.asked[1]["tools"]]
        assert described == [f"Finds {name}.", "more"][: len(agents[name]["tools"])]
    roles = {
        name: [message["role"] for message in found.asked[1]["messages"]] for name, found in doors.items()
    }
    assert roles == {"a": ["system", "user", "assistant", "tool"], "b": ["user", "assistant", "tool"]}
    assert [found.asked[1].get("max_completion_tokens") for found in doors.values()] == [7, None]


def test_a_run_sees_nothing_of_the_rehearsal(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from citadel_agent import warm

    ends = signal.getsignal(signal.SIGTERM)
    done = {"search": lambda _: {"status": "Succeeded", "output": 1}}
    doors = []
    for rehearsals in (0, 2):
        # Of these a call of the run has the id too.
        monkeypatch.setitem(warm._CALL, "id", "call-search-0")
        for _ in range(rehearsals):
            warm.citadel_rehearse()
        assert capfd.readouterr() == ("", "")
        doors.append(Door([calls(("search", {})), says("ok")], done))
        assert run(doors[-1], tools=[SEARCH], limits={"turns": 2}) == "ok"
        capfd.readouterr()
    before, after = doors
    assert after.raw == before.raw
    assert after.called == before.called == [{"id": "call-search-0", "name": "search", "arguments": {}}]
    assert signal.getsignal(signal.SIGTERM) is ends


def test_an_answer_that_does_not_fit_is_asked_again_with_what_is_wrong(run: Run) -> None:
    door = Door([says("I think five."), says('{"n": "5"}'), says('Sure:\n```json\n{"n": 5}\n```')])
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert run(door, outputSchema=schema) == {"n": 5}
    assert '"integer"' in door.asked[0]["messages"][0]["content"]
    assert "found no JSON" in door.asked[1]["messages"][-1]["content"]
    assert "answer.n:" in door.asked[2]["messages"][-1]["content"]


def test_repairs_end(run: Run) -> None:
    door = Door([says("a"), says("b"), says('{"n": 1}')])
    with pytest.raises(Exception, match="asked 2 times") as failed:
        run(door, outputSchema={"type": "object"}, repairs=1)
    assert failed.value.wire["reason"] == "InvalidOutput"


@pytest.mark.parametrize(
    "code",
    ["BudgetExceeded", "TurnLimitExceeded", "ModelUnavailable", "RateLimited", "ModelError", "ModelNotFound"],
)
def test_what_the_door_refuses_for_good_is_the_reason_of_the_end(run: Run, code: str) -> None:
    status = {"BudgetExceeded": 402, "RateLimited": 429, "ModelUnavailable": 503}.get(code, 400)
    door = Door([fails(status, code, "that is it")])
    with pytest.raises(Exception, match="that is it") as failed:
        run(door)
    assert failed.value.wire["reason"] == code


def test_what_passes_is_asked_again_and_so_is_an_answer_that_broke_off(run: Run) -> None:
    door = Door([fails(502, "Unreachable"), fails(503, None), says("at| last")], cut=1)
    assert run(door) == "at last"
    assert len(door.asked) == 4
    assert door.raw == [door.raw[0]] * 4


def test_a_gateway_that_is_away_is_asked_until_it_is_back(run: Run) -> None:
    away = iter([fails(502, "Unreachable"), fails(503, "JournalUnavailable"), fails(429, "TooManyRequests")])
    done = {"status": "Succeeded", "output": 1}
    door = Door([calls(("search", {})), says("ok")], {"search": lambda _: next(away, done)})
    assert run(door, tools=[SEARCH]) == "ok"
    assert door.called == [door.called[0]] * 4


def test_an_attempt_that_is_over_for_the_gateway_is_over(run: Run) -> None:
    door = Door([calls(("search", {}))], {"search": lambda _: fails(409, "Superseded", "not under way")})
    with pytest.raises(Exception, match="not under way") as failed:
        run(door, tools=[SEARCH])
    assert failed.value.wire["reason"] == "Error"


def test_turns_are_limited_here_too(run: Run) -> None:
    door = Door(
        [calls(("search", {"q": "x"}))] * 9,
        {"search": lambda _: {"status": "Succeeded", "output": 1}},
    )
    with pytest.raises(Exception, match=r"limits\.turns") as failed:
        run(door, tools=[SEARCH], limits={"turns": 3, "toolCalls": 50})
    assert failed.value.wire["reason"] == "TurnLimitExceeded"
    assert len(door.asked) == 3


def test_a_cancellation_does_not_wait_for_tools(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path[:0] = {[str(RUNTIMES / name) for name in ('agent', 'python')]!r}\n"
        "import citadel_agent, os\n"
        "citadel_agent.run({'prompt': 'Go on.', 'tools': [{'name': 'search'}]})\n"
    )
    called, over = threading.Event(), threading.Event()

    def never(_: Any) -> Any:
        called.set()
        over.wait(30)
        return {"status": "Running"}

    with Door([calls(("search", {}))], {"search": never}) as url:
        environment = {**os.environ, "CITADEL_AGENT_URL": url}
        process = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=tmp_path)
        try:
            assert called.wait(60)
            process.terminate()
            assert process.wait(5) == 128 + signal.SIGTERM
        finally:
            process.kill()
            over.set()
