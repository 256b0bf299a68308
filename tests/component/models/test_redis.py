"""Answers that are kept, in a real Redis: nobody else reads or forges them, and without it none are known."""

import logging
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from citadel.core.values import Inline
from citadel.llm.asking import Common
from citadel.llm.caching import AnswerCache
from citadel.store.cached_answers import MOST_BYTES, RedisAnswers
from component.models.gatewayworld import World
from component.redis import PASSWORD, RedisServer

SECRET = b"private key of the model gateway"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    made = RedisServer()
    made.start()
    yield made
    made.close()


@pytest.fixture
async def answers(server: RedisServer) -> AsyncIterator[RedisAnswers]:
    made = RedisAnswers("127.0.0.1", server.port, PASSWORD, SECRET)
    yield made
    await made.close()


@pytest.fixture
async def inside(server: RedisServer) -> AsyncIterator[Redis]:
    """Somebody who has got into Redis."""
    made = Redis(port=server.port, password=PASSWORD)
    yield made
    await made.aclose()


async def test_an_answer_is_known_to_all_who_have_the_key_for_its_time(
    answers: RedisAnswers, server: RedisServer, inside: Redis
) -> None:
    assert await answers.get(b"q") is None
    began = time.monotonic()
    await answers.put(b"q", b"a", 60)
    assert await answers.get(b"q") == b"a"
    other = RedisAnswers("127.0.0.1", server.port, PASSWORD, SECRET)
    assert await other.get(b"q") == b"a"
    await other.close()
    (name,) = await inside.keys("*")
    left = await inside.pttl(name)
    assert 59_000 - 1000 * (time.monotonic() - began) < left <= 60_000
    stranger = RedisAnswers("127.0.0.1", server.port, PASSWORD, b"another")
    assert await stranger.get(b"q") is None
    await stranger.close()


async def test_whoever_is_in_redis_reads_nothing_and_forges_nothing(
    answers: RedisAnswers, inside: Redis
) -> None:
    await answers.put(b"secret question", b"secret answer", 60)
    (name,) = await inside.keys("*")
    assert b"secret" not in name + await inside.get(name)
    await answers.put(b"other", b"b", 60)
    (second,) = [found for found in await inside.keys("*") if found != name]
    await inside.set(second, await inside.get(name))
    assert await answers.get(b"other") is None
    for forged in (b"", b"x" * 100, b'{"message": {}}'):
        await inside.set(name, forged)
        assert await answers.get(b"secret question") is None
    await inside.delete(name)
    await inside.lpush(name, "a list")
    assert await answers.get(b"secret question") is None


async def test_what_is_too_large_is_not_kept(answers: RedisAnswers) -> None:
    await answers.put(b"small", b"x" * MOST_BYTES, 60)
    await answers.put(b"large", b"x" * (MOST_BYTES + 1), 60)
    assert await answers.get(b"small") is not None
    assert await answers.get(b"large") is None


async def test_a_redis_that_is_away_is_a_miss_and_no_error(
    answers: RedisAnswers, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await answers.put(b"q", b"a", 60)
    server.stop()
    with caplog.at_level(logging.WARNING):
        assert await answers.get(b"q") is None
        await answers.put(b"q", b"a", 60)
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["Redis is away"]


async def test_nobody_gets_in_without_the_password(server: RedisServer) -> None:
    for password in (None, "wrong"):
        stranger = RedisAnswers("127.0.0.1", server.port, password, SECRET)
        await stranger.put(b"q", b"a", 60)
        assert await stranger.get(b"q") is None
        await stranger.close()


async def test_the_model_gateway_pays_once_for_the_same_request_and_again_without_redis(
    world: World, answers: RedisAnswers, server: RedisServer
) -> None:
    world.providers.replies = ["It is 42."]
    looks: list[str] = []
    common = Common(cache=AnswerCache(answers, looks.append))
    spec = world.spec(cache={"ttl": "1h"}, parameters={"temperature": 0})

    async def run(uid: str) -> int:
        call = await world.place(await world.begin(uid), spec)
        state = await world.ended(call.uid)
        assert state.steps["ask"].output == Inline("It is 42.")
        return 0 if state.usage is None else state.usage.cost

    world.work(common)
    assert await run("u1") > 0
    assert await run("u2") == 0
    server.stop()
    assert await run("u3") > 0
    assert len(world.providers.asked) == 2
    assert looks == ["miss", "hit", "miss"]
