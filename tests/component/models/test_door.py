"""The door for agents: what is asked there is answered, recorded and paid."""

import asyncio

import pytest

from component.models.doorworld import STEP, Doors, question
from component.models.gatewayworld import HOST, KEY
from providers import Reply

TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches.",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
    },
}


async def test_a_call_is_answered_recorded_and_paid(doors: Doors) -> None:
    doors.world.providers.replies = ["Hello."]
    agent = await doors.agent()
    reply = await agent.ask("hi", temperature=0.5, max_tokens=50)
    assert (reply.status, reply.text) == (200, "Hello.")
    assert reply.body["usage"] == {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}
    ((path, asked, headers),) = doors.world.providers.asked
    assert (path, asked["max_tokens"], asked["temperature"]) == ("/v1/chat/completions", 50, 0.5)
    assert headers["Authorization"] == f"Bearer {KEY}"
    (record,) = await doors.world.database.model_records.of("u1")
    assert (record.step, record.model, record.n, record.request) == (STEP, "team/m", 1, None)
    spent = await doors.world.database.ledger.spent("u1", STEP, 1)
    # 20 tokens at 1 $ for a million, 10 of the cache at 0.5 $, 4 at 10 $.
    assert (spent.cost, spent.calls, spent.estimated) == (record.cost, 1, False)
    assert record.cost == 65 * 10**6


async def test_tools_schema_and_conversation_reach_the_model_and_its_tool_calls_the_agent(
    doors: Doors,
) -> None:
    call = {"id": "c-1", "type": "function", "function": {"name": "search", "arguments": '{"text":"é"}'}}
    doors.world.providers.replies = [(200, {}, PROVIDED)]
    agent = await doors.agent()
    conversation = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "text", "text": " it up."}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c-1", "content": "nothing"},
    ]
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    reply = await agent.ask(
        raw={"messages": conversation, "tools": [TOOL], "tool_choice": "required", "response_format": wanted}
    )
    assert reply.status == 200, reply.body
    choice = reply.body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [{**call, "id": "c-2"}]
    asked = doors.world.providers.asked[0][1]
    assert asked["tool_choice"] == "required"
    assert asked["tools"][0]["function"]["name"] == "search"
    assert [message["role"] for message in asked["messages"]] == ["system", "user", "assistant", "tool"]
    assert '"answer"' in asked["messages"][0]["content"]
    assert asked["messages"][1]["content"] == "Look it up."


PROVIDED = """{"id": "c", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [{"index": 0,
"finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "c-2",
"type": "function", "function": {"name": "search", "arguments": "{\\"text\\": \\"é\\"}"}}]}}],
"usage": {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}}"""


@pytest.mark.parametrize("provider", ["openai", "huggingface", "anthropic", "bedrock"])
async def test_what_a_provider_hands_out_with_an_answer_is_not_sent_back_with_the_next_question(
    doors: Doors, provider: str
) -> None:
    cookie = (("Set-Cookie", "who=you; Path=/"),)
    elsewhere = (302, {"Location": "/elsewhere", **dict(cookie)}, "{}")
    doors.world.providers.replies = [Reply("one", headers=cookie), elsewhere, "two"]
    agent = await doors.agent(models=[doors.world.spec(provider=provider)])
    found = [await agent.ask(text) for text in ("a", "b", "c")]
    assert [reply.status for reply in found] == [200, 502, 200]
    assert [found[0].text, found[2].text] == ["one", "two"]
    assert len({path for path, _, _ in doors.world.providers.asked}) == 1
    assert not [headers for _, _, headers in doors.world.providers.asked if "Cookie" in headers]


async def test_the_same_request_is_answered_from_its_record_at_no_cost(doors: Doors) -> None:
    doors.world.providers.replies = ["first", "second"]
    agent = await doors.agent()
    first = await agent.ask("hi", temperature=0.0)
    again = await agent.ask("hi", temperature=0.0, user="somebody")
    pieces = [piece async for piece in agent.stream("hi", temperature=0.0)]
    assert again.body == first.body
    assert "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces[:-1]) == "first"
    # Another question is another call; and so is the same in another attempt.
    assert (await agent.ask("hi", temperature=0.1)).text == "second"
    assert len(doors.world.providers.asked) == 2
    assert (await doors.world.database.ledger.spent("u1", STEP, 1)).calls == 2


async def test_another_gateway_knows_what_was_answered_and_another_execution_does_not(doors: Doors) -> None:
    doors.world.providers.replies = ["first", "second"]
    agent, other = await doors.agent(), await doors.agent("u2")
    await agent.ask("hi")
    await doors.open()
    agent.door = other.door = 1
    assert (await agent.ask("hi")).text == "first"
    assert (await other.ask("hi")).text == "second"


async def test_the_same_question_many_times_at_once_is_asked_once(doors: Doors) -> None:
    hold = asyncio.Event()
    doors.world.providers.replies = [hold]
    agent = await doors.agent()
    asking = [asyncio.create_task(agent.ask("hi")) for _ in range(5)]
    await doors.world.providers.were_asked()
    hold.set()
    assert {reply.text for reply in await asyncio.gather(*asking)} == {"late"}
    assert len(doors.world.providers.asked) == 1


async def test_a_call_waits_for_its_grant(doors: Doors) -> None:
    doors.world.providers.replies = ["Hello."]
    agent = await doors.agent(granted=False)
    asking = asyncio.create_task(agent.ask("hi"))
    await asyncio.sleep(0.1)
    assert not asking.done()
    await doors.grant(agent)
    assert (await asking).text == "Hello."


async def test_a_fallback_is_asked_with_a_reservation_of_its_own(doors: Doors) -> None:
    doors.world.providers.replies = [(503, {}, "{}")] * 3 + ["Hello."]
    agent = await doors.agent(models=[doors.world.spec(), doors.world.spec(model="m-2")])
    reply = await agent.ask("hi")
    assert (reply.text, reply.body["model"]) == ("Hello.", "m1")
    rows = await doors.world.sql("SELECT model, state FROM model_reservations ORDER BY at")
    assert [tuple(row) for row in rows] == [*[("team/m", "charged")] * 3, ("team/m1", "settled")]
    assert await doors.world.sql("SELECT turns, answered FROM model_grants") == [(1, 1)]


async def test_an_answer_is_no_longer_than_the_agent_may_have_it(doors: Doors) -> None:
    doors.world.providers.replies = ["x"]
    agent = await doors.agent(maxTokens=70, temperature=0.3)
    await agent.ask("one", max_tokens=100000)
    await agent.ask("two", max_completion_tokens=10, temperature=1)
    await agent.ask("three")
    asked = [(body["max_tokens"], body["temperature"]) for _, body, _ in doors.world.providers.asked]
    assert asked == [(70, 0.3), (10, 1.0), (70, 0.3)]


async def test_prompts_are_kept_where_a_policy_of_the_namespace_says_so(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("citadel.store.policies.FRESH_SECONDS", -1.0)
    doors.world.providers.replies = ["x"]
    agent = await doors.agent()
    await agent.ask("one")
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "ExecutionPolicy"}
    policy = {**kind, "metadata": {"name": "p"}, "spec": {"recordPrompts": True}}
    await doors.world.database.policies.put("team", [policy])
    await agent.ask("two")
    kept = {record.n: record.request for record in await doors.world.database.model_records.of("u1")}
    assert kept == {1: None, 2: question("two")}


async def test_connections_to_a_provider_are_kept_between_calls_and_one_that_died_costs_nothing(
    doors: Doors,
) -> None:
    doors.world.providers.replies = ["x"]
    agent = await doors.agent()
    for text in ("one", "two", "three"):
        assert (await agent.ask(text)).status == 200
    opened = {record.id for record in doors.world.gateway.records}
    assert len(opened) == 1
    for transport in list(doors.world.providers.transports):
        transport.close()
    await asyncio.sleep(0.1)
    assert (await agent.ask("four")).status == 200
    rows = await doors.world.sql("SELECT state FROM model_reservations")
    assert [row.state for row in rows] == ["settled"] * 4
    assert {record.host for record in doors.world.gateway.records} == {HOST}
    assert len({record.id for record in doors.world.gateway.records}) == 2
