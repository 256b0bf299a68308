"""What is the cluster's and a namespace's Runtime wants: granted by what policies list, else by nobody."""

from collections.abc import Mapping
from typing import Any

import pytest

from citadel.api.runtime import RuntimeSpec, Toleration
from citadel.core.grants import tolerates
from citadel.core.policy import Policy, read_policy, runtime_denial


def policies(*specs: Mapping[str, Any]) -> tuple[Policy, ...]:
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "ExecutionPolicy"}
    found = tuple(
        read_policy({**kind, "metadata": {"name": f"p{number}"}, "spec": spec})
        for number, spec in enumerate(specs)
    )
    assert [policy.broken for policy in found] == [""] * len(specs)
    return found


def said(specs: list[Mapping[str, Any]], *, shared: bool = False, **runtime: Any) -> str | None:
    spec = RuntimeSpec.model_validate({"image": "app:1", **runtime})
    denial = runtime_denial(policies(*specs), spec, shared=shared)
    return None if denial is None else f"{denial.policy} {denial.rule}".strip()


SECRETS = {"imagePullSecrets": [{"name": "team"}]}
NODES = {"nodeSelector": {"pool": "team", "disk": "ssd"}}
TAINTS = {"tolerations": [{"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"}]}
PRIORITY = {"priorityClassName": "batch"}
OTHER = {"images": {"deny": ["other.example/"]}}


@pytest.mark.parametrize("wanted", [SECRETS, NODES, TAINTS, PRIORITY])
@pytest.mark.parametrize("specs", [[], [OTHER], [OTHER, OTHER]])
def test_without_a_policy_that_speaks_of_it_nothing_is_granted(
    wanted: dict[str, Any], specs: list[Mapping[str, Any]]
) -> None:
    rule = {"priorityClassName": "priorityClassNames"}.get(field := next(iter(wanted)), field)
    assert said(specs, **wanted) == f"spec.{rule}"
    assert said(specs, shared=True, **wanted) is None
    assert said(specs) is None


@pytest.mark.parametrize(
    ("specs", "wanted", "refused"),
    [
        ([{"imagePullSecrets": ["other", "team"]}], SECRETS, None),
        ([{"imagePullSecrets": ["other"]}], SECRETS, "p0 spec.imagePullSecrets"),
        ([{"imagePullSecrets": []}], SECRETS, "p0 spec.imagePullSecrets"),
        ([{"imagePullSecrets": ["team"]}, OTHER], SECRETS, None),
        ([{"imagePullSecrets": ["team"]}, {"imagePullSecrets": ["o"]}], SECRETS, "p1 spec.imagePullSecrets"),
        ([{"nodeSelector": {"pool": ["team"], "disk": ["hdd", "ssd"]}}], NODES, None),
        ([{"nodeSelector": {"pool": ["team"]}}], NODES, "p0 spec.nodeSelector"),
        ([{"nodeSelector": {"pool": ["team"], "disk": ["hdd"]}}], NODES, "p0 spec.nodeSelector"),
        ([{"tolerations": [{"key": "team", "operator": "Exists"}]}], TAINTS, None),
        ([{"tolerations": [{"key": "other", "operator": "Exists"}]}], TAINTS, "p0 spec.tolerations"),
        ([{"priorityClassNames": ["batch"]}], PRIORITY, None),
        ([{"priorityClassNames": ["low"]}], PRIORITY, "p0 spec.priorityClassNames"),
        ([{"imagePullSecrets": ["team"]}], {**SECRETS, **PRIORITY}, "spec.priorityClassNames"),
    ],
)
def test_every_policy_that_speaks_of_it_must_list_it(
    specs: list[Mapping[str, Any]], wanted: dict[str, Any], refused: str | None
) -> None:
    assert said(specs, **wanted) == refused


EVERYTHING = {"operator": "Exists"}
KEY = {"key": "gpu", "operator": "Exists"}
VALUE = {"key": "gpu", "operator": "Equal", "value": "a"}
OTHER_VALUE = {"key": "gpu", "operator": "Equal", "value": "b"}
OTHER_KEY = {"key": "team", "operator": "Exists"}
EFFECT = {"effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("listed", "wanted", "covered"),
    [
        (EVERYTHING, EVERYTHING, True),
        (EVERYTHING, VALUE, True),
        (EVERYTHING | EFFECT, VALUE | EFFECT, True),
        (EVERYTHING | EFFECT, VALUE, False),
        (KEY, VALUE, True),
        (KEY, KEY | EFFECT, True),
        (KEY, OTHER_KEY, False),
        (KEY, EVERYTHING, False),
        (KEY | EFFECT, KEY, False),
        (KEY | EFFECT, KEY | {"effect": "NoExecute"}, False),
        (VALUE, VALUE, True),
        (VALUE, OTHER_VALUE, False),
        (VALUE, KEY, False),
        ({"key": "gpu"}, {"key": "gpu", "value": ""}, True),
    ],
)
def test_a_toleration_is_covered_by_one_that_is_no_narrower(
    listed: dict[str, str], wanted: dict[str, str], covered: bool
) -> None:
    assert tolerates(Toleration.model_validate(listed), Toleration.model_validate(wanted)) is covered


def test_a_denial_tells_what_was_wanted_and_what_is_listed() -> None:
    spec = RuntimeSpec.model_validate({"image": "app:1", **TAINTS})
    denial = runtime_denial((), spec, shared=False)
    assert denial is not None
    assert denial.text == (
        'tolerations: found "team=a:NoSchedule", but no ExecutionPolicy of the namespace has '
        "spec.tolerations that lists it"
    )
    denial = runtime_denial(policies({"tolerations": [KEY, OTHER_VALUE | EFFECT]}), spec, shared=False)
    assert denial is not None
    assert denial.text == (
        'tolerations: found "team=a:NoSchedule", expected one of gpu, gpu=b:NoSchedule '
        "(ExecutionPolicy p0, spec.tolerations)"
    )
