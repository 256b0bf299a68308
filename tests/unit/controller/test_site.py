"""What the cluster offers to sandboxes: user namespaces by RuntimeClass."""

from typing import Any

import pytest

from citadel.controller.site import RuntimeClasses, can_have_user_namespaces, joined
from citadel.kube.client import KubeClient
from citadel.kube.errors import NotFound
from citadel.kube.resources import RUNTIMECLASSES, Resource
from citadel.render.pod import Site

SITE = Site("citadel-sandboxes", "runner:1", "https://10.96.0.7:443", "ca", user_namespaces=True)


def node(**handlers: bool) -> dict[str, Any]:
    found = [{"name": name, "features": {"userNamespaces": able}} for name, able in handlers.items()]
    return {"status": {"runtimeHandlers": found}}


DEFAULT_ABLE = {"status": {"runtimeHandlers": [{"name": "", "features": {"userNamespaces": True}}]}}
DEFAULT_UNABLE = {"status": {"runtimeHandlers": [{"name": ""}]}}


@pytest.mark.parametrize(
    ("nodes", "handler", "able"),
    [
        ([], "", False),
        ([DEFAULT_ABLE], "", True),
        ([DEFAULT_ABLE, DEFAULT_UNABLE], "", False),
        ([DEFAULT_ABLE, {"status": {}}], "", False),
        ([node(runc=True)], "", True),
        ([node(runc=True, runsc=True)], "runsc", True),
        ([node(runc=True, runsc=True), node(runc=False)], "runsc", True),
        ([node(runsc=True), node(runsc=False)], "runsc", False),
        ([node(runc=True)], "runsc", False),
    ],
)
def test_user_namespaces_are_given_where_every_node_that_matters_can(
    nodes: list[dict[str, Any]], handler: str, able: bool
) -> None:
    assert can_have_user_namespaces(nodes, handler) is able


class Shelf(KubeClient):
    """A cluster with one RuntimeClass of these annotations."""

    def __init__(self, annotations: dict[str, str] | None) -> None:
        self._annotations = annotations

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Any:
        assert resource == RUNTIMECLASSES
        if name != "gvisor":
            raise NotFound(404, "NotFound", "no")
        return {"metadata": {"name": name, "annotations": self._annotations}, "handler": "runsc"}

    async def list(self, resource: Resource, *_: Any, **__: Any) -> Any:
        class Listed:
            items = (node(runsc=True),)

        return Listed()


async def test_a_runtime_class_gives_a_user_namespace_only_where_it_says_so() -> None:
    said = {"citadel.dev/user-namespaces": "true"}
    assert (await RuntimeClasses(Shelf(said), SITE).site("gvisor")).user_namespaces
    assert not (await RuntimeClasses(Shelf(None), SITE).site("gvisor")).user_namespaces
    assert await RuntimeClasses(Shelf(None), SITE).site(None) == SITE


async def test_a_sandbox_mounts_its_own_memory_only_where_its_runtime_class_says_so() -> None:
    for said, may in (({"citadel.dev/own-mounts": "true"}, True), ({"citadel.dev/own-mounts": "yes"}, False)):
        assert (await RuntimeClasses(Shelf(said), SITE).site("gvisor")).own_mounts is may
    assert not (await RuntimeClasses(Shelf(None), SITE).site("gvisor")).own_mounts


async def test_a_runtime_class_that_does_not_exist_is_left_to_the_api_server() -> None:
    assert await RuntimeClasses(Shelf(None), SITE).site("other") == SITE


def test_addresses_of_both_families_become_one_text() -> None:
    assert (joined("10.0.0.1", 443), joined("fd00::1", 443)) == ("10.0.0.1:443", "[fd00::1]:443")
