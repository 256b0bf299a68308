"""What warm pools shall hold, and when a member may start."""

from dataclasses import replace

import pytest

from citadel.controller.pools import (
    HOLD,
    PATIENCE,
    WINDOW,
    Decision,
    Observed,
    Pool,
    backoff,
    decide_pools,
    desired,
)
from citadel.store.sandboxes import Demand, SandboxRow

NOW = 10_000.0


def pool(least: int = 0, most: int = 10, scope: str = "", key: str = "k", runtime: str = "python") -> Pool:
    return Pool(scope or "citadel-system", runtime, scope, key, {"image": "i"}, least, most, idle_ttl=60.0)


def member(name: str, of: Pool, status: str = "live", at: float = 0.0) -> SandboxRow:
    return SandboxRow(name, None, of.scope, of.runtime, of.key, {}, status, at, pool=of.key)


def used(name: str, status: str = "live", claimed_at: float | None = None) -> SandboxRow:
    return SandboxRow(name, "uid", "team", "run", "k", {}, status, NOW, pool="k", claimed_at=claimed_at)


def asked(number: int, ago: float = 0.0, namespace: str = "team", key: str = "k", missed: int = 0) -> Demand:
    return Demand(key, namespace, number, missed, int((NOW - ago) // WINDOW))


def decide(pools: list[Pool], *rows: SandboxRow, demand: tuple[Demand, ...] = (), **fields) -> Decision:
    return decide_pools(Observed(pools, rows, demand, **{"nodes": 1, "now": NOW, **fields}))


@pytest.mark.parametrize(
    ("sentence", "least", "most", "demand", "expected"),
    [
        ("without demand it is as small as it may be", 2, 10, [], 2),
        ("with min 0 and without demand it is empty", 0, 10, [], 0),
        ("what was claimed and what was missed count alike", 0, 10, [asked(2, missed=3)], 5),
        ("the busiest window counts, not the sum", 0, 10, [asked(2), asked(4, ago=2 * WINDOW)], 4),
        ("namespaces of one window add up", 0, 10, [asked(2), asked(3, namespace="other")], 5),
        ("it is never larger than it may be", 0, 4, [asked(50)], 4),
        ("demand of another template does not count", 0, 4, [asked(3, key="old")], 0),
        ("demand is forgotten after idleTTL", 1, 9, [asked(5, ago=60 + 2 * WINDOW)], 1),
    ],
)
def test_how_many_members_a_pool_shall_have(sentence, least, most, demand, expected) -> None:
    assert desired(pool(least, most), demand, NOW) == expected, sentence


def test_a_pool_of_one_namespace_follows_the_demand_of_that_namespace_alone() -> None:
    mine = pool(scope="team")
    assert desired(mine, [asked(2), asked(7, namespace="other")], NOW) == 2


def test_one_member_is_started_at_a_time_on_each_node() -> None:
    three = pool(3)
    assert decide([three]).start is three
    assert decide([three], member("a", three, "wanted")).start is None
    assert decide([three], member("a", three, "wanted"), nodes=2).start is three
    assert decide([three], member("a", three)).start is three
    assert decide([three], *(member(name, three) for name in "abc")).start is None


def test_the_emptiest_pool_comes_first() -> None:
    full, empty = pool(4), pool(2, key="other", runtime="javascript")
    assert decide([full, empty], *(member(name, full) for name in "abc")).start is empty


def test_none_is_started_beside_a_claim_being_served() -> None:
    one = pool(1)
    assert decide([one], used("cp", claimed_at=NOW - HOLD / 2)).start is None
    assert decide([one], used("cp", claimed_at=NOW - HOLD)).start is one


def test_claims_without_end_do_not_hold_a_pool_empty_for_ever() -> None:
    one, claimed = pool(1), used("cp", claimed_at=NOW - HOLD / 2)
    assert decide([one], claimed, lacking_since=NOW - PATIENCE).start is None
    assert decide([one], claimed, lacking_since=NOW - PATIENCE - 1).start is one


def test_none_is_started_while_an_execution_waits_for_a_sandbox() -> None:
    one = pool(1)
    assert decide([one], used("cx", "wanted")).start is None
    assert decide([one], used("cx", "wanted"), lacking_since=NOW - PATIENCE).start is None


def test_one_that_cannot_start_does_not_keep_the_pools_of_others_empty() -> None:
    one = pool(1)
    assert decide([one], used("cx", "wanted"), lacking_since=NOW - PATIENCE - 1).start is one


def test_members_of_an_old_revision_and_of_runtimes_that_are_gone_end() -> None:
    one = pool(1)
    old, other = replace(member("old", one), pool="before"), member("other", pool(1, runtime="gone"))
    assert set(decide([one], old, other, member("mine", one)).retire) == {"old", "other"}
    assert decide([], member("mine", one), used("served")).retire == ("mine",)


def test_a_pool_that_may_be_smaller_lets_the_youngest_go() -> None:
    rows = [
        member("old", pool()),
        member("new", pool(), at=9.0),
        member("starting", pool(), "wanted", at=10.0),
    ]
    assert decide([pool(2)], *rows).retire == ("starting",)
    assert decide([pool(1)], *rows).retire == ("starting", "new")
    assert set(decide([pool(0)], *rows).retire) == {"old", "new", "starting"}


def test_members_that_end_already_are_left_alone() -> None:
    one = pool(1)
    found = decide([one], member("a", one, "draining"))
    assert (found.retire, found.start) == ((), one)


def test_what_cannot_start_is_tried_later_and_does_not_keep_others_from_starting() -> None:
    broken, fine = pool(1), pool(1, key="other", runtime="javascript")
    seen = {("citadel-system", "python"): NOW + 5}
    assert decide([broken, fine], not_before=seen).start is fine
    assert decide([broken], not_before=seen).start is None
    assert decide([broken], not_before=seen, now=NOW + 5).start is broken
    assert [backoff(number) for number in (1, 2, 3, 100)] == [5.0, 10.0, 20.0, 300.0]


def test_sizes_are_told_of_every_pool() -> None:
    three = pool(3)
    found = decide([three], member("a", three), member("b", three, "wanted"), used("served"))
    size = found.sizes[three]
    assert (size.ready, size.starting, size.wanted) == (1, 1, 3)
    assert found.lacking
