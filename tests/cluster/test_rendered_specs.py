"""Generated specs, with anything in every field, as pods before the API server's own admission.

The sandbox namespace enforces `restricted`; a dry run goes through all of admission and stores nothing.
`make proofs` has three thousand.
"""

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import oracle
import proofs
from citadel.controller.checking import Unusable
from citadel.kube.client import KubeClient
from citadel.kube.errors import ApiError
from citadel.kube.resources import PODS, Object
from live import SANDBOXES
from specs import SITE, Submission, is_shared, pods, submissions

SPECS = proofs.of(600, 3000)
AT_ONCE = 16


def generate() -> tuple[dict[str, Submission], int]:
    """Pods as JSON, each with the submission that it is of; and how many specs came to one."""
    found: dict[str, Submission] = {}
    rendered = 0

    @settings(
        max_examples=SPECS * 3,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(submissions(diverse=True))
    def draw(submission: Submission) -> None:
        nonlocal rendered
        if rendered >= SPECS:
            return
        try:
            made = pods(submission)
        except Unusable:
            return
        rendered += 1
        found.update({json.dumps(pod, sort_keys=True): submission for pod in made})

    draw()
    return found, rendered


@pytest.mark.timeout(600)
async def test_no_generated_spec_comes_to_a_pod_outside_of_restricted_or_of_the_policies(
    kube: KubeClient,
) -> None:
    found, rendered = await asyncio.to_thread(generate)
    assert rendered >= SPECS
    turns = asyncio.Semaphore(AT_ONCE)
    answers: Counter[str] = Counter()
    outside: list[tuple[str, Submission]] = []

    async def submit(text: str) -> None:
        pod: Object = json.loads(text)
        async with turns:
            try:
                made = await kube.create(PODS, pod, dry_run=True)
            except ApiError as error:
                answers[error.reason] += 1
                if "PodSecurity" in error.message:
                    outside.append((error.message, found[text]))
                return
        answers["accepted"] += 1
        assert made["metadata"]["labels"] == oracle.LABELS
        assert made["metadata"]["annotations"].keys() == oracle.ANNOTATIONS
        assert made["spec"]["serviceAccountName"] == "sandbox"

    await asyncio.gather(*(submit(text) for text in found))
    assert outside == []
    for text, submission in found.items():
        pod = json.loads(text)
        shared = is_shared(pod, submission)
        said = oracle.problems(pod, submission.policies, SITE.runner_image, shared=shared)
        assert said == [], submission
    # What the API server refuses for other reasons, such as a class that there is not, proves less.
    assert answers["accepted"] > SPECS / 3, answers
    print(f"{rendered} specs, {len(found)} different pods, {dict(answers)}")


async def test_the_admission_that_is_asked_refuses_what_is_more_than_a_sandbox(kube: KubeClient) -> None:
    submission = Submission(
        {"steps": [{"name": "a", "run": {"runtime": "own", "code": "x"}}]}, {"image": "alpine"}, False, ()
    )
    (pod,) = await asyncio.to_thread(pods, submission)
    await kube.create(PODS, pod, dry_run=True)
    assert pod["metadata"]["namespace"] == SANDBOXES
    for change in ({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, {"securityContext": {}}):
        with pytest.raises(ApiError, match="PodSecurity"):
            await kube.create(PODS, {**pod, "spec": {**pod["spec"], **change}}, dry_run=True)
