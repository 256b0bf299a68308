"""Calls through the model gateway: over the egress proxy to providers, with budgets, and past every death."""

import asyncio
import gzip
from typing import Any

import pytest

from citadel.calls.transport import MAX_ANSWER
from citadel.core import events as ev
from citadel.core.spending import Account, micro
from citadel.core.values import Inline
from component.models.gatewayworld import HOST, KEY, World
from providers import Reply


def failure(state: Any) -> tuple[str, str]:
    found = state.steps["ask"].failure
    return found.reason, found.message


@pytest.mark.parametrize("provider", ["openai", "huggingface", "anthropic", "bedrock"])
async def test_a_provider_is_asked_in_its_own_protocol_and_what_it_took_is_counted(
    world: World, provider: str
) -> None:
    world.providers.replies = ["It is 42."]
    given = {"system": "Be brief.", "temperature": 0.5}
    state = await world.begin("u1", llm=given)
    await world.place(state, world.spec(provider=provider, parameters={"stop": ["END"], "topP": 0.9}))
    world.work()
    state = await world.ended("u1")
    assert state.steps["ask"].output == Inline("It is 42.")
    ((path, body, headers),) = world.providers.asked
    paths = {"anthropic": "/v1/messages", "bedrock": "/model/m-1/converse"}
    assert path == paths.get(provider, "/v1/chat/completions")
    if provider == "bedrock":
        given = {"maxTokens": 100, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"]}
        assert body["inferenceConfig"] == given
        assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA0123456789/")
    else:
        assert (body["model"], body["temperature"], body["top_p"]) == ("m-1", 0.5, 0.9)
        assert body["max_tokens"] == 100
        assert KEY in headers.get("x-api-key", "") + headers.get("Authorization", "")
    cost = micro(f"{((30 - 10) + 10 * 0.5 + 4 * 10) / 10**6:.7f}")
    usage = ev.Usage("m", provider, 30, 4, cost)
    assert state.usage == usage
    assert [told.outcome for told in world.told] == ["ok"]
    await world.no_calls()
    record = world.gateway.records[-1]
    assert (record.uid, record.step, record.host, record.verdict) == ("u1", "ask", HOST, "allowed")


async def test_an_answer_is_made_to_fit_the_schema(world: World) -> None:
    world.providers.replies = ["Well.", '{"n": 7}']
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    await world.place(await world.begin("u1", outputSchema=schema))
    world.work()
    state = await world.ended("u1")
    assert state.steps["ask"].output == Inline({"n": 7})
    assert state.usage is not None
    assert state.usage.calls == 2


@pytest.mark.parametrize(
    ("reply", "reason", "told"),
    [
        ((400, {}, '{"error":{"message":"bad"}}'), "ModelError", "status 400"),
        ((401, {}, f'{{"error":{{"message":"no key {KEY}"}}}}'), "ModelError", "refused the credential"),
        ((404, {}, f'{{"error":{{"message":"no {KEY}"}}}}'), "ModelError", "***"),
        ((200, {}, "not json at all"), "ModelError", "cannot be read"),
        ((302, {"Location": "https://elsewhere.example/"}, "{}"), "ModelError", "status 302"),
    ],
)
async def test_what_a_provider_refuses_is_told_without_the_key(
    world: World, reply: Any, reason: str, told: str
) -> None:
    world.providers.replies = [reply]
    await world.place(await world.begin("u1"))
    world.work()
    state = await world.ended("u1")
    assert failure(state)[0] == reason
    assert told in failure(state)[1]
    assert len(world.providers.asked) == 1
    for table in ("events", "values", "steps", "model_reservations", "executions"):
        assert KEY not in str(await world.sql(f'SELECT * FROM "{table}"'))


@pytest.mark.parametrize("provider", ["openai", "anthropic", "bedrock"])
@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply("x" * (MAX_ANSWER + 1)), f"found an answer of more than {MAX_ANSWER} bytes"),
        (
            Reply(body=gzip.compress(b"{}"), headers=(("Content-Encoding", "gzip"),)),
            "found an answer in gzip, expected none that has to be unpacked",
        ),
    ],
)
async def test_an_answer_never_takes_more_room_than_it_may(
    world: World, provider: str, reply: Reply, told: str
) -> None:
    world.providers.replies = [reply]
    await world.place(await world.begin("u1"), world.spec(provider=provider))
    world.work()
    state = await world.ended("u1")
    assert failure(state) == ("ModelError", f"Model m: {told}")
    assert state.usage is not None
    assert state.usage.estimated


async def test_a_provider_that_is_busy_is_asked_again_when_it_says_so(world: World) -> None:
    world.providers.replies = [(429, {"Retry-After": "0.1"}, "{}"), (503, {}, "{}"), "yes"]
    await world.place(await world.begin("u1"))
    world.work()
    state = await world.ended("u1")
    assert state.steps["ask"].output == Inline("yes")
    rows = await world.sql("SELECT state, cost FROM model_reservations ORDER BY at")
    assert [row.state for row in rows] == ["settled", "charged", "settled"]
    assert rows[0].cost == 0
    assert state.usage.cost == sum(row.cost for row in rows)  # type: ignore[union-attr]
    assert state.usage.estimated  # type: ignore[union-attr]


async def test_a_fallback_answers_for_a_model_that_cannot_be_reached(world: World) -> None:
    state = await world.begin("u1")
    script = {"provider": "scripted", "script": [{"text": "from the script"}]}
    await world.place(state, world.spec(endpoint=f"https://{HOST}:9/v1"), script)
    world.allow = (f"{HOST}:9",)
    world.work()
    state = await world.ended("u1")
    assert state.steps["ask"].output == Inline("from the script")
    # What never left costs nothing.
    assert (state.usage.cost, state.usage.estimated) == (0, False)  # type: ignore[union-attr]


async def test_the_policies_of_the_executions_namespace_hold(world: World) -> None:
    world.providers.replies = ["x"]
    world.allow = ("other.example.com:443",)
    await world.place(await world.begin("u1"))
    world.work()
    reason, message = failure(await world.ended("u1"))
    assert reason == "ModelError"
    assert f"ExecutionPolicy p does not allow {HOST}" in message
    assert world.providers.asked == []
    assert world.gateway.records[-1].verdict == "refused"


async def test_a_credential_goes_nowhere_but_where_it_was_sealed_for(world: World) -> None:
    world.providers.replies = ["x"]
    await world.place(await world.begin("u1"), host="api.openai.com:443")
    world.work()
    reason, message = failure(await world.ended("u1"))
    assert reason == "HostNotAllowed"
    assert "for api.openai.com:443" in message
    assert world.providers.asked == []


async def test_a_token_opens_only_the_endpoint_of_its_call_and_only_while_that_is_made(world: World) -> None:
    hold = asyncio.Event()
    world.providers.replies = [hold]
    await world.place(await world.begin("u1"))
    world.work()
    await world.providers.were_asked()
    (row,) = await world.sql("SELECT token_hash FROM model_calls")
    asked: dict[str, Any] = {"host": HOST, "port": world.providers.port, "step": "ask", "attempt": 1}

    async def verdict(token: str, **changed: Any) -> dict[str, Any]:
        return await world.gateway.desk.verdict({**asked, **changed, "token": token})

    from citadel.calls import working

    assert row.token_hash
    assert not (await verdict("model.guessed"))["allowed"]
    tokens: list[str] = []
    original = working.hashed
    hold.set()
    await world.ended("u1")
    working.hashed = lambda token: tokens.append(token) or original(token)  # type: ignore[func-returns-value]
    try:
        again = asyncio.Event()
        world.providers.replies = [again]
        await world.place(await world.begin("u2"))
        await world.providers.were_asked(2)
        (row,) = await world.sql("SELECT token_hash FROM model_calls")
        token = next(token for token in tokens if original(token) == row.token_hash)
        assert (await verdict(token))["allowed"]
        for changed in ({"host": "other.example.com"}, {"port": 1}, {"step": "b"}, {"attempt": 2}):
            assert not (await verdict(token, **changed))["allowed"], changed
        again.set()
        await world.ended("u2")
        await world.no_calls()
        assert not (await verdict(token))["allowed"]
    finally:
        working.hashed = original


async def test_a_budget_stops_the_execution_and_says_which(world: World) -> None:
    world.providers.replies = ["x"]
    state = await world.begin("u1", budget={"cost": "0.001"})
    await world.place(state)
    world.work()
    reason, message = failure(await world.ended("u1"))
    assert reason == "BudgetExceeded"
    assert "the budget: cost is 0.001, 0.00 is spent or reserved, and this call could take 0.001" in message
    assert world.providers.asked == []


async def test_a_namespaces_day_bounds_all_its_executions(world: World) -> None:
    world.providers.replies = ["x"]
    day = Account("day:team", "the daily budget", tokens=400, daily=True)
    for number in range(3):
        await world.place(await world.begin(f"u{number}"), accounts=[day])
    world.work()
    states = [await world.ended(f"u{number}") for number in range(3)]
    phases = sorted(state.finished.reason for state in states if state.finished)
    assert "BudgetExceeded" in phases
    (row,) = await world.sql("SELECT tokens FROM model_accounts WHERE key LIKE 'day:team:%'")
    assert row.tokens == sum(
        state.usage.input_tokens + state.usage.output_tokens for state in states if state.usage
    )


async def test_a_call_whose_gateway_was_killed_is_made_by_another_and_both_are_paid(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("citadel.calls.working.LEASE_SECONDS", 0.5)
    world.providers.replies = [asyncio.Event()]
    await world.place(await world.begin("u1"))
    world.work()
    await world.providers.were_asked()
    await world.kill()
    world.providers.replies = ["second"]
    world.work()
    state = await world.ended("u1")
    assert state.steps["ask"].output == Inline("second")
    rows = await world.sql("SELECT state, cost FROM model_reservations ORDER BY at")
    assert [row.state for row in rows] == ["charged", "settled"]
    (account,) = await world.sql("SELECT cost FROM model_accounts WHERE key = 'execution:u1'")
    assert account.cost == sum(row.cost for row in rows) == state.usage.cost  # type: ignore[union-attr]
    assert state.usage.estimated  # type: ignore[union-attr]


async def test_a_cancelled_execution_gives_up_its_call_and_counts_it(world: World) -> None:
    world.providers.replies = [asyncio.Event()]
    await world.place(await world.begin("u1"))
    world.work()
    await world.providers.were_asked()
    await world.database.journal.advance("u1", [ev.StopRequested("Cancel", "Cancelled", "enough")])
    state = await world.ended("u1")
    assert state.finished is not None
    assert state.finished.phase == "Cancelled"
    assert state.usage is not None
    assert (state.usage.calls, state.usage.estimated) == (1, True)


async def test_a_call_that_nobody_waits_for_is_not_made(world: World) -> None:
    world.providers.replies = ["x"]
    await world.place(await world.begin("u1"))
    await world.database.journal.advance("u1", [ev.StopRequested("Terminate", "Terminated", "now")])
    world.work()
    await world.no_calls()
    assert world.providers.asked == []


async def test_many_calls_are_each_made_once_by_many_gateways(world: World) -> None:
    world.providers.replies = ["x"]
    for number in range(30):
        await world.place(await world.begin(f"u{number}"))
    for _ in range(3):
        world.work()
    for number in range(30):
        assert (await world.ended(f"u{number}")).steps["ask"].output == Inline("x")
    assert len(world.providers.asked) == 30
