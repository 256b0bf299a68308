"""What `citadel doctor` concludes from what it sees."""

from typing import Any, cast

import pytest

from citadel.cli import checks
from citadel.cli.checks import Finding, Mark
from citadel.cli.remote import Cluster, Target
from citadel.kube.client import KubeClient, ObjectList
from citadel.kube.errors import ApiError, Forbidden, NotFound
from citadel.kube.resources import Object, Resource

DENY = {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
ONE_POD = {"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "policyTypes": ["Ingress", "Egress"]}}
INGRESS = {"spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}


class Kube:
    """A cluster that says what it is told to; what it was not told, its user may not see."""

    def __init__(self, seen: dict[str, Any], rights: set[str] | None = None) -> None:
        self.seen, self.rights = seen, rights or set()

    def _see(self, what: str) -> Any:
        found = self.seen.get(what, Forbidden(403, "Forbidden", f"no right to {what}"))
        if isinstance(found, ApiError):
            raise found
        return found

    async def raw(self, path: str) -> Any:
        return self._see(path)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        return cast("Object", self._see(f"{resource.plural}/{name}"))

    async def list(self, resource: Resource, namespace: str | None = None) -> ObjectList:
        return ObjectList(self._see(resource.plural), "1")

    async def create(self, resource: Resource, body: Object) -> Object:
        if resource.plural == "selfsubjectreviews":
            return {"status": {"userInfo": {"username": "jane"}}}
        asked = body["spec"]["resourceAttributes"]
        below = f"/{asked['subresource']}" if "subresource" in asked else ""
        return {"status": {"allowed": f"{asked['verb']} {asked['resource']}{below}" in self.rights}}


def cluster(seen: dict[str, Any], rights: set[str] | None = None) -> Cluster:
    return Cluster(cast("KubeClient", Kube(seen, rights)), Target(), "team")


def marks(findings: list[Finding]) -> list[Mark]:
    return [finding.mark for finding in findings]


def groups(*names: str) -> Object:
    return {"groups": [{"name": name} for name in names]}


@pytest.mark.parametrize(
    ("network", "policies", "mark", "word"),
    [
        ("cilium.io", [INGRESS, DENY], Mark.GOOD, "True"),
        ("crd.projectcalico.org", [DENY], Mark.GOOD, "True"),
        ("apps", [DENY], Mark.UNKNOWN, "Unknown"),
        ("cilium.io", [], Mark.BAD, "False"),
        ("cilium.io", [ONE_POD, INGRESS], Mark.BAD, "False"),
        ("cilium.io", None, Mark.UNKNOWN, "Unknown"),
    ],
)
async def test_isolation_is_true_only_with_a_policy_and_a_network_known_to_obey(
    network: str, policies: list[Object] | None, mark: Mark, word: str
) -> None:
    seen = {"/apis": groups(network), **({} if policies is None else {"networkpolicies": policies})}
    (found,) = await checks.network(cluster(seen), "sandboxes")
    assert (found.mark, found.told.partition(":")[0]) == (mark, word)


def execution(name: str, created: str, isolated: str, message: str) -> Object:
    condition = {"type": "NetworkIsolated", "status": isolated, "message": message}
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "status": {"conditions": [condition]},
    }


@pytest.mark.parametrize(("isolated", "mark"), [("True", Mark.GOOD), ("False", Mark.BAD)])
async def test_what_sandboxes_have_proven_counts_more_than_what_can_be_guessed(
    isolated: str, mark: Mark
) -> None:
    other = "False" if isolated == "True" else "True"
    executions = [
        execution("old", "2026-01-01T00:00:00Z", other, "was otherwise"),
        execution("new", "2026-01-02T00:00:00Z", isolated, "as they found"),
        execution("newest", "2026-01-03T00:00:00Z", "Unknown", "no sandbox yet"),
    ]
    (found,) = await checks.network(cluster({"/apis": groups(), "executions": executions}), "sandboxes")
    assert (found.mark, found.told) == (mark, f"{isolated}: as they found (Execution new)")


@pytest.mark.parametrize(
    ("limits", "mark", "told"),
    [
        ([512], Mark.GOOD, "at most 512, on 1 of 1"),
        ([512, 1024], Mark.GOOD, "at most 1024, on 2 of 2"),
        ([512, -1], Mark.BAD, "1 of 2 nodes let a sandbox have any number: n1"),
        ([None], Mark.BAD, "1 of 1 nodes"),
        (["?"], Mark.UNKNOWN, "may not see"),
    ],
)
async def test_processes_are_what_every_kubelet_limits_them_to(
    limits: list[Any], mark: Mark, told: str
) -> None:
    seen: dict[str, Any] = {"nodes": [{"metadata": {"name": f"n{n}"}} for n in range(len(limits))]}
    for number, limit in enumerate(limits):
        if limit != "?":
            config = {} if limit is None else {"podPidsLimit": limit}
            seen[f"/api/v1/nodes/n{number}/proxy/configz"] = {"kubeletconfig": config}
    (found,) = await checks.processes(cluster(seen))
    assert found.mark == mark
    assert told in found.told


@pytest.mark.parametrize(
    ("able", "mark", "told"),
    [
        ([True], Mark.GOOD, "1 of 1 nodes"),
        ([True, False], Mark.UNKNOWN, "1 of 2"),
        ([False], Mark.UNKNOWN, "0 of 1"),
    ],
)
async def test_user_namespaces_are_what_nodes_announce(able: list[bool], mark: Mark, told: str) -> None:
    nodes = [{"status": {"runtimeHandlers": [{"features": {"userNamespaces": item}}]}} for item in able]
    (found,) = await checks.user_namespaces(cluster({"nodes": nodes}))
    assert found.mark == mark
    assert told in found.told


async def test_what_may_not_be_seen_is_unknown() -> None:
    seen = {"/version": {"gitVersion": "v1.34.4"}, "/apis/citadel.dev/v1alpha1": {"resources": []}}
    kube = cluster(seen)
    assert marks(await checks.user_namespaces(kube)) == [Mark.UNKNOWN]
    assert marks(await checks.components(kube)) == [Mark.UNKNOWN] * 3


@pytest.mark.parametrize(
    ("served", "mark"),
    [
        (["workflows", "runtimes", "models", "executions", "executionpolicies", "triggers"], Mark.GOOD),
        (["workflows"], Mark.BAD),
        (None, Mark.BAD),
    ],
)
async def test_resources_are_all_there_or_something_is_wrong(served: list[str] | None, mark: Mark) -> None:
    path = "/apis/citadel.dev/v1alpha1"
    answer: Any = NotFound(404, "NotFound", "404 page not found")
    if served is not None:
        answer = {"resources": [{"name": name} for name in served]}
    assert marks(await checks.resources(cluster({path: answer}))) == [mark]


def deployment(ready: int, version: str = "0.1.0") -> Object:
    template = {"spec": {"containers": [{"image": "citadel:1"}]}}
    return {
        "metadata": {"labels": {"app.kubernetes.io/version": version}},
        "spec": {"replicas": 2, "template": template},
        "status": {"readyReplicas": ready},
    }


async def test_components_are_told_by_image_and_readiness() -> None:
    missing = NotFound(404, "NotFound", "not found")
    pod = {
        "spec": {"containers": [{"image": "citadel:1"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    seen = {
        "deployments/citadel-controller": deployment(0),
        "deployments/citadel-gateway": missing,
        "pods/citadel-api-0": pod,
    }
    controller, gateway, api = await checks.components(cluster(seen))
    assert (controller.mark, controller.told) == (Mark.BAD, "0 of 2 ready, citadel:1")
    assert (gateway.mark, gateway.told) == (
        Mark.BAD,
        "citadel-gateway does not exist in namespace citadel-system",
    )
    assert (api.mark, api.told) == (Mark.GOOD, "pod citadel-api-0 is ready, citadel:1")


async def test_another_version_than_this_one_is_named() -> None:
    seen = {"deployments/citadel-controller": deployment(1, "9.9.9")}
    (controller, *_) = await checks.components(cluster(seen))
    assert (controller.mark, "version 9.9.9; this CLI is" in controller.told) == (Mark.GOOD, True)


async def test_a_missing_right_names_what_lacks_and_who_grants_it() -> None:
    mine = {f"{verb} executions" for verb in ("get", "list", "watch")} | {"get executions/log"}
    run, workflows, logs, forward = await checks.rights(cluster({}, mine))
    assert (run.mark, run.told) == (
        Mark.BAD,
        "jane may not run, see and stop executions in namespace team: create executions, patch executions",
    )
    assert "--clusterrole=edit --user=jane" in run.hint
    assert (workflows.mark, logs.mark, forward.mark) == (Mark.UNKNOWN, Mark.GOOD, Mark.UNKNOWN)
    assert forward.told.endswith("create pods/portforward")


async def test_a_cluster_that_is_away_ends_the_report() -> None:
    kube = cluster({"/version": ApiError(0, "Unreachable", "refused")})
    cast("Any", kube.kube).config = type("Config", (), {"server": "https://there"})
    assert [marks(found) async for found in checks.checks(kube, "sandboxes")] == [[Mark.BAD]]
