"""What policies make of a destination, and where steps with and without destinations run."""

import pytest

from build import definition, python_step
from citadel.core.egress import EgressRules, judge, named
from citadel.core.placing import Placement
from citadel.core.plan import compile_definition

OPEN = EgressRules("open", ("*.example.com:443", "db.mine:5432"))


@pytest.mark.parametrize(
    ("policies", "host", "port", "reason"),
    [
        ([], "a.example.com", 443, "no ExecutionPolicy of namespace team allows egress"),
        (
            [EgressRules("images", None)],
            "a.example.com",
            443,
            "no ExecutionPolicy of namespace team allows egress",
        ),
        (
            [EgressRules("none", ())],
            "a.example.com",
            443,
            "ExecutionPolicy none does not allow a.example.com:443",
        ),
        ([OPEN], "a.example.com", 443, ""),
        ([OPEN], "a.example.com", 80, "ExecutionPolicy open does not allow a.example.com:80"),
        ([OPEN], "example.com", 443, "ExecutionPolicy open does not allow example.com:443"),
        ([OPEN, EgressRules("images", None)], "a.example.com", 443, ""),
        (
            [OPEN, EgressRules("tight", ("b.example.com:443",))],
            "a.example.com",
            443,
            "ExecutionPolicy tight does not allow a.example.com:443",
        ),
        (
            [OPEN, EgressRules("no", None, ("a.example.com:443",))],
            "a.example.com",
            443,
            "ExecutionPolicy no denies a.example.com:443",
        ),
        (
            [OPEN, EgressRules("no", None, ("a.example.com:443",))],
            "*.example.com",
            443,
            "ExecutionPolicy no denies *.example.com:443",
        ),
        ([OPEN, EgressRules("no", None, ("a.example.com:443",))], "b.example.com", 443, ""),
    ],
)
def test_every_policy_that_speaks_of_egress_must_allow_and_none_deny(
    policies: list[EgressRules], host: str, port: int, reason: str
) -> None:
    verdict = judge(policies, "team", host, port)
    assert (verdict.allowed, verdict.reason) == (not reason, reason)


@pytest.mark.parametrize(
    ("private", "expected"),
    [
        ([None], ()),
        ([("10.0.0.0/8:5432",)], ("10.0.0.0/8",)),
        ([("10.0.0.0/8:443",)], ()),
        ([None, ("10.0.0.0/8:5432", "fd00::/8:5432")], ("10.0.0.0/8", "fd00::/8")),
        ([("10.0.0.0/8:5432",), ("10.1.0.0/16:5432", "fd00::/8:5432")], ("10.1.0.0/16",)),
        ([("10.1.0.0/16:5432",), ("10.0.0.0/8:5432",)], ("10.1.0.0/16",)),
        ([("10.0.0.0/8:5432",), ()], ()),
    ],
)
def test_private_destinations_are_those_that_all_policies_share(
    private: list[tuple[str, ...] | None], expected: tuple[str, ...]
) -> None:
    policies = [EgressRules(f"p{n}", OPEN.allow, (), these) for n, these in enumerate(private)]
    assert judge(policies, "team", "db.mine", 5432).private == expected


def places(*steps: dict[str, object], runtime: list[str] | None = None) -> list[Placement]:
    document = definition(*steps)
    if runtime is not None:
        document["runtimes"]["python"]["network"] = {"egress": runtime}
    return list(compile_definition(document).placements.values())


def reaching(name: str, *egress: str, **fields: object) -> dict[str, object]:
    return python_step(name, network={"egress": list(egress)}, **fields)


def test_steps_share_a_sandbox_only_with_the_same_destinations_which_the_pod_does_not_show() -> None:
    none, one, same, other = places(
        python_step("a"),
        reaching("b", "x.y:1", "a.y:1"),
        reaching("c", "a.y:1", "x.y:1"),
        reaching("d", "a.y:1"),
    )
    assert len({none.key, one.key, other.key}) == 3
    assert one.key == same.key
    assert one.template == none.template
    assert (none.egress, one.egress) == ((), ("a.y:1", "x.y:1"))
    assert none.key == places(reaching("a"))[0].key


def test_an_exclusive_step_stays_exclusive() -> None:
    (found,) = places(reaching("a", "x.y:1", isolation="step"))
    assert found.key.endswith("/a")


def test_what_the_runtime_names_is_reached_too() -> None:
    own, inherited = places(reaching("a", "x.y:1"), python_step("b"), runtime=["z.y:1"])
    assert own.egress == ("x.y:1", "z.y:1")
    assert inherited.egress == ("z.y:1",)
    assert named(own.egress, "z.y", 1)
    assert not named(inherited.egress, "x.y", 1)
