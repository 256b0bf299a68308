"""Grants that are taken back from two sides at once, as when an Execution is deleted while its agents end."""

import asyncio
from typing import Any

from agents import agent, plan, run_agent
from citadel.controller.granting import Granting
from citadel.core.state import State


class SlowGrants:
    """Two grants of one execution; each is gone only after a while."""

    def __init__(self) -> None:
        self.removed: list[tuple[str, str, int]] = []

    async def keys(self) -> list[tuple[str, str, int]]:
        return [("u", "one", 1), ("u", "two", 1)]

    async def remove(self, uid: str, step: str, attempt: int) -> None:
        await asyncio.sleep(0)
        self.removed.append((uid, step, attempt))


async def test_an_execution_may_be_gone_while_its_grants_are_being_taken_back() -> None:
    grants: Any = SlowGrants()
    unused: Any = None
    granting = Granting(unused, grants, unused, unused, "citadel-system")
    obj = {"metadata": {"uid": "u", "namespace": "team"}}
    over = State(plan=plan(run_agent(), agents={"writer": agent()}))
    await asyncio.gather(granting.follow(obj, over), granting.gone("u"))
    assert set(grants.removed) == {("u", "one", 1), ("u", "two", 1)}
