"""The door for agents: what is asked there is answered, recorded and paid."""

from component.models.doorworld import STEP, Doors
from component.models.gatewayworld import KEY


async def test_a_call_is_answered_recorded_and_paid(doors: Doors) -> None:
    doors.world.providers.replies = ["Hello."]
    agent = await doors.agent()
    reply = await agent.ask("hi", temperature=0.5, max_tokens=50)
    assert reply.status == 200
    assert reply.text == "Hello."
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
