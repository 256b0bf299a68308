"""The corpus is run once, in sandboxes and in twins, at the same time as far as the machine allows."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from citadel.kube.client import KubeClient
from citadel.kube.config import from_kubeconfig
from citadel.kube.resources import NAMESPACES, POLICIES
from hostile.corpus import CASES, Case
from hostile.sandboxes import kernel, run_alone, run_shelf, ship
from hostile.town import Knocker, build
from hostile.twins import run_twin
from live import Cluster, kubeconfig

#: Executions and twins at a time: each start takes half a second of a core.
AT_A_TIME = 4
#: Twins are what this standard forbids.
LABELS = {"pod-security.kubernetes.io/enforce": "privileged"}
Said = dict[str, dict[str, str]]


@dataclass
class Findings:
    """What each case got in a sandbox and in its twin, by the name of its step."""

    sandboxes: Said = field(default_factory=dict)
    twins: Said = field(default_factory=dict)
    kernel: str = ""


@asynccontextmanager
async def namespace() -> AsyncIterator[Cluster]:
    """A namespace of the test's own."""
    name = f"hostile-{uuid.uuid4().hex[:6]}"
    async with KubeClient(from_kubeconfig([kubeconfig()])) as kube:
        metadata = {"name": name, "labels": LABELS}
        await kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            yield Cluster(kube, name)
        finally:
            await kube.delete(NAMESPACES, name)


@asynccontextmanager
async def runtime_class(cluster: Cluster, name: str | None) -> AsyncIterator[None]:
    """An ExecutionPolicy by which sandboxes of the namespace have this RuntimeClass; none without a name."""
    if name is None:
        yield
        return
    selector = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    policy = {
        "apiVersion": POLICIES.api_version,
        "kind": "ExecutionPolicy",
        "metadata": {"name": cluster.namespace},
        "spec": {"namespaceSelector": selector, "runtimeClass": {"name": name}},
    }
    await cluster.kube.create(POLICIES, policy)
    try:
        yield
    finally:
        await cluster.kube.delete(POLICIES, cluster.namespace)


async def run_corpus(cases: list[Case], class_name: str | None = None, *, twins: bool) -> Findings:
    """These cases, once: in sandboxes of a RuntimeClass, and in twins if they are asked for."""
    found, few = Findings(), asyncio.Semaphore(AT_A_TIME)

    async def gather(into: Said, work: Callable[[], Awaitable[Said]]) -> None:
        async with few:
            into.update(await work())

    async with namespace() as cluster, runtime_class(cluster, class_name):
        await ship(cluster, cases)
        facts = await build(cluster)
        found.kernel = await kernel(cluster)
        work = []
        for shelf in dict.fromkeys(case.shelf for case in cases if not case.alone):
            together = [case for case in cases if case.shelf == shelf and not case.alone]
            work.append(
                gather(found.sandboxes, lambda together=together: run_shelf(cluster, together, facts))
            )
        for case in cases:
            if case.alone:
                work.append(gather(found.sandboxes, lambda case=case: run_alone(cluster, case, facts)))
        for twin, language in dict.fromkeys((case.twin, case.language) for case in cases) if twins else ():
            alike = [case for case in cases if (case.twin, case.language) == (twin, language)]
            work.append(
                gather(found.twins, lambda twin=twin, alike=alike: run_twin(cluster, twin, alike, facts))
            )
        async with Knocker(cluster):
            await asyncio.gather(*work)
    return found


@pytest.fixture(scope="session")
def findings() -> Findings:
    """What the corpus got in ordinary sandboxes, and in its twins."""
    return asyncio.run(run_corpus(list(CASES), twins=True))


@pytest.fixture(scope="session")
def gvisor_findings() -> Findings:
    """What it got under gVisor."""
    asked = [case for case in CASES if not case.gvisor]
    return asyncio.run(run_corpus(asked, "gvisor", twins=False))
