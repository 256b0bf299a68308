"""Order among steps: cycles and who waits for whom."""

import pytest

from citadel.core.graph import dependents, find_cycle


@pytest.mark.parametrize(
    ("after", "cycle"),
    [
        pytest.param({}, None, id="nothing has no cycle"),
        pytest.param({"a": (), "b": ("a",), "c": ("a", "b")}, None, id="a triangle of order is no cycle"),
        pytest.param({"d": ("b", "c"), "b": ("a",), "c": ("a",), "a": ()}, None, id="a diamond is no cycle"),
        pytest.param({"a": ("a",)}, ("a", "a"), id="a step that waits for itself"),
        pytest.param({"a": ("b",), "b": ("a",)}, ("a", "b", "a"), id="two that wait for each other"),
        pytest.param(
            {"x": ("a",), "a": ("b",), "b": ("c",), "c": ("a",)},
            ("a", "b", "c", "a"),
            id="the way into a cycle is no part of it",
        ),
        pytest.param({"a": ("ghost",)}, None, id="names that do not exist are somebody else's problem"),
        pytest.param(
            {"a": (), "b": ("a", "c"), "c": ("a", "b")},
            ("b", "c", "b"),
            id="a cycle behind a good dependency",
        ),
    ],
)
def test_finds_a_cycle_and_names_the_way_round(
    after: dict[str, tuple[str, ...]], cycle: tuple[str, ...] | None
) -> None:
    assert find_cycle(after) == cycle


def test_a_chain_of_100000_steps_does_not_exhaust_the_stack() -> None:
    names = [f"s{number}" for number in range(100_000)]
    after = {name: (names[index + 1],) if index + 1 < len(names) else () for index, name in enumerate(names)}
    assert find_cycle(after) is None
    after[names[-1]] = (names[0],)
    assert len(find_cycle(after) or ()) == len(names) + 1


def test_dependents_are_the_reverse_of_order() -> None:
    after = {"a": (), "b": ("a",), "c": ("a", "b")}
    assert dependents(after) == {"a": ("b", "c"), "b": ("c",), "c": ()}
