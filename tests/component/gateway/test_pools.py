"""Members of pools at the gateway: they register, wait, and learn at a claim whom they serve."""

import asyncio

from build import chain, created, definition, python_step
from citadel.core import events as ev
from citadel.core.hashing import hashed
from citadel.core.plan import compile_definition
from citadel.store.sandboxes import SandboxRow
from component.gateway.conftest import Site
from component.gateway.runner import Runner

SECRET = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}


async def member(site: Site, name: str = "cp-1", *, url: str | None = None) -> Runner:
    """A member of the pool that `chain` claims from, registered."""
    place = compile_definition(chain(1)).placements["s0"]
    assert place.pool is not None
    row = SandboxRow(name, None, "", "python", place.pool, place.template, "wanted", 0.0, pool=place.pool)
    await site.database.pools.add(row)
    known = {"pod_uid": f"pod-{name}", "key_hash": hashed(f"key of {name}"), "isolated": True, "answered": ""}
    await site.database.sandboxes.observe(name, **known)
    runner = await site.runner(name, **({} if url is None else {"url": url}))
    answer = await runner.register()
    assert (answer.status, answer.step) == (200, None)
    return runner


async def start(site: Site, steps: int = 1, uid: str = "uid-1") -> str:
    """A new execution; the sandbox that it gets."""
    facts = [created(uid, chain(steps))]
    advance = await site.database.journal.advance(uid, facts, definition=chain(steps))
    (sandbox,) = advance.state.sandboxes
    return sandbox


async def held(runner: Runner) -> "asyncio.Task[str | None]":
    """A poll that is under way, and has nothing to answer yet."""

    async def poll() -> str | None:
        return (await runner.poll()).step

    polling = asyncio.create_task(poll())
    done, _ = await asyncio.wait([polling], timeout=0.2)
    assert not done
    return polling


async def test_a_held_poll_is_answered_when_its_sandbox_is_claimed(site: Site) -> None:
    runner = await member(site)
    polling = await held(runner)
    assert await start(site, steps=2) == "cp-1"
    # Sooner than it would look by itself.
    assert await asyncio.wait_for(polling, 0.5) == "s0"
    state = await site.state()
    assert state.steps["s0"].delivered_at is not None
    assert (await runner.succeed("s0")).step == "s1"
    assert (await runner.log("s1", "hello", last=True)).status == 200
    assert (await runner.succeed("s1")).assignment is None
    assert (await runner.poll()).refused == (410, "NotWanted")


async def test_who_registers_is_told_to_be_a_member_until_it_is_claimed(site: Site) -> None:
    runner = await member(site)
    # Its answer was lost: it registers again, before and after the claim.
    assert (await runner.register()).body["member"] is True
    await start(site)
    answer = await runner.register()
    assert (answer.step, answer.body["member"]) == ("s0", False)
    other = await site.gateway()
    async with runner.at(other.url) as elsewhere:
        assert (await elsewhere.register()).body["member"] is False


async def test_any_gateway_serves_a_member_that_registered_and_polls_elsewhere(site: Site) -> None:
    runner = await member(site)
    other = await site.gateway()
    async with runner.at(other.url) as elsewhere:
        polling = await held(elsewhere)
        await start(site, steps=2)
        assert await asyncio.wait_for(polling, 0.5) == "s0"
    # This gateway has not heard of the claim by a poll of its own.
    assert (await runner.log("s0", "hello")).status == 200
    assert (await runner.succeed("s0")).step == "s1"


async def test_a_member_serves_nobody_before_it_is_claimed(site: Site) -> None:
    claimed = await member(site, "cp-1")
    idle = await member(site, "cp-2")
    assert await start(site) == "cp-1"
    assert (await idle.succeed("s0")).refused == (409, "Superseded")
    assert (await idle.log("s0", "forged")).refused == (409, "Superseded")
    assert (await claimed.poll()).step == "s0"


async def test_a_member_that_is_retired_ends(site: Site) -> None:
    runner = await member(site)
    polling = asyncio.create_task(runner.poll())
    beating = asyncio.create_task(runner.beat())
    await asyncio.sleep(0)
    assert await site.database.pools.retire("cp-1")
    assert (await asyncio.wait_for(polling, 2)).refused == (410, "NotWanted")
    answer = await asyncio.wait_for(beating, 2)
    assert answer.body == {"cancel": [], "drain": True}


async def test_an_idle_member_is_told_of_a_cancellation_of_what_it_was_claimed_for(site: Site) -> None:
    runner = await member(site)
    beating = asyncio.create_task(runner.beat())
    await start(site)
    assert (await runner.poll()).step == "s0"
    await site.post(ev.StopRequested("Cancel", "Cancelled", ""))
    answer = await asyncio.wait_for(beating, 2)
    assert answer.body["cancel"] == [{"step": "s0", "attempt": 1, "graceSeconds": 10}]


async def test_a_claim_whose_answer_was_lost_is_answered_again(site: Site) -> None:
    runner = await member(site)
    await start(site)
    assert (await runner.poll()).step == "s0"
    assert (await runner.poll()).step == "s0"
    assert (await runner.register()).step == "s0"


async def test_arguments_by_reference_are_sealed_before_a_claimed_sandbox_gets_them(site: Site) -> None:
    runner = await member(site)
    workflow = definition(python_step("s0", arguments={"password": SECRET}))
    await site.database.journal.advance("uid-1", [created("uid-1", workflow)], definition=workflow)
    polling = await held(runner)
    assert await site.database.sandboxes.delivery("cp-1", {"password": {"box": "c2VhbGVk", "secret": True}})
    assert await asyncio.wait_for(polling, 0.5) == "s0"
    assert (await site.state()).steps["s0"].delivered_at is not None
