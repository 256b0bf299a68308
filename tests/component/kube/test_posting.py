"""Posting Kubernetes events: never in the way, whatever the API server does."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from citadel.kube.client import KubeClient
from citadel.kube.events import EventPoster, EventRates, ObjectRef
from component.kube.fakeapi import FakeApi, Fault

ABOUT = ObjectRef("citadel.dev/v1alpha1", "Execution", "x", "u", "team")


@dataclass
class Posting:
    poster: EventPoster
    results: Counter[str]


@asynccontextmanager
async def posting(api: FakeApi, rates: EventRates | None = None) -> AsyncIterator[Posting]:
    results: Counter[str] = Counter()

    def count(result: str) -> None:
        results[result] += 1

    async with (
        KubeClient(api.config()) as client,
        EventPoster(client, "citadel-controller", "pod-1", rates=rates, count=count) as poster,
    ):
        yield Posting(poster, results)


async def test_an_event_arrives_in_the_namespace_of_its_object(api: FakeApi) -> None:
    async with posting(api) as here:
        here.poster.normal(ABOUT, "Started", "started on a sandbox")
        here.poster.normal(ABOUT, "Started", "started on a sandbox")
        here.poster.warning(ABOUT, "Failed", "m" * 5000)
        await here.poster.flush()
        assert here.results == {"posted": 2, "repeated": 1}
    found = list(api.objects.items())
    assert all(path.startswith("/api/v1/namespaces/team/events/x.") for path, _ in found)
    assert [(obj["type"], len(obj["message"])) for _, obj in found] == [("Normal", 20), ("Warning", 1024)]


async def test_what_another_process_already_said_is_not_an_error(api: FakeApi) -> None:
    for expected in ({"posted": 1}, {"repeated": 1}):
        async with posting(api) as here:
            here.poster.normal(ABOUT, "Started", "x")
            await here.poster.flush()
            assert here.results == expected


async def test_refusals_and_failures_stay_inside(api: FakeApi) -> None:
    api.faults += [Fault("POST", 403), Fault("POST", 500), Fault("POST", 0)]
    async with posting(api) as here:
        for number in range(4):
            here.poster.normal(ABOUT, "Started", str(number))
        await here.poster.flush()
        assert here.results == {"refused": 3, "posted": 1}


async def test_more_than_fits_is_dropped_and_closing_does_not_wait_for_a_dead_server(api: FakeApi) -> None:
    api.gate = asyncio.Event()
    async with posting(api, EventRates(waiting=3)) as here:
        for number in range(6):
            here.poster.normal(ABOUT, "Started", str(number))
        await here.poster.close(timeout=0.01)
        assert here.results == {"dropped": 3}
    api.gate.set()
