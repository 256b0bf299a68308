"""Several gateways on one database: nothing is assigned twice, nothing is lost while it is away."""

import asyncio
import base64
import json
from collections import Counter
from typing import Any

from nacl.public import PrivateKey, SealedBox

from build import chain, definition, python_step
from citadel.core import events as ev
from component.gateway.conftest import Site
from component.gateway.runner import Runner
from component.postgres import PostgresServer

STEPS = 24


async def work(runner: Runner, other: Runner, given: Counter[tuple[str, int, str]]) -> None:
    """Takes attempts until there are no more, asking both gateways at once all the time."""
    while True:
        answers = await asyncio.gather(*(end.poll() for end in (runner, other, runner, other)))
        if any(answer.status == 410 for answer in answers):
            return
        steps = {(answer.step, answer.assignment["attempt"]) for answer in answers if answer.assignment}
        assert len(steps) <= 1, f"two attempts at a time: {steps}"
        for step, attempt in steps:
            assert step is not None
            given[step, attempt, runner.secret] += 1
            results = [end.succeed(step, b'"x"', attempt, "&next=false") for end in (runner, other)]
            recorded = [answer.body.get("recorded") for answer in await asyncio.gather(*results)]
            assert sorted(recorded) == [False, True]


async def test_many_pollers_at_two_gateways_never_share_an_attempt(site: Site) -> None:
    second = await site.gateway()
    steps = (python_step(f"s{number}", needs=[]) for number in range(STEPS))
    await site.start(definition(*steps, parallelism=6))
    await asyncio.sleep(0.35)  # attempts that have waited get sandboxes of their own
    await site.post()
    names = await site.create_pods()
    assert len(names) == 6
    given: Counter[tuple[str, int, str]] = Counter()
    ends = []
    for number, name in enumerate(names):
        runner = await site.runner(name, address=f"127.0.0.{10 + number}")
        # Not even the first attempt is taken from the answer: it comes again.
        await asyncio.gather(runner.register(), return_exceptions=True)
        ends.append((runner, await site.stack.enter_async_context(runner.at(second.url))))
    async with asyncio.timeout(30):
        await asyncio.gather(*(work(runner, other, given) for runner, other in ends))
    assert sorted(given.values()) == [1] * STEPS
    assert len({step for step, _, _ in given}) == STEPS
    assert len({secret for *_, secret in given}) > 1
    state = await site.state()
    assert state.finished is not None
    assert state.finished.phase == "Succeeded"


async def test_while_the_database_is_away_runners_are_told_so_and_go_on_afterwards(
    site: Site, postgres_server: PostgresServer
) -> None:
    runner = await site.registered(chain(2))
    postgres_server.stop()
    try:
        for request in (runner.poll(), runner.succeed("s0"), runner.log("s0", "x"), runner.beat()):
            assert (await request).refused == (503, "JournalUnavailable")
        assert (await runner.register()).refused == (503, "JournalUnavailable")
    finally:
        postgres_server.start()
    assert (await runner.log("s0", "x")).status == 200
    answer = await runner.succeed("s0")
    assert (answer.body["recorded"], answer.step) == (True, "s1")
    assert (await runner.succeed("s1")).body["recorded"] is True


async def test_a_gateway_that_starts_without_its_database_lets_nobody_down(
    site: Site, postgres_server: PostgresServer
) -> None:
    (sandbox,) = await site.start(chain(1))
    runner = await site.runner(sandbox)
    postgres_server.stop()
    try:
        assert (await runner.register()).status == 503
    finally:
        postgres_server.start()
    assert (await runner.register()).step == "s0"


async def test_a_session_is_good_at_every_gateway(site: Site) -> None:
    runner = await site.registered(chain(2))
    second = await site.gateway()
    async with runner.at(second.url) as elsewhere:
        assert (await elsewhere.poll()).step == "s0"
        assert (await elsewhere.log("s0", "x")).status == 200
        assert (await elsewhere.succeed("s0")).step == "s1"


def references(**retry: Any) -> dict[str, Any]:
    reference = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    step = python_step("s0", arguments={"password": reference, "n": 1}, **retry)
    return definition(step, python_step("s1"))


async def test_an_attempt_with_references_is_given_when_they_are_sealed(site: Site) -> None:
    key = PrivateKey.generate()
    (sandbox,) = await site.start(references())
    runner = await site.runner(sandbox, public_key=base64.b64encode(bytes(key.public_key)).decode())
    assert (await runner.register()).assignment is None
    poll = asyncio.create_task(runner.poll())
    done, _ = await asyncio.wait((poll,), timeout=0.15)
    assert not done
    assert (await site.state()).steps["s0"].delivered_at is None
    box = base64.b64encode(SealedBox(key.public_key).encrypt(json.dumps("sesame").encode())).decode()
    await site.database.sandboxes.delivery(sandbox, {"password": {"box": box, "secret": True}})
    told = (await poll).assignment
    assert told["input"] == {"n": 1}
    sealed = told["sealed"]["password"]
    assert sealed["secret"] is True
    assert json.loads(SealedBox(key).decrypt(base64.b64decode(sealed["box"]))) == "sesame"
    assert (await site.state()).steps["s0"].delivered_at is not None
    assert (await runner.poll()).assignment == told
    assert (await runner.succeed("s0")).step == "s1"
    assert await site.database.sandboxes.delivery(sandbox) is None


async def test_a_cancelled_delivery_is_not_handed_out(site: Site) -> None:
    (sandbox,) = await site.start(references())
    runner = await site.runner(sandbox)
    await runner.register()
    await site.post(ev.StopRequested("Terminate", "Terminated", "enough"))
    assert (await runner.poll()).refused == (410, "NotWanted")
