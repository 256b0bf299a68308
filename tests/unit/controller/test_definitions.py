"""What a workflow refers to, read as it is now; what is missing is named, with where it was looked for."""

from typing import Any

import pytest

from citadel.controller.checking import Unusable, checked
from citadel.controller.definitions import Definitions
from citadel.controller.policies import Policies
from citadel.controller.shelf import Shelf
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import Forbidden, NotFound
from citadel.kube.resources import CONFIGMAPS, NAMESPACES, POLICIES, RUNTIMES, WORKFLOWS, Resource
from citadel.store.revisions import Revision, chosen

STEP = {"name": "a", "run": {"runtime": "python", "codeFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}}
KIND = {"apiVersion": "citadel.dev/v1alpha1", "kind": "Workflow"}


class Kube(KubeClient):
    """An API server's objects, by kind; an exception stands for its answer."""

    def __init__(self, found: dict[Resource, Any]) -> None:
        self._found = found

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Any:
        found = self._found[resource]
        if isinstance(found, Exception):
            raise found
        return found


class NoTable:
    """Nobody reads what is published here."""

    async def all(self) -> dict[str, Any]:
        return {}

    async def get(self, namespace: str) -> list[Any]:
        raise AssertionError(namespace)

    async def put(self, namespace: str, policies: Any) -> None: ...


class NoPast:
    """Nothing ran before."""

    async def of(self, namespace: str, workflow: str) -> list[Revision]:
        return []

    async def document(self, namespace: str, workflow: str, revision: str) -> Any:
        return chosen(workflow, revision, [])


def definitions(config_map: Any, *policies: dict[str, Any]) -> Definitions:
    def an_object(kind: str, name: str, spec: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "team", "uid": name, "generation": 1}
        return {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    workflow = an_object("Workflow", "flow", {"steps": [STEP]})
    runtime = an_object("Runtime", "python", {"image": "i"})
    found = {WORKFLOWS: workflow, RUNTIMES: runtime, CONFIGMAPS: config_map}
    cache = Cache()
    cache.put(NAMESPACES, {"metadata": {"name": "team"}})
    for policy in policies:
        cache.put(POLICIES, policy)
    kube = Kube(found)
    shelf = Shelf(kube, "citadel-system")
    return Definitions(kube, shelf, Policies(kube, cache, NoTable()), NoPast())


async def test_code_of_a_config_map_is_pinned_and_read_anew_for_each_execution() -> None:
    config_map = {"data": {"k": "def main(): return 1"}}
    live = definitions(config_map)
    first = await live.pin("team", "flow")
    config_map["data"]["k"] = "def main(): return 2"
    second = await live.pin("team", "flow")
    assert [first.plan.code["a"][-1], second.plan.code["a"][-1]] == ["1", "2"]
    assert first.plan.digest != second.plan.digest


@pytest.mark.parametrize(
    ("config_map", "says"),
    [
        ({"data": {"other": "x"}}, "ConfigMap m of namespace team has no key k"),
        ({}, "ConfigMap m of namespace team has no key k"),
        (NotFound(404, "NotFound", "no"), "ConfigMap m does not exist in namespace team"),
        (Forbidden(403, "Forbidden", "no"), "Citadel may not read ConfigMaps of namespace team"),
    ],
)
async def test_code_that_is_not_there_is_waited_for_and_named(config_map: Any, says: str) -> None:
    with pytest.raises(Unusable) as caught:
        await definitions(config_map).pin("team", "flow")
    assert (caught.value.reason, caught.value.waits) == ("CodeNotFound", True)
    assert caught.value.message == f"step a, run.codeFrom: {says}"


async def test_a_path_that_leads_nowhere_is_refused_when_the_workflow_is_taken_in() -> None:
    step = {**STEP, "with": {"x": "${inputs.nope}"}}
    with pytest.raises(Unusable) as caught:
        checked({"metadata": {"name": "flow"}, "spec": {"steps": [step]}, **KIND})
    assert (caught.value.reason, caught.value.waits) == ("InvalidSpec", False)
    told = "spec.steps[0].with.x: found inputs.nope, but inputs has no fields"
    assert caught.value.message == f"Workflow flow: {told}"


def policy(**spec: Any) -> dict[str, Any]:
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "ExecutionPolicy"}
    return {**kind, "metadata": {"name": "strict", "namespace": ""}, "spec": spec}


async def test_a_policy_gives_timeout_and_runtime_class_to_steps_that_say_none() -> None:
    strict = policy(limits={"timeout": "1h"}, runtimeClass={"name": "gvisor"})
    live = definitions({"data": {"k": "x"}}, strict)
    pinned = await live.pin("team", "flow")
    assert pinned.plan.steps["a"].timeout == 3600
    assert pinned.plan.placements["a"].template["runtimeClassName"] == "gvisor"


async def test_what_a_policy_refuses_is_named_with_step_field_found_and_expected() -> None:
    live = definitions({"data": {"k": "x"}}, policy(images={"allow": ["host.example/team/"]}))
    with pytest.raises(Unusable) as caught:
        await live.pin("team", "flow")
    assert caught.value.reason == "PolicyDenied"
    assert caught.value.message == (
        'Workflow flow, step a: image: found "i", expected one below host.example/team/'
        " (ExecutionPolicy strict, spec.images.allow)"
    )
