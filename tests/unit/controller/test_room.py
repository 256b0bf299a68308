"""Who gets a sandbox next when there is no room for all."""

import pytest

from citadel.controller.room import Limits, Room
from citadel.store.sandboxes import SandboxRow


def row(name: str, namespace: str = "team", at: float = 0.0, pod: str | None = None, **fields) -> SandboxRow:
    found = {"uid": "uid", "status": "wanted", "template": {}} | fields
    return SandboxRow(name=name, namespace=namespace, execution="run", placement="p",
                      wanted_at=at, pod_uid=pod, **found)  # fmt: skip


def room(cluster: int, namespace: int, *rows: SandboxRow) -> Room:
    found = Room(Limits(cluster, namespace))
    for item in rows:
        found.see(item.name, item)
        if item.pod_uid is None:
            found.wait(item)
    return found


def test_who_waits_longest_is_first() -> None:
    assert room(2, 2, row("c", at=3), row("a", at=1), row("b", at=2)).admitted({}) == ["a", "b"]


def test_a_namespace_with_two_hundred_waiting_does_not_starve_another() -> None:
    many = [row(f"m{number:03}", "many", at=number) for number in range(200)]
    found = room(10, 8, *many, row("single", "other", at=1000))
    assert found.admitted({})[1] == "single"
    assert len(found.admitted({})) == 9
    busy = room(
        3, 3, row("x", "many", pod="p"), row("y", "many", pod="p"), *many, row("single", "other", at=999)
    )
    assert busy.admitted({}) == ["single"]


def test_namespaces_take_turns() -> None:
    rows = [row(f"{name}{number}", name, at=number) for name in "abc" for number in range(5)]
    assert sorted(name[0] for name in room(6, 6, *rows).admitted({})) == ["a", "a", "b", "b", "c", "c"]


def test_a_namespace_at_its_limit_leaves_room_to_others() -> None:
    found = room(
        9, 2, row("m1", "many", pod="p"), row("m2", "many", pod="p"), row("m3", "many"), row("o", "other")
    )
    assert found.admitted({}) == ["o"]
    assert found.reason(row("m3", "many"), {}) == "2 sandboxes of namespace many are live, which is its limit"
    assert found.reason(row("o", "other"), {}) is None
    assert found.lacking({}) == 0


def test_members_of_pools_start_only_in_room_that_nobody_waits_for() -> None:
    member = row("cp", "", at=0, uid=None)
    assert room(1, 1, member, row("cx", at=9)).admitted({}) == ["cx"]
    assert room(2, 1, member, row("cx", at=9)).admitted({}) == ["cx", "cp"]


def test_what_members_of_pools_could_give_up_is_told() -> None:
    idle = row("cp", "", pod="p", uid=None, status="live")
    assert room(1, 1, idle, row("cx")).lacking({}) == 1
    assert room(2, 1, idle, row("cx")).lacking({}) == 0
    served = row("cx-0", pod="p", status="live")
    assert room(1, 1, served, row("cx")).lacking({}) == 0  # its own limit is in the way


@pytest.mark.parametrize(
    ("pods", "free"),
    [({}, 1), ({"a": True}, 1), ({"a": False}, 2), ({"a": True, "stray": True}, 0), ({"stray": False}, 1)],
)
def test_what_takes_room_is_rows_with_pods_and_pods_without_rows(pods: dict[str, bool], free: int) -> None:
    waiting = [row(f"w{number}") for number in range(5)]
    assert len(room(2, 9, row("a", pod="p"), *waiting).admitted(pods)) == free


def test_a_claimed_member_counts_for_the_namespace_that_it_serves() -> None:
    found = room(9, 1, row("cp", "", pod="p", uid=None, status="live"), row("cx"))
    assert found.admitted({}) == ["cx"]
    found.see("cp", row("cp", "team", pod="p", status="live"))
    assert found.admitted({}) == []


def test_what_is_gone_takes_no_room() -> None:
    found = room(1, 1, row("a", pod="p"), row("b"))
    assert found.admitted({}) == []
    found.see("a", row("a", pod="p", status="gone"))
    assert found.admitted({}) == ["b"]
    found.take(row("b"))
    assert found.queued == {}
    found.leave("b")
    assert found.live({}) == {}


def agent(name: str, around: int = 0, **fields) -> SandboxRow:
    return row(name, template={"agent": True, "agentsAround": around}, **fields)


@pytest.mark.parametrize(("cluster", "namespace", "agents"), [(20, 8, 4), (8, 20, 4), (2, 2, 1), (1, 1, 1)])
def test_agents_leave_room_for_what_they_call(cluster: int, namespace: int, agents: int) -> None:
    found = room(cluster, namespace, *(agent(f"a{number}", at=number) for number in range(9)))
    assert found.admitted({}) == [f"a{number}" for number in range(agents)]


def test_what_an_agent_calls_passes_agents_that_came_before_it() -> None:
    live = [agent(f"l{number}", pod="p") for number in range(4)]
    waiting = [agent("first", at=1), agent("inner", 1, at=2), row("tool", at=3), row("late", at=4)]
    found = room(99, 8, *live, *waiting)
    assert found.admitted({}) == ["inner", "tool", "late"]
    message = "4 sandboxes of namespace team are live, and the rest to 8 is for what agents call"
    assert found.reason(waiting[0], {}) == message
    assert found.reason(waiting[2], {}) is None
    full = room(5, 8, *live, agent("first", at=1), row("member", "", pod="p", uid=None))
    assert full.lacking({}) == 0, "no member of a pool is given up for who may not begin"
