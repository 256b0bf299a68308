"""Leader election against a fake API server: taking over, losing, giving back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from citadel.kube.client import KubeClient
from citadel.kube.election import Term, identity_of
from citadel.kube.lease import Lease
from citadel.kube.resources import LEASES, PODS, Object
from component.kube.fakeapi import FakeApi, Fault

PATH = "/apis/coordination.k8s.io/v1/namespaces/sys/leases/controller"
TERM = Term(duration=1, renew=0.05, poll=0.02, margin=0.4, answer=0.1)
#: Where the lead is to be kept: on a machine that stands still for a moment, too.
PATIENT = replace(TERM, duration=8, answer=2)
#: Where it is given up long before its time is over: such a moment does not matter then.
EARLY = replace(TERM, duration=6, margin=5)


def spec_of(api: FakeApi) -> Object:
    spec: Object = api.objects[PATH]["spec"]
    return spec


async def add_pod(api: FakeApi, name: str, uid: str, phase: str = "Running") -> None:
    pod = {"metadata": {"name": name, "namespace": "sys", "uid": uid}, "status": {"phase": phase}}
    await api.change("ADDED", f"/api/v1/namespaces/sys/pods/{name}", pod)


class Candidate:
    """A process that wants to lead: notes when it does, and leads until told to end or the lead is lost."""

    def __init__(self, api: FakeApi, name: str, term: Term) -> None:
        self.client = KubeClient(api.config())
        self.lease = Lease(self.client, "sys", "controller", identity_of(name, f"uid-{name}"), term=term)
        self.leading = asyncio.Event()
        self.lost = asyncio.Event()
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self.lease.lead(self.on_lead))

    async def on_lead(self, lost: asyncio.Event) -> None:
        self.leading.set()
        ends = [asyncio.create_task(event.wait()) for event in (lost, self.end)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
        if lost.is_set():
            self.lost.set()


async def leads_until_lost(lost: asyncio.Event) -> None:
    await lost.wait()


@asynccontextmanager
async def candidates(api: FakeApi, *names: str, term: Term = TERM) -> AsyncIterator[list[Candidate]]:
    made = [Candidate(api, name, term) for name in names]
    try:
        async with asyncio.timeout(10):
            yield made
    finally:
        for candidate in made:
            candidate.task.cancel()
            with suppress(asyncio.CancelledError, RuntimeError):
                await candidate.task
            await candidate.client.close()


async def test_one_of_many_leads_and_keeps_leading(api: FakeApi) -> None:
    for name in "abc":
        await add_pod(api, name, f"uid-{name}")
    async with candidates(api, "a", "b", "c") as all_of_them:
        waits = [asyncio.create_task(candidate.leading.wait()) for candidate in all_of_them]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        seen = api.count("PATCH")
        await api.until(lambda: api.count("PATCH") >= seen + 10)
        assert sum(candidate.leading.is_set() for candidate in all_of_them) == 1
        assert sum(candidate.lease.leads for candidate in all_of_them) == 1
        for wait in waits:
            wait.cancel()
    assert spec_of(api).get("holderIdentity") is None


async def test_a_clean_stop_hands_over(api: FakeApi) -> None:
    await add_pod(api, "a", "uid-a")
    async with candidates(api, "a") as [first]:
        await first.leading.wait()
        async with candidates(api, "b") as [second]:
            assert not second.leading.is_set()
            first.end.set()
            assert await first.task is True
            await second.leading.wait()
            assert spec_of(api)["leaseTransitions"] == 1
            assert not first.lease.leads


async def test_the_lease_of_a_pod_that_is_gone_is_taken_at_once(api: FakeApi) -> None:
    spec = {"holderIdentity": "dead_uid-1", "leaseDurationSeconds": 3600, "renewTime": "t"}
    await api.change("ADDED", PATH, {"metadata": {"name": "controller", "namespace": "sys"}, "spec": spec})
    await add_pod(api, "dead", "uid-2")
    async with candidates(api, "b") as [second]:
        await second.leading.wait()


@pytest.mark.parametrize("holder", ["live_uid-live", "somebody"])
async def test_a_silent_holder_is_taken_over_after_the_duration_and_not_before(
    api: FakeApi, holder: str
) -> None:
    loop = asyncio.get_running_loop()
    # A renewTime far in the future: what another machine's clock says does not matter.
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 4, "renewTime": "2999-01-01T00:00:00.000000Z"}
    await api.change("ADDED", PATH, {"metadata": {"name": "controller", "namespace": "sys"}, "spec": spec})
    await add_pod(api, "live", "uid-live")
    started = loop.time()
    async with candidates(api, "b") as [second]:
        await second.leading.wait()
        assert 4.0 <= loop.time() - started < 8.0


async def test_a_holder_that_renews_is_never_taken_over(api: FakeApi) -> None:
    now = 100.0
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 1, "renewTime": "0"}
    lease = {"metadata": {"name": "controller", "namespace": "sys"}, "spec": spec}
    await api.change("ADDED", PATH, lease)
    async with KubeClient(api.config()) as client:
        candidate = Lease(client, "sys", "controller", "b_1", term=TERM, clock=lambda: now)
        waiting = asyncio.create_task(candidate.lead(leads_until_lost))
        for beat in range(5):
            await api.seen(len(api.requests) + 3)
            await api.change("MODIFIED", PATH, {**lease, "spec": {**spec, "renewTime": str(beat)}})
            now += 0.9
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert spec_of(api)["holderIdentity"] == "somebody"


async def test_stopping_while_taking_the_lease_leaves_it_free(api: FakeApi) -> None:
    async with KubeClient(api.config()) as client:
        await api.change("ADDED", PATH, {"metadata": {"name": "controller", "namespace": "sys"}})
        api.faults.append(Fault("PATCH", 200, after=True, hold=True))
        waiting = asyncio.create_task(
            Lease(client, "sys", "controller", "b_1", term=TERM).lead(leads_until_lost)
        )
        await api.until(lambda: "spec" in api.objects[PATH])
        assert spec_of(api)["holderIdentity"] == "b_1"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert spec_of(api).get("holderIdentity") is None


async def test_a_holder_that_cannot_renew_gives_up_before_its_time_is_over(api: FakeApi) -> None:
    loop = asyncio.get_running_loop()
    async with candidates(api, "a", term=EARLY) as [first]:
        await first.leading.wait()
        api.faults.append(Fault("PATCH", 500, times=10_000))
        broken = loop.time()
        await first.lost.wait()
        assert loop.time() - broken < EARLY.duration
        assert await first.task is False
        assert not first.lease.leads


async def test_a_server_that_hangs_costs_the_lead_in_time_too(api: FakeApi) -> None:
    loop = asyncio.get_running_loop()
    async with candidates(api, "a", term=EARLY) as [first]:
        await first.leading.wait()
        api.gate = asyncio.Event()
        broken = loop.time()
        await first.lost.wait()
        assert loop.time() - broken < EARLY.duration
        api.gate.set()


async def test_a_short_failure_does_not_cost_the_lead(api: FakeApi) -> None:
    async with candidates(api, "a", term=PATIENT) as [first]:
        await first.leading.wait()
        api.faults += [Fault("PATCH", 500, times=2), Fault("PATCH", 0, times=1, after=True)]
        version = api.version
        await api.until(lambda: api.version >= version + 5)
        assert first.lease.leads
        assert not first.lost.is_set()


async def test_a_lease_that_somebody_labels_stays_ours(api: FakeApi) -> None:
    async with candidates(api, "a", term=PATIENT) as [first]:
        await first.leading.wait()
        await first.client.patch(LEASES, "controller", {"metadata": {"labels": {"x": "y"}}}, "sys")
        seen = api.count("PATCH")
        await api.until(lambda: api.count("PATCH") >= seen + 4)
        assert not first.lost.is_set()


async def test_a_lease_that_another_took_is_lost_at_once(api: FakeApi) -> None:
    async with candidates(api, "a") as [first]:
        await first.leading.wait()
        await first.client.patch(LEASES, "controller", {"spec": {"holderIdentity": "thief"}}, "sys")
        await first.lost.wait()
        assert await first.task is False
    assert spec_of(api)["holderIdentity"] == "thief"


async def test_work_that_fails_gives_the_lease_back(api: FakeApi) -> None:
    async def fail(lost: asyncio.Event) -> None:
        raise RuntimeError("broken")

    async with KubeClient(api.config()) as client:
        with pytest.raises(RuntimeError, match="broken"):
            await Lease(client, "sys", "controller", "a_1", term=TERM).lead(fail)
    assert spec_of(api).get("holderIdentity") is None


async def test_work_that_does_not_heed_the_loss_is_cancelled(api: FakeApi) -> None:
    cancelled = asyncio.Event()
    leading = asyncio.Event()

    async def deaf(lost: asyncio.Event) -> None:
        leading.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with KubeClient(api.config()) as client:
        leads = asyncio.create_task(
            Lease(client, "sys", "controller", "a_1", term=TERM).lead(deaf, grace=0.05)
        )
        await leading.wait()
        await client.patch(LEASES, "controller", {"spec": {"holderIdentity": "thief"}}, "sys")
        assert await leads is False
    assert cancelled.is_set()


async def test_a_process_without_a_right_to_read_pods_still_takes_turns(api: FakeApi) -> None:
    spec = {"holderIdentity": "x_y", "leaseDurationSeconds": 1, "renewTime": "t"}
    await api.change("ADDED", PATH, {"metadata": {"name": "controller", "namespace": "sys"}, "spec": spec})
    api.forbidden.add(PODS.path("sys", "x"))
    async with candidates(api, "b") as [second]:
        await second.leading.wait()
        assert spec_of(api)["holderIdentity"] == "b_uid-b"
