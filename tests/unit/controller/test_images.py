"""Which image a Runtime's reference stands for: noted once, pinned by executions, and held to."""

import asyncio
from dataclasses import replace
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


class Rows:
    """The rows of sandboxes, as the database keeps them."""

    def __init__(self) -> None:
        self.rows: dict[str, SandboxRow] = {}

    async def of(self, uid: str) -> list[SandboxRow]:
        return [row for row in self.rows.values() if row.uid == uid]

    async def observe(self, name: str, **changes: Any) -> None:
        self.rows[name] = replace(self.rows[name], **changes)


class Execution:
    """Sandboxes of executions: their rows, and whoever leads now."""

    def __init__(self, api: Api) -> None:
        self._api, self.rows = api, Rows()
        self.lead()

    def lead(self) -> None:
        """Another process takes over."""
        cache = Cache()
        cache.put(RUNTIMES, runtime())
        self.images = Images(self._api, cache, self.rows)

    def row(self, uid: str | None = "uid-1", **template: Any) -> SandboxRow:
        template = {"language": "python", "image": TAG, **template}
        name = f"cx-{len(self.rows.rows)}"
        self.rows.rows[name] = SandboxRow(name, uid, "team", "run", "key", template, "live", 0.0)
        return self.rows.rows[name]

    def command(self, image: str = TAG) -> SandboxRow:
        """The sandbox of a container step."""
        row = self.row(image=image)
        self.rows.rows[row.name] = replace(row, template={"image": image})
        return self.rows.rows[row.name]

    async def runs(self, row: SandboxRow, image_id: str) -> str | None:
        """A pod of this row runs this image; the message if it must not go on."""
        wrong = await self.images.check(self.rows.rows[row.name], pod(image_id))
        assert wrong is None or wrong.ended == "SandboxStartFailed"
        return None if wrong is None else wrong.message

    async def made(self, row: SandboxRow) -> str:
        """The image that a pod of this row is made with."""
        image = (await self.images.pin(row)).template["image"]
        assert image == self.rows.rows[row.name].template["image"]
        return str(image)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def execution(api: Api) -> Execution:
    return Execution(api)


async def test_what_a_reference_stands_for_is_written_once(api: Api, execution: Execution) -> None:
    for uid in ("uid-1", "uid-2", None):
        assert await execution.runs(execution.row(uid), DIGEST) is None
    assert api.written == [{"image": {"reference": TAG, "id": DIGEST}}]


async def test_a_pod_that_does_not_run_yet_tells_nothing(api: Api, execution: Execution) -> None:
    assert await execution.runs(execution.row(), "") is None
    assert api.written == []


@pytest.mark.parametrize("template", [{"imageId": DIGEST}, {}])
async def test_a_later_sandbox_that_runs_another_image_must_not_go_on(
    execution: Execution, template: dict[str, Any]
) -> None:
    assert await execution.runs(execution.row(**template), DIGEST) is None
    wrong = await execution.runs(execution.row(**template), OTHER)
    assert wrong is not None
    assert f"found {OTHER} on this node, expected {DIGEST}" in wrong


async def test_another_execution_may_run_another_image(execution: Execution) -> None:
    assert await execution.runs(execution.row("uid-1"), DIGEST) is None
    assert await execution.runs(execution.row("uid-2"), OTHER) is None


@pytest.mark.parametrize("leads_anew", [False, True])
async def test_what_a_container_step_ran_is_what_later_ones_of_its_execution_get(
    api: Api, execution: Execution, leads_anew: bool
) -> None:
    first = execution.command()
    assert await execution.made(first) == TAG
    assert await execution.runs(first, f"registry.example.com:5000/team/python@{DIGEST}") is None
    assert api.written == []  # that is no Runtime's business
    if leads_anew:
        execution.lead()
    second = execution.command()
    assert await execution.made(second) == f"{TAG}@{DIGEST}"
    assert await execution.runs(second, f"registry.example.com:5000/team/python@{DIGEST}") is None
    third = execution.command()
    assert await execution.made(third) == f"{TAG}@{DIGEST}"
    assert await execution.made(execution.command("alpine:3")) == "alpine:3"


@pytest.mark.parametrize("leads_anew", [False, True])
async def test_a_container_step_whose_image_no_registry_has_is_held_to_its_id(
    execution: Execution, leads_anew: bool
) -> None:
    first, second = execution.command("localhost/tool:1"), execution.command("localhost/tool:1")
    assert await execution.runs(first, f"localhost/tool@{DIGEST}") is None
    if leads_anew:
        execution.lead()
    wrong = await execution.runs(second, f"localhost/tool@{OTHER}")
    assert wrong is not None
    assert f"found localhost/tool@{OTHER} on this node, expected localhost/tool@{DIGEST}" in wrong
    assert await execution.made(execution.command("localhost/tool:1")) == "localhost/tool:1"


async def test_of_two_that_start_at_once_one_says_what_both_run(execution: Execution) -> None:
    rows = [execution.command(), execution.command()]
    said = await asyncio.gather(
        *(execution.runs(row, x) for row, x in zip(rows, (DIGEST, OTHER), strict=True))
    )
    assert [message is None for message in said] == [True, False]


async def test_an_image_that_is_named_by_its_digest_needs_no_memory(execution: Execution) -> None:
    row = execution.command(f"{TAG}@{DIGEST}")
    assert await execution.runs(row, f"x@{DIGEST}") is None
    assert await execution.made(row) == f"{TAG}@{DIGEST}"
    assert execution.rows.rows[row.name].template == row.template
