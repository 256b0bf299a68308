"""The client against a fake API server: what it sends, what it retries, what it raises."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from citadel.kube.client import KubeClient, Patch
from citadel.kube.credentials import FileToken, StaticToken
from citadel.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Gone,
    NotFound,
    Unauthorized,
    Unavailable,
)
from citadel.kube.metrics import Metrics
from citadel.kube.resources import CONFIGMAPS, EXECUTIONS, NAMESPACES, PODS, Object
from citadel.kube.transport import Limits
from citadel.kube.watching import WatchEvent
from component.kube.fakeapi import FakeApi, Fault

PATH = "/api/v1/namespaces/a/configmaps"


def config_map(name: str, **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "a"},
        "data": data,
    }


class Pauses:
    """Takes the place of sleeping between tries."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def client_of(api: FakeApi, pauses: Pauses | None = None, **arguments: Any) -> KubeClient:
    return KubeClient(api.config(arguments.pop("credentials", None)), sleep=pauses or Pauses(), **arguments)


async def test_an_object_lives_through_create_get_patch_and_delete(api: FakeApi) -> None:
    async with client_of(api) as client:
        made = await client.create(CONFIGMAPS, config_map("one", k="1"))
        assert (await client.get(CONFIGMAPS, "one", "a"))["metadata"]["uid"] == made["metadata"]["uid"]
        merged = await client.patch(CONFIGMAPS, "one", {"data": {"k": "2", "l": "3"}}, "a")
        assert merged["data"] == {"k": "2", "l": "3"}
        steps = [{"op": "replace", "path": "/data/k", "value": "4"}]
        assert (await client.patch(CONFIGMAPS, "one", steps, "a", kind=Patch.JSON))["data"]["k"] == "4"
        applied = await client.patch(CONFIGMAPS, "two", config_map("two"), "a", kind=Patch.APPLY)
        assert applied["metadata"]["name"] == "two"
        assert api.requests[-1][2] == {"fieldManager": "citadel", "force": "true"}
        await client.delete(CONFIGMAPS, "one", "a", uid=made["metadata"]["uid"])
        with pytest.raises(NotFound):
            await client.get(CONFIGMAPS, "one", "a")


async def test_the_status_is_patched_on_its_subresource(api: FakeApi) -> None:
    async with client_of(api) as client:
        made = await client.create(EXECUTIONS, {"metadata": {"name": "x", "namespace": "a"}})
        with pytest.raises(Conflict, match="the uid is no longer another"):
            await client.patch_status(EXECUTIONS, "x", {"phase": "Failed"}, "a", uid="another")
        uid = made["metadata"]["uid"]
        found = await client.patch_status(EXECUTIONS, "x", {"phase": "Running"}, "a", uid=uid)
        assert found["status"] == {"phase": "Running"}
        assert api.requests[-1][1] == "/apis/citadel.dev/v1alpha1/namespaces/a/executions/x/status"


async def test_refusals_are_told_apart(api: FakeApi) -> None:
    async with client_of(api) as client:
        made = await client.create(CONFIGMAPS, config_map("one"))
        with pytest.raises(AlreadyExists) as taken:
            await client.create(CONFIGMAPS, config_map("one"))
        assert taken.value.request == f"POST {PATH}"
        await client.patch(CONFIGMAPS, "one", {"data": {"k": "2"}}, "a")
        stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"k": "3"}}
        with pytest.raises(Conflict):
            await client.patch(CONFIGMAPS, "one", stale, "a")
        with pytest.raises(Conflict):
            await client.delete(CONFIGMAPS, "one", "a", uid="another")
        assert api.objects[f"{PATH}/one"]["data"] == {"k": "2"}


async def test_lists_come_in_chunks_and_items_say_what_they_are(api: FakeApi) -> None:
    for number in range(7):
        metadata = {"name": f"p{number}", "namespace": "ab"[number % 2]}
        await api.change(
            "ADDED", f"/api/v1/namespaces/{metadata['namespace']}/pods/p{number}", {"metadata": metadata}
        )
    async with client_of(api, limits=Limits(chunk=3)) as client:
        everywhere = await client.list(PODS)
        assert len(everywhere.items) == 7
        assert everywhere.resource_version == str(api.version)
        assert {(item["apiVersion"], item["kind"]) for item in everywhere.items} == {("v1", "Pod")}
        assert api.count("GET") == 3
        assert len((await client.list(PODS, "a", label_selector="x=y")).items) == 4
        assert api.requests[-1][2]["labelSelector"] == "x=y"


async def test_a_list_whose_continue_token_expired_starts_again_without_chunks(api: FakeApi) -> None:
    for number in range(3):
        await api.change("ADDED", f"{PATH}/c{number}", config_map(f"c{number}"))
    async with client_of(api, limits=Limits(chunk=2)) as client:
        api.faults.append(Fault("GET", 410, times=1))
        assert len((await client.list(CONFIGMAPS, "a")).items) == 3
        assert "limit" not in api.requests[-1][2]


async def test_a_watch_tells_every_change_and_ends_with_the_server(api: FakeApi) -> None:
    seen: list[WatchEvent] = []
    async with client_of(api) as client:

        async def follow() -> None:
            async for event in client.watch(CONFIGMAPS, resource_version=str(api.version)):
                seen.append(event)

        following = asyncio.create_task(follow())
        await api.watched()
        await client.create(CONFIGMAPS, config_map("big", k="x" * 700_000))
        await client.patch(CONFIGMAPS, "big", {"data": {"k": "small"}}, "a")
        await client.delete(CONFIGMAPS, "big", "a")
        await api.send("BOOKMARK", f"{PATH}/-", {"metadata": {"resourceVersion": "999"}})
        await api.end_watches()
        await following
    assert [event.type for event in seen] == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    assert len(seen[0].object["data"]["k"]) == 700_000
    assert seen[-1].resource_version == "999"


@pytest.mark.parametrize("when", ["at once", "in the stream"])
async def test_a_watch_from_too_long_ago_raises_gone(api: FakeApi, when: str) -> None:
    async with client_of(api) as client:
        if when == "at once":
            api.oldest = 100
        else:
            await api.send("ERROR", f"{PATH}/-", {"kind": "Status", "code": 410, "reason": "Expired"})
        with pytest.raises(Gone):
            async for _ in client.watch(CONFIGMAPS, resource_version="50"):
                pass


async def test_a_silent_watch_is_given_up(api: FakeApi) -> None:
    async with client_of(api, limits=Limits(silence=0.05)) as client:
        with pytest.raises(Unavailable):
            async for _ in client.watch(CONFIGMAPS):
                pass


@pytest.mark.parametrize(
    ("call", "fault", "tries", "succeeds"),
    [
        pytest.param("get", Fault("GET", 500, times=3), 4, True, id="a GET survives three 500s"),
        pytest.param("get", Fault("GET", 503, times=9), 4, False, id="a GET gives up after four 503s"),
        pytest.param("get", Fault("GET", 0, times=2), 3, True, id="a GET survives cut connections"),
        pytest.param("get", Fault("GET", 403, times=9), 1, False, id="a refusal is final"),
        pytest.param("merge", Fault("PATCH", 500, times=1), 2, True, id="a merge patch is repeated"),
        pytest.param("json", Fault("PATCH", 500, times=1), 1, False, id="a JSON patch is not repeated"),
        pytest.param("delete", Fault("DELETE", 500, times=1), 2, True, id="a DELETE is repeated"),
        pytest.param("create", Fault("POST", 500, times=1), 1, False, id="a create is not repeated"),
        pytest.param("create", Fault("POST", 0, times=1, after=True), 1, False, id="a cut create is unknown"),
        pytest.param("create", Fault("POST", 429, times=1), 2, True, id="a throttled create is repeated"),
    ],
)
async def test_only_what_may_be_repeated_is_retried(
    api: FakeApi, call: str, fault: Fault, tries: int, succeeds: bool
) -> None:
    pauses = Pauses()
    async with client_of(api, pauses) as client:
        await api.change("ADDED", f"{PATH}/one", config_map("one"))
        api.faults.append(fault)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "get": lambda: client.get(CONFIGMAPS, "one", "a"),
            "merge": lambda: client.patch(CONFIGMAPS, "one", {"data": {}}, "a"),
            "json": lambda: client.patch(CONFIGMAPS, "one", [], "a", kind=Patch.JSON),
            "delete": lambda: client.delete(CONFIGMAPS, "one", "a"),
            "create": lambda: client.create(CONFIGMAPS, config_map("two")),
        }
        if succeeds:
            await calls[call]()
        else:
            with pytest.raises(ApiError):
                await calls[call]()
        # aiohttp itself repeats a GET once on a kept-alive connection that was cut, so count at least
        assert len(pauses.seconds) + 1 == tries or (fault.status == 0 and api.count("GET") >= tries)


@pytest.mark.parametrize(("asked", "waited"), [("3", 3.0), ("3600", 10.0), ("tomorrow", 0.0)])
async def test_a_429_says_how_long_to_wait_within_bounds(api: FakeApi, asked: str, waited: float) -> None:
    pauses = Pauses()
    async with client_of(api, pauses) as client:
        api.faults.append(Fault("GET", 429, headers={"Retry-After": asked}))
        with pytest.raises(NotFound):
            await client.get(CONFIGMAPS, "none", "a")
    assert len(pauses.seconds) == 1
    assert waited <= pauses.seconds[0] <= max(waited, 0.3)


async def test_what_is_no_resource_can_be_read_too(api: FakeApi) -> None:
    async with client_of(api) as client:
        assert await client.raw("/openid/v1/jwks") == {"keys": []}
        assert await client.raw("/readyz") == "ok"


async def test_nobody_at_the_address_is_unavailable(api: FakeApi) -> None:
    config = api.config()
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    gone = KubeClient(
        type(config)("http://127.0.0.1:1", None, StaticToken(None)), sleep=Pauses(), count=metrics.request
    )
    async with gone:
        with pytest.raises(Unavailable) as refused:
            await gone.get(NAMESPACES, "default")
    assert refused.value.status == 0
    assert "GET /api/v1/namespaces/default" in str(refused.value)
    labels = {"verb": "get", "resource": "namespaces", "code": "error"}
    assert registry.get_sample_value("citadel_kube_requests_total", labels) == 4


async def test_every_try_is_counted_by_verb_resource_and_code(api: FakeApi) -> None:
    counted: Counter[tuple[str, str, str]] = Counter()

    def count(verb: str, resource: str, code: str) -> None:
        counted[verb, resource, code] += 1

    async with client_of(api, count=count) as client:
        await client.create(EXECUTIONS, {"metadata": {"name": "x", "namespace": "a"}})
        api.faults.append(Fault("PATCH", 500, times=1))
        await client.patch_status(EXECUTIONS, "x", {"phase": "Running"}, "a")
    assert counted == {
        ("create", "executions", "201"): 1,
        ("patch", "executions/status", "500"): 1,
        ("patch", "executions/status", "200"): 1,
    }


async def test_a_rotated_token_is_read_again(api: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    api.tokens = {"old"}
    await api.change("ADDED", f"{PATH}/one", config_map("one"))
    async with client_of(api, credentials=FileToken(file)) as client:
        await client.get(CONFIGMAPS, "one", "a")
        api.tokens = {"newer"}
        with pytest.raises(Unauthorized):
            await client.get(CONFIGMAPS, "one", "a")
        file.write_text("newer")
        await client.get(CONFIGMAPS, "one", "a")


async def test_a_refused_fixed_token_is_not_tried_again(api: FakeApi) -> None:
    api.tokens = {"other"}
    async with client_of(api, credentials=StaticToken("mine")) as client:
        with pytest.raises(Unauthorized):
            await client.get(CONFIGMAPS, "one", "a")
    assert len(api.requests) == 1


async def test_calls_in_flight_are_bounded_and_watches_do_not_count(api: FakeApi) -> None:
    async with client_of(api, limits=Limits(connections=4)) as client:
        watch = client.watch(CONFIGMAPS)
        following = asyncio.ensure_future(anext(watch))
        await api.watched()
        api.gate = asyncio.Event()
        await api.change("ADDED", "/api/v1/namespaces/b/configmaps/one", config_map("one"))
        await following
        calls = [asyncio.create_task(client.list(PODS)) for _ in range(20)]
        await api.until(lambda: api.open >= 5)  # four calls and the watch
        api.gate.set()
        await asyncio.gather(*calls)
        assert api.most_open == 5
        await watch.aclose()  # type: ignore[attr-defined]


async def test_a_slow_server_is_unavailable_in_bounded_time(api: FakeApi) -> None:
    api.gate = asyncio.Event()
    async with client_of(api, limits=Limits(timeout=0.05, tries=2)) as client:
        with pytest.raises(Unavailable):
            await client.get(CONFIGMAPS, "one", "a")
    assert len(api.requests) == 2
    api.gate.set()
