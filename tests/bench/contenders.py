"""What runs against what."""

import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from citadel.kube.resources import PODS, RUNTIMES
from live import SYSTEM, Cluster, foreign_image, python

ONE = "def main(): return 1"
FIBONACCI = """
def main(n=10):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
"""


@dataclass
class Bench:
    """The namespace that everything runs in."""

    cluster: Cluster
    known: dict[str, str] = field(default_factory=dict)

    async def image(self) -> str:
        """An image that is on the node."""
        if "image" not in self.known:
            found = await self.cluster.kube.get(RUNTIMES, "python", SYSTEM)
            self.known["image"] = found["spec"]["image"]
        return self.known["image"]


class Contender(ABC):
    """One way to get something done. `beside` names the contender it is compared with."""

    name: ClassVar[str]
    beside: ClassVar[str] = ""
    goal: ClassVar[str] = ""
    rounds: ClassVar[int] = 7

    @abstractmethod
    async def prepare(self, bench: Bench) -> None:
        """Makes what is made once."""

    @abstractmethod
    async def run(self, bench: Bench) -> float:
        """Does it once; returns seconds from create to its end, seen by a watch."""


class BarePod(Contender):
    """A pod that runs `true`, as any engine with a pod per step has to start."""

    name = "bare pod"

    async def prepare(self, bench: Bench) -> None:
        await bench.image()

    async def run(self, bench: Bench) -> float:
        return await pods_in_a_row(bench, 1)


class BarePods(BarePod):
    """Three of them, each created when the one before has ended."""

    name = "three bare pods in a row"
    rounds = 4

    async def run(self, bench: Bench) -> float:
        return await pods_in_a_row(bench, 3)


class WorkflowRun(Contender):
    """An Execution of a workflow."""

    workflow: ClassVar[str]

    @abstractmethod
    async def steps(self, bench: Bench) -> list[dict[str, Any]]:
        """The workflow's steps."""

    async def prepare(self, bench: Bench) -> None:
        await bench.cluster.workflow(self.workflow, await self.steps(bench))

    async def run(self, bench: Bench) -> float:
        started = time.perf_counter()
        name = await bench.cluster.execute(self.workflow)
        status = (await bench.cluster.finished(name, 120))["status"]
        assert status["phase"] == "Succeeded", status
        return time.perf_counter() - started


class OneStep(WorkflowRun):
    name, beside, goal, workflow = "one step, cold sandbox", "bare pod", "≤ 0.40", "one"

    async def steps(self, bench: Bench) -> list[dict[str, Any]]:
        return [python("a", ONE)]


class OneStepGvisor(OneStep):
    name, beside, goal = "one step, cold, gVisor", "one step, cold sandbox", "≤ 0.2 s more"
    workflow = "one-gvisor"

    async def steps(self, bench: Bench) -> list[dict[str, Any]]:
        spec = {"language": "python", "image": await bench.image(), "runtimeClassName": "gvisor"}
        await bench.cluster.runtime("gvisor", spec)
        return [python("a", ONE, run={"runtime": "gvisor"})]


class ThreeSteps(WorkflowRun):
    name, beside, goal = "three steps, one session", "three bare pods in a row", "≤ 0.15"
    workflow = "three"

    async def steps(self, bench: Bench) -> list[dict[str, Any]]:
        return [python(name, ONE) for name in ("a", "b", "c")]


class OneContainer(WorkflowRun):
    name, beside, workflow = "one container step", "bare pod", "container"
    rounds = 4

    async def steps(self, bench: Bench) -> list[dict[str, Any]]:
        return [{"name": "a", "container": {"image": foreign_image(), "command": ["true"]}}]


class ThreeContainers(WorkflowRun):
    name, beside, workflow = "three container steps", "three bare pods in a row", "containers"
    rounds = 3

    async def steps(self, bench: Bench) -> list[dict[str, Any]]:
        container = {"image": foreign_image(), "command": ["true"]}
        return [{"name": name, "container": container} for name in ("a", "b", "c")]


class FourHundred(WorkflowRun):
    name, goal, workflow, rounds = "400 light steps in a row", "≤ 8 s", "many", 2

    async def steps(self, bench: Bench) -> list[dict[str, Any]]:
        return [python(f"s{number}", FIBONACCI) for number in range(400)]


def contenders() -> list[Contender]:
    """Everything that is measured, in the order of the table."""
    return [
        BarePod(),
        OneStep(),
        OneStepGvisor(),
        OneContainer(),
        BarePods(),
        ThreeSteps(),
        ThreeContainers(),
        FourHundred(),
    ]


async def pods_in_a_row(bench: Bench, number: int) -> float:
    """Seconds for so many pods, one after the other."""
    cluster, image = bench.cluster, await bench.image()
    started = time.perf_counter()
    for _ in range(number):
        name = f"bare-{uuid.uuid4().hex[:8]}"
        container = {"name": "main", "image": image, "command": ["true"]}
        spec = {"restartPolicy": "Never", "containers": [container], "terminationGracePeriodSeconds": 0}
        metadata = {"name": name, "namespace": cluster.namespace}
        pod = await cluster.kube.create(
            PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        )
        version = pod["metadata"]["resourceVersion"]
        selector = f"metadata.name={name}"
        async for event in cluster.kube.watch(
            PODS, cluster.namespace, resource_version=version, field_selector=selector
        ):
            if event.object.get("status", {}).get("phase") == "Succeeded":
                break
    return time.perf_counter() - started
