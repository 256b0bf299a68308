"""ExecutionPolicies: whom they hold for, what they refuse, and how several of them go together."""

from collections.abc import Mapping
from typing import Any

import pytest

from citadel.core.policy import (
    Policy,
    applying,
    is_below,
    isolation_required,
    read_policy,
    runtime_class,
    sandbox_denial,
    smallest_limits,
    timeout_denial,
    with_class,
)

TEMPLATE: Mapping[str, Any] = {
    "image": "host.example/team/app:1",
    "resources": {"limits": {"cpu": "1", "memory": "256Mi"}},
}


def obj(name: str = "strict", **spec: Any) -> dict[str, Any]:
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "ExecutionPolicy"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


def policies(*specs: Mapping[str, Any]) -> tuple[Policy, ...]:
    found = tuple(read_policy(obj(f"p{number}", **spec)) for number, spec in enumerate(specs))
    assert [policy.broken for policy in found] == [""] * len(specs)
    return found


def holding(found: dict[str, Any], **labels: str) -> tuple[Policy, ...]:
    return applying([read_policy(found)], labels)


def said(specs: list[Mapping[str, Any]], **template: Any) -> str | None:
    denial = sandbox_denial(policies(*specs), {**TEMPLATE, **template})
    return None if denial is None else f"{denial.policy} {denial.rule.removeprefix('spec.')}"


@pytest.mark.parametrize(
    ("image", "prefix", "below"),
    [
        ("host.example/team/app:1", "host.example/team/", True),
        ("host.example/team/app:1", "host.example/team", True),
        ("host.example/team/app:1", "host.example/team/app", True),
        ("host.example/team/app:1", "host.example/team/app:1", True),
        ("host.example/team/app@sha256:00", "host.example/team/app", True),
        ("host.example/team/app:12", "host.example/team/app:1", False),
        ("host.example/team2/app", "host.example/team", False),
        ("host.example.evil/team/app", "host.example/team", False),
        ("HOST.example/team/app", "host.example/team/", True),
        ("host.example:443/team/app", "host.example/team/", True),
        ("host.example:444/team/app", "host.example/team/", False),
        ("alpine", "docker.io/", True),
        ("alpine:3", "docker.io/library/", True),
        ("alpine:3", "docker.io/alpine", True),
        ("index.docker.io/library/alpine", "docker.io/library/alpine", True),
        ("team/app", "docker.io/team", True),
        ("team/app", "docker.io/library/", False),
        ("localhost/app", "docker.io/", False),
        ("localhost/app", "localhost/", True),
        ("localhost:5000/app", "localhost/", False),
        ("Team/app", "docker.io/", False),
    ],
)
def test_an_image_is_below_a_prefix_by_its_full_reference(image: str, prefix: str, below: bool) -> None:
    assert is_below(image, prefix) is below


NOTHING: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("specs", "template", "refused"),
    [
        ([], {}, None),
        ([NOTHING], {}, None),
        ([{"images": {"allow": ["host.example/team/"]}}], {}, None),
        ([{"images": {"allow": []}}], {}, "p0 images.allow"),
        ([{"images": {"allow": ["other.example/"]}}], {}, "p0 images.allow"),
        ([{"images": {"allow": ["other.example/"]}}], {"shared": True}, None),
        ([{"images": {"allow": ["host.example/"], "deny": ["host.example/team/"]}}], {}, "p0 images.deny"),
        ([NOTHING, {"images": {"deny": ["host.example/"]}}], {}, "p1 images.deny"),
        (
            [{"images": {"allow": ["host.example/"]}}, {"images": {"allow": ["other.example/"]}}],
            {},
            "p1 images.allow",
        ),
        ([{"limits": {"cpu": "1", "memory": "256Mi"}}], {}, None),
        ([{"limits": {"cpu": "900m"}}], {}, "p0 limits.cpu"),
        ([{"limits": {"memory": "1Gi"}}, {"limits": {"memory": "200M"}}], {}, "p1 limits.memory"),
        ([{"limits": {"scratch": "1Gi"}}], {"scratch": "1Gi"}, None),
        ([{"limits": {"scratch": "1Gi"}}], {"scratch": "1025Mi"}, "p0 limits.scratch"),
        ([{"runtimeClass": {"name": "gvisor"}}], {"runtimeClassName": "gvisor"}, None),
        ([{"runtimeClass": {"name": "gvisor"}}], {}, "p0 runtimeClass.name"),
        ([{"runtimeClass": {"name": "gvisor"}}], {"runtimeClassName": "runc"}, "p0 runtimeClass.name"),
        ([{"runtimeClass": {"allowed": ["gvisor", "kata"]}}], {"runtimeClassName": "kata"}, None),
        ([{"runtimeClass": {"allowed": []}}], {"runtimeClassName": "kata"}, "p0 runtimeClass.allowed"),
        ([NOTHING], {"runtimeClassName": "kata"}, None),
        ([{"pools": {"max": 2}}], {"pool": {"max": 3}}, "p0 pools.max"),
        ([{"pools": {"max": 2}}], {"pool": {"max": 2}}, None),
    ],
)  # fmt: skip
def test_each_policy_must_permit(
    specs: list[Mapping[str, Any]], template: Mapping[str, Any], refused: str | None
) -> None:
    assert said(specs, **template) == refused


def test_a_denial_names_field_found_expected_policy_and_rule() -> None:
    denial = sandbox_denial(policies({"limits": {"cpu": "500m"}}), TEMPLATE)
    assert denial is not None
    assert (
        denial.text
        == "resources.limits.cpu: found 1, expected at most 500m (ExecutionPolicy p0, spec.limits.cpu)"
    )


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"team": "a"}}, True),
        ({"matchLabels": {"team": "b"}}, False),
        ({"matchLabels": {"team": "a", "stage": "prod"}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["prod"]}]}, True),
        ({"matchExpressions": [{"key": "stage", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "stage", "operator": "DoesNotExist"}]}, True),
        (
            {"matchLabels": {"team": "a"}, "matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]},
            False,
        ),
    ],
)
def test_a_policy_holds_for_the_namespaces_it_selects(selector: Any, selected: bool) -> None:
    assert bool(holding(obj(namespaceSelector=selector), team="a")) is selected


def test_a_broken_policy_stops_all_that_it_selects_and_nothing_else() -> None:
    broken = obj(namespaceSelector={"matchLabels": {"team": "a"}}, images={"alow": []})
    (found,) = holding(broken, team="a")
    denial = sandbox_denial([found], TEMPLATE)
    assert denial is not None
    assert "ExecutionPolicy strict" in denial.text
    assert "spec.images.alow: unknown field" in denial.text
    assert isolation_required([found])
    assert holding(broken, team="b") == ()


def test_a_policy_whose_selector_cannot_be_read_holds_everywhere() -> None:
    for selector in ("all", {"matchLabels": "x"}, {"matchExpressions": [{"key": "a", "operator": "In"}]}):
        (found,) = holding(obj(namespaceSelector=selector))
        assert found.broken
    (found,) = holding({"metadata": {"name": "empty"}})
    assert found.broken


def test_timeouts_are_bounded_by_the_shortest() -> None:
    both = policies({"limits": {"timeout": "1h"}}, {"limits": {"timeout": "30m"}}, NOTHING)
    assert smallest_limits(both) == {"timeout": "30m"}
    assert smallest_limits(policies(NOTHING)) == {}
    mixed = policies({"limits": {"cpu": "1", "memory": "1Gi"}}, {"limits": {"cpu": "900m", "memory": "2Gi"}})
    assert smallest_limits(mixed) == {"cpu": "900m", "memory": "1Gi"}
    assert timeout_denial(both, "30m") is None
    denial = timeout_denial(both, "31m")
    assert denial is not None
    assert (denial.policy, denial.message) == ("p1", "found 31m, expected at most 30m")


def test_the_runtime_class_of_a_policy_is_given_to_who_names_none() -> None:
    found = policies(NOTHING, {"runtimeClass": {"name": "gvisor"}}, {"runtimeClass": {"name": "kata"}})
    assert runtime_class(found) == "gvisor"
    assert with_class(TEMPLATE, found)["runtimeClassName"] == "gvisor"
    assert with_class({"runtimeClassName": "own"}, found) == {"runtimeClassName": "own"}
    # Two policies that give different classes permit neither.
    assert sandbox_denial(found, with_class(TEMPLATE, found)) is not None
