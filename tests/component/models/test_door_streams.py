"""Answers in pieces: passed on as they come, recorded at their end, given up with their reader."""

import asyncio
import json
from typing import Any

from component.models.doorworld import STEP, Doors, Pieces


def piece_of_call(arguments: str, **first: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": first.pop("name")} if first else {})}
    return {"tool_calls": [{"index": 0, "type": "function", "function": function, **first}]}


async def test_each_piece_is_passed_on_before_the_next_has_come(doors: Doors) -> None:
    holds = [asyncio.Event() for _ in range(2)]
    doors.world.providers.replies = [Pieces("Hel", holds[0], "lo", holds[1], ".")]
    agent = await doors.agent()
    seen = []
    async for piece in agent.stream(stream_options={"include_usage": True}):
        seen.append(piece)
        text = piece["choices"][0]["delta"].get("content") if piece != "done" and piece["choices"] else None
        if text in ("Hel", "lo"):
            holds.pop(0).set()
    texts = [piece["choices"][0]["delta"].get("content") for piece in seen[:-2]]
    assert texts == ["Hel", "lo", ".", None]
    assert seen[-3]["choices"][0]["finish_reason"] == "stop"
    assert seen[-2]["choices"] == []
    assert seen[-2]["usage"] == {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}
    assert seen[-1] == "done"
    (record,) = await doors.world.database.model_records.of("u1")
    assert record.answer["message"]["content"] == "Hello."
    assert not (await doors.world.database.ledger.spent("u1", STEP, 1)).estimated


async def test_calls_of_tools_come_in_pieces_too(doors: Doors) -> None:
    given = [piece_of_call("", id="c-1", name="search"), piece_of_call('{"text"'), piece_of_call(':"é"}')]
    doors.world.providers.replies = [Pieces(*given, reason="tool_calls")]
    agent = await doors.agent()
    seen = [piece["choices"][0] async for piece in agent.stream() if piece != "done"]
    calls = [call for choice in seen for call in choice["delta"].get("tool_calls", [])]
    assert (calls[0]["id"], calls[0]["function"]["name"]) == ("c-1", "search")
    assert "".join(call["function"]["arguments"] for call in calls) == '{"text":"é"}'
    assert seen[-1]["finish_reason"] == "tool_calls"
    again = await agent.ask()
    assert json.loads(again.body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]) == {
        "text": "é"
    }
    assert len(doors.world.providers.asked) == 1


async def test_who_reads_no_longer_ends_the_providers_call_and_pays_for_it(doors: Doors) -> None:
    answer = Pieces("Hel", asyncio.Event())
    doors.world.providers.replies = [answer, "Hello."]
    agent = await doors.agent()
    async for _ in agent.stream():
        break
    async with asyncio.timeout(10):
        await answer.cut.wait()
    await doors.world.rows("SELECT state FROM model_reservations", [("charged",)])
    assert await doors.world.database.model_records.of("u1") == []
    # It was no turn; and asked once more it is asked again.
    assert await doors.world.sql("SELECT turns FROM model_grants") == [(0,)]
    assert (await agent.ask()).text == "Hello."


async def test_who_waits_no_longer_for_a_whole_answer_pays_for_it_too(doors: Doors) -> None:
    doors.world.providers.replies = [asyncio.Event()]
    agent = await doors.agent()
    asking = asyncio.create_task(agent.ask())
    await doors.world.providers.were_asked()
    asking.cancel()
    await doors.world.rows("SELECT state FROM model_reservations", [("charged",)])


async def test_an_answer_that_breaks_off_says_so_and_is_paid_for(doors: Doors) -> None:
    async def broken(request: Any) -> Any:
        await Pieces("Hel")._send(response := await opened(request), choices=[choice("Hel")])
        await asyncio.sleep(0.05)
        request.transport.abort()
        return response

    doors.world.providers.replies = [broken]
    agent = await doors.agent()
    seen = [piece async for piece in agent.stream()]
    assert seen[0]["choices"][0]["delta"]["content"] == "Hel"
    assert seen[-1]["error"]["code"] == "ModelUnavailable"
    assert len(doors.world.providers.asked) == 1
    assert await doors.world.sql("SELECT state FROM model_reservations") == [("charged",)]
    assert await doors.world.database.model_records.of("u1") == []


async def test_what_fails_before_its_first_piece_has_a_status(doors: Doors) -> None:
    doors.world.providers.replies = [(400, {}, '{"error": {"message": "too long"}}')]
    agent = await doors.agent()
    reply = await agent.ask(stream=True)
    assert reply.error == (502, "ModelError")
    assert "too long" in reply.body["error"]["message"]
    assert reply.headers["x-should-retry"] == "false"


def choice(text: str) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": text}, "finish_reason": None}


async def opened(request: Any) -> Any:
    from aiohttp import web

    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response
