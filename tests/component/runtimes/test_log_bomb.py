"""A step that prints without end: its log is cut at the limit, and where the limit is higher it is not."""

import pytest

from component.runtimes.conftest import Site
from component.runtimes.gateway import LIMITS

PRINTED = 12 << 20
BOMB = f"def main():\n    for _ in range({PRINTED // 1024}):\n        print('x' * 1023)\n    return 1"


async def size_of_the_log(site: Site) -> int:
    await site.language("python")
    assert (await site.gateway.run("a", code=BOMB)).output == 1
    return len(await site.gateway.log("a"))


async def test_a_log_bomb_is_cut_at_the_limit(site: Site) -> None:
    assert await size_of_the_log(site) <= LIMITS["attemptLogBytes"] < PRINTED


async def test_where_the_limit_is_higher_it_is_not_cut(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "attemptLogBytes", 2 * PRINTED)
    assert await size_of_the_log(site) == PRINTED
