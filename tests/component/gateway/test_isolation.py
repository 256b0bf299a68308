"""What sandboxes find of the network around them, and work that waits for the proof."""

import asyncio
from typing import Any

import pytest

from build import chain, definition, python_step
from citadel.store.sandboxes import SandboxRow
from component.gateway.conftest import Site

GUARDED = definition(python_step("a"), isolation={"required": True})


async def row(site: Site, name: str) -> SandboxRow:
    found = await site.database.sandboxes.get(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("report", "isolated", "answered"),
    [
        ({"permitted": True, "answered": []}, True, ""),
        ({"permitted": False, "answered": []}, None, ""),
        ({"permitted": True, "answered": ["kubelet", "apiserver"]}, False, "apiserver,kubelet"),
        ({"permitted": False, "answered": ["kubelet"]}, False, "kubelet"),
    ],
)
async def test_a_report_is_kept_with_the_sandbox(
    site: Site, report: Any, isolated: bool | None, answered: str
) -> None:
    runner = await site.registered(chain(1))
    assert (await runner.post("/v1/isolation", report)).body == {}
    found = await row(site, runner.sandbox)
    assert (found.isolated, found.answered) == (isolated, answered)


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"permitted": "yes", "answered": []},
        {"permitted": True, "answered": "kubelet"},
        {"permitted": True, "answered": ["\x1b[2J"]},
        {"permitted": True, "answered": [["kubelet"]]},
    ],
)
async def test_a_report_that_is_none_is_refused(site: Site, report: Any) -> None:
    runner = await site.registered(chain(1))
    assert (await runner.post("/v1/isolation", report)).refused == (400, "BadRequest")
    assert (await row(site, runner.sandbox)).answered is None


async def test_a_report_needs_a_session(site: Site) -> None:
    runner = await site.registered(chain(1))
    runner.secret += "x"
    answer = await runner.post("/v1/isolation", {"permitted": True, "answered": []})
    assert answer.refused == (401, "InvalidSession")


async def test_work_waits_for_the_proof_where_the_workflow_requires_it(site: Site) -> None:
    (sandbox,) = await site.start(GUARDED)
    runner = await site.runner(sandbox)
    assert (await runner.register()).assignment is None
    polled = asyncio.create_task(runner.poll())
    await runner.post("/v1/isolation", {"permitted": False, "answered": []})
    await runner.post("/v1/isolation", {"permitted": True, "answered": []})
    async with asyncio.timeout(15):
        assert (await polled).step == "a"


async def test_work_waits_for_the_proof_where_a_policy_requires_it(site: Site) -> None:
    policy = {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "ExecutionPolicy",
        "metadata": {"name": "strict"},
        "spec": {"isolation": {"required": True}},
    }
    await site.database.policies.put("team", [policy])
    (sandbox,) = await site.start(chain(2))
    runner = await site.runner(sandbox)
    assert (await runner.register()).assignment is None
    # Another gateway hears of it: the row tells this one.
    other = runner.at((await site.gateway()).url)
    async with other:
        await other.post("/v1/isolation", {"permitted": True, "answered": []})
    async with asyncio.timeout(15):
        assert (await runner.poll()).step == "s0"
    assert (await runner.succeed("s0")).step == "s1"


async def test_a_sandbox_that_something_answered_gets_no_work(site: Site) -> None:
    (sandbox,) = await site.start(GUARDED)
    runner = await site.runner(sandbox)
    await runner.register()
    polled = asyncio.create_task(runner.poll())
    await runner.post("/v1/isolation", {"permitted": True, "answered": ["apiserver"]})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(polled, 1.5)
    assert (await site.state()).steps["a"].sandbox is None
