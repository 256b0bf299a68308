"""Which image a Runtime's reference stands for: noted once, pinned by executions, and held to."""

from typing import Any

import pytest

from citadel.controller.images import Images, image_ids, pinned
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.resources import RUNTIMES, Object
from citadel.store.sandboxes import SandboxRow

TAG, DIGEST, OTHER = "registry.example.com:5000/team/python:3", f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


def runtime(image: str = TAG, seen: str | None = None, reference: str = TAG) -> Object:
    status = {"image": {"reference": reference, "id": seen}} if seen else {}
    metadata = {"name": "data", "namespace": "team", "uid": "u", "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"language": "python", "image": image}, "status": status}


@pytest.mark.parametrize(
    ("found", "image"),
    [
        (runtime(), TAG),
        (runtime(seen=f"registry.example.com:5000/team/python@{DIGEST}"), f"{TAG}@{DIGEST}"),
        (
            runtime(seen=f"docker-pullable://registry.example.com:5000/team/python@{DIGEST}"),
            f"{TAG}@{DIGEST}",
        ),
        (runtime("py:1", f"docker.io/library/py@{DIGEST}", "py:1"), f"py:1@{DIGEST}"),
        (runtime("py", f"docker.io/library/py@{DIGEST}", "py"), f"py@{DIGEST}"),
        # As kind and k3d load images: no registry has them.
        (runtime("py:1", f"docker.io/library/import-2026-01-02@{DIGEST}", "py:1"), "py:1"),
        (runtime("localhost/py:1", f"localhost/py@{DIGEST}", "localhost/py:1"), "localhost/py:1"),
        (runtime(seen=DIGEST), TAG),
        (runtime(seen=f"x@{DIGEST}", reference="another:1"), TAG),
        (runtime(image=f"{TAG}@{OTHER}", seen=f"x@{DIGEST}", reference=f"{TAG}@{OTHER}"), f"{TAG}@{OTHER}"),
        (runtime(seen="x@not-a-digest"), TAG),
        ({**runtime(), "status": {"image": "broken"}}, TAG),
    ],
)
def test_a_tag_is_pinned_to_the_digest_that_was_seen_under_it(found: Object, image: str) -> None:
    assert pinned(found)["image"] == image


def test_an_image_without_a_digest_is_known_by_its_id() -> None:
    pulled = runtime(seen=f"registry.example.com:5000/team/python@{DIGEST}")
    runtimes = {"a": runtime(seen=DIGEST), "b": runtime(seen=f"x@{DIGEST}"), "c": runtime(), "d": pulled}
    assert image_ids(runtimes) == {"a": DIGEST, "b": f"x@{DIGEST}"}


class Api(KubeClient):
    """Takes patches of statuses."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    async def patch_status(self, resource: Any, name: str, status: Any, *args: Any, **kwargs: Any) -> Object:
        self.written.append(status)
        return {
            **runtime(seen=status["image"]["id"]),
            "metadata": {**runtime()["metadata"], "resourceVersion": "2"},
        }


def pod(image_id: str) -> dict[str, Any]:
    return {
        "status": {
            "containerStatuses": [{"name": "runner", "imageID": "r"}, {"name": "main", "imageID": image_id}]
        }
    }


def row(uid: str = "uid-1", **template: Any) -> SandboxRow:
    template = {"language": "python", "image": TAG, **template}
    return SandboxRow(f"{uid}-0", uid, "team", "run", "key", template, "live", 0.0)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def images(api: Api) -> Images:
    cache = Cache()
    cache.put(RUNTIMES, runtime())
    return Images(api, cache)


async def test_what_a_reference_stands_for_is_written_once(api: Api, images: Images) -> None:
    for uid in ("uid-1", "uid-2"):
        assert await images.check(row(uid), pod(DIGEST)) is None
    assert api.written == [{"image": {"reference": TAG, "id": DIGEST}}]


async def test_a_pod_that_does_not_run_yet_tells_nothing(api: Api, images: Images) -> None:
    assert (
        await images.check(row(), {"status": {"containerStatuses": [{"name": "main", "imageID": ""}]}})
        is None
    )
    assert api.written == []


@pytest.mark.parametrize("template", [{"imageId": DIGEST}, {}])
async def test_a_later_sandbox_that_runs_another_image_must_not_go_on(
    images: Images, template: dict[str, Any]
) -> None:
    assert await images.check(row(**template), pod(DIGEST)) is None
    wrong = await images.check(row(**template), pod(OTHER))
    assert wrong is not None
    assert wrong.ended == "SandboxStartFailed"
    assert f"found {OTHER} on this node, expected {DIGEST}" in wrong.message


async def test_another_execution_may_run_another_image(images: Images) -> None:
    assert await images.check(row("uid-1"), pod(DIGEST)) is None
    assert await images.check(row("uid-2"), pod(OTHER)) is None
