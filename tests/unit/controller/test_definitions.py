"""What a workflow refers to, read as it is now; what is missing is named, with where it was looked for."""

from typing import Any

import pytest

from citadel.controller.definitions import Definitions, Unusable
from citadel.kube.client import KubeClient
from citadel.kube.errors import Forbidden, NotFound
from citadel.kube.resources import CONFIGMAPS, RUNTIMES, WORKFLOWS, Resource

STEP = {"name": "a", "run": {"runtime": "python", "codeFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}}


class Shelf(KubeClient):
    """An API server's objects, by kind; an exception stands for its answer."""

    def __init__(self, found: dict[Resource, Any]) -> None:
        self._found = found

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Any:
        found = self._found[resource]
        if isinstance(found, Exception):
            raise found
        return found


def definitions(config_map: Any) -> Definitions:
    def an_object(kind: str, name: str, spec: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "team", "uid": name, "generation": 1}
        return {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    workflow = an_object("Workflow", "flow", {"steps": [STEP]})
    runtime = an_object("Runtime", "python", {"image": "i"})
    found = {WORKFLOWS: workflow, RUNTIMES: runtime, CONFIGMAPS: config_map}
    return Definitions(Shelf(found), "citadel-system")


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
