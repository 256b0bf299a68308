"""Registration: the one exchange of a sandbox's key for a session."""

import asyncio
import base64
from typing import Any

import pytest

from build import chain, created
from citadel.gateway.service import LIMITS
from component.gateway.conftest import Site


async def test_a_recorded_pod_registers_and_gets_its_first_attempt(site: Site) -> None:
    (sandbox,) = await site.start(chain(1))
    runner = await site.runner(sandbox)
    answer = await runner.register()
    assert answer.status == 200
    assert (answer.body["sandbox"], answer.body["limits"]) == (sandbox, LIMITS)
    assert answer.assignment == {
        "step": "s0",
        "attempt": 1,
        "action": "run",
        "language": "python",
        "code": "def main(**args): return args",
        "exclusive": False,
        "env": [],
        "egress": [],
        "timeoutSeconds": None,
        "input": {},
        "sealed": {},
    }
    assert answer.body["member"] is False
    row = await site.database.sandboxes.get(sandbox)
    assert row is not None
    assert (row.status, row.public_key) == ("live", runner.public_key)
    assert row.session_hash not in (None, runner.secret)


async def test_a_pod_that_is_not_recorded_yet_is_asked_to_come_again(site: Site) -> None:
    definition = chain(1)
    advance = await site.database.journal.advance(
        "uid-1", [created("uid-1", definition)], definition=definition
    )
    (sandbox,) = advance.state.sandboxes
    runner = await site.runner(sandbox)
    for _ in range(30):  # more than once, as fast as it likes
        assert (await runner.register()).refused == (425, "NotRecorded")
    await site.create_pods()
    assert (await runner.register()).step == "s0"


async def test_a_runner_whose_answer_was_lost_gets_the_same_session_and_attempt(site: Site) -> None:
    (sandbox,) = await site.start(chain(1))
    runner = await site.runner(sandbox)
    first = await runner.register()
    second = await runner.register()
    assert second.body == first.body
    other = await site.gateway()
    async with runner.at(other.url) as elsewhere:
        assert (await elsewhere.register()).body == first.body
        assert (await elsewhere.poll()).step == "s0"
    assert (await runner.poll()).step == "s0"


async def test_a_key_is_good_for_one_public_key(site: Site) -> None:
    (sandbox,) = await site.start(chain(1))
    runner = await site.runner(sandbox)
    await runner.register()
    thief = await site.runner(sandbox, public_key=base64.b64encode(b"t" * 32).decode())
    assert (await thief.register()).refused == (401, "Registered")
    assert (await runner.poll()).step == "s0"


async def test_the_key_of_another_sandbox_opens_nothing(site: Site) -> None:
    (sandbox,) = await site.start(chain(1))
    (other,) = await site.start(chain(1), "uid-2")
    runner = await site.runner(sandbox, key=f"key of {other}")
    assert (await runner.register()).refused == (401, "InvalidKey")
    row = await site.database.sandboxes.get(sandbox)
    assert row is not None
    assert row.status == "wanted"


async def test_a_pod_without_a_row_is_not_wanted(site: Site) -> None:
    runner = await site.runner("cx-nobody-0")
    assert (await runner.register()).refused == (410, "NotWanted")


@pytest.mark.parametrize("status", ["draining", "gone"])
async def test_a_sandbox_that_shall_end_is_not_wanted(site: Site, status: str) -> None:
    (sandbox,) = await site.start(chain(1))
    await site.database.sandboxes.observe(sandbox, status=status)
    runner = await site.runner(sandbox)
    assert (await runner.register()).refused == (410, "NotWanted")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"protocol": 2}, 400, id="another version"),
        pytest.param({"protocol": "x" * 10_000}, 400, id="an odd version"),
        pytest.param({"publicKey": ""}, 400, id="no public key"),
        pytest.param({"publicKey": "\0" * 44}, 400, id="a public key of NULs"),
        pytest.param({"publicKey": ["x"]}, 400, id="a list for a public key"),
        pytest.param({"key": "no such key"}, 401, id="another key"),
        pytest.param({"key": ""}, 401, id="no key"),
        pytest.param({"key": "\ud800"}, 401, id="a lone surrogate"),
        pytest.param({"key": {"a": 1}}, 400, id="an object for a key"),
        pytest.param({"sandbox": "../x"}, 400, id="a path for a name"),
        pytest.param({"sandbox": None}, 400, id="no name"),
    ],
)
async def test_a_registration_that_is_not_one_is_refused(
    site: Site, body: dict[str, Any], status: int
) -> None:
    (sandbox,) = await site.start(chain(1))
    runner = await site.runner(sandbox)
    assert (await runner.register(**body)).status == status
    assert (await runner.register()).step == "s0"


async def test_pods_that_come_all_at_once_to_a_new_gateway_are_all_let_in(site: Site) -> None:
    runners = []
    for number in range(6):
        (sandbox,) = await site.start(chain(1), f"uid-{number}")
        runners.append(await site.runner(sandbox))
    answers = await asyncio.gather(*(runner.register() for runner in runners))
    assert [answer.step for answer in answers] == ["s0"] * 6


async def test_who_registers_too_often_is_made_to_wait_and_nobody_else(site: Site) -> None:
    (sandbox,) = await site.start(chain(1))
    stranger = await site.runner("cx-nobody-0", address="127.0.0.2")
    statuses = {(await stranger.register()).status for _ in range(120)}
    assert statuses == {410, 429}
    runner = await site.runner(sandbox)
    assert (await runner.register()).step == "s0"
