"""Whatever is written into Workflow, Runtime and ExecutionPolicy, no pod is more than it may be."""

import contextlib
from typing import Any

from hypothesis import HealthCheck, given, settings

import oracle
from citadel.controller.checking import Unusable
from specs import SITE, Submission, is_shared, pods, submissions

# A whole workflow is a large input, however small its parts.
each_submission = settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
        HealthCheck.data_too_large,
    ],
)


@each_submission
@given(submissions())
def test_no_spec_comes_to_a_pod_that_is_more_than_a_sandbox_or_beyond_a_policy(found: Submission) -> None:
    made = []
    with contextlib.suppress(Unusable):
        made = pods(found)
    for pod in made:
        shared = is_shared(pod, found)
        assert oracle.problems(pod, found.policies, SITE.runner_image, shared=shared) == []


def test_the_oracle_sees_what_it_is_there_for() -> None:
    plain = Submission(
        {"steps": [{"name": "a", "run": {"runtime": "own", "code": "x"}}]}, {"image": "alpine:3"}, False, ()
    )
    (pod,) = pods(plain)
    policies: list[dict[str, Any]] = [
        {"images": {"allow": ["registry.example/"]}},
        {"images": {"deny": ["docker.io/library/alpine"]}},
        {"runtimeClass": {"name": "gvisor"}},
        {"limits": {"memory": "255Mi"}},
        {"limits": {"cpu": "999m"}},
    ]
    assert oracle.problems(pod, [], SITE.runner_image, shared=False) == []
    for policy in policies:
        assert len(oracle.problems(pod, [policy], SITE.runner_image, shared=False)) == 1, policy
    taint = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    for wanted, listed in (
        ({"imagePullSecrets": [{"name": "a"}]}, {"imagePullSecrets": ["a"]}),
        ({"priorityClassName": "a"}, {"priorityClassNames": ["a"]}),
        ({"nodeSelector": {"a": "b"}}, {"nodeSelector": {"a": ["b"]}}),
        ({"tolerations": [taint]}, {"tolerations": [{"key": "gpu", "operator": "Exists"}]}),
    ):
        wants = {**pod, "spec": {**pod["spec"], **wanted}}
        for policies, expected in (([], 1), ([listed], 0), ([listed, {key: {} for key in listed}], 1)):
            assert len(oracle.problems(wants, policies, SITE.runner_image, shared=False)) == expected
            assert oracle.problems(wants, policies, SITE.runner_image, shared=True) == []
    narrow = [
        {"tolerations": [{**taint, "effect": "NoExecute"}]},
        {"tolerations": [{"key": "g", "value": ""}]},
    ]
    for policy in narrow:
        assert list(oracle.ungranted({"spec": {"tolerations": [taint]}}, [policy]))
    changes: list[dict[str, Any]] = [
        {"hostNetwork": True},
        {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]},
        {"volumes": [{"name": "big", "emptyDir": {}}]},
        {"serviceAccountName": "other"},
        {"automountServiceAccountToken": True},
        {"securityContext": {}},
    ]
    for change in changes:
        assert oracle.problems(
            {**pod, "spec": {**pod["spec"], **change}}, [], SITE.runner_image, shared=False
        )
    roomy = {"image": "alpine:3", "runtimeClassName": "gvisor", "scratch": "1Gi"}
    (pod,) = pods(Submission(plain.workflow, roomy, False, ()))
    assert oracle.problems(pod, [], SITE.runner_image, shared=False) == []
    assert (
        len(oracle.problems(pod, [{"limits": {"scratch": "1023Mi"}}], SITE.runner_image, shared=False)) == 1
    )
    without = {field: value for field, value in pod["spec"].items() if field != "runtimeClassName"}
    assert oracle.problems({**pod, "spec": without}, [], SITE.runner_image, shared=False)
    labels = {**pod["metadata"], "labels": {**pod["metadata"]["labels"], "x": "y"}}
    assert oracle.problems({**pod, "metadata": labels}, [], SITE.runner_image, shared=False)
