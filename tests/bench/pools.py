"""Warm pools: what a claim takes until user code runs.

Times of claims are the database's, times of user code its own; on one node that is one clock.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.contenders import Bench, WorkflowRun
from bench.footprint import writes_so_far
from citadel.kube.resources import RUNTIMES
from live import SYSTEM, Cluster, sql

NOW = "import time\ndef main(): return time.time()"
#: Claims one after another, every two seconds, and at once.
CLAIMS, EVERY, AT_ONCE = 60, 2.0, 10
GVISOR_CLAIMS = 20
WRITES = 10


@dataclass(frozen=True)
class Figures:
    """Milliseconds."""

    name: str
    values: Sequence[float]
    goal: str

    def __str__(self) -> str:
        ordered = sorted(self.values)
        last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
        median, most = statistics.median(ordered), ordered[-1]
        return f"{self.name}: median {median:.0f} ms, p99 {last:.0f} ms, most {most:.0f} ms ({self.goal})"


class OneStepWarm(WorkflowRun):
    name, beside, goal, workflow = "one step, warm pool", "bare pod", "≤ 0.10", "one-warm"

    async def steps(self, bench: Bench) -> list[dict[str, Any]]:
        await pool(bench.cluster, 2, 4)
        return [step("a", NOW)]

    async def run(self, bench: Bench) -> float:
        await ready(bench.cluster, 2)
        return await super().run(bench)


def step(name: str, code: str, runtime: str = "warm") -> dict[str, Any]:
    return {"name": name, "run": {"runtime": runtime, "code": code}}


async def pool(cluster: Cluster, least: int, most: int, runtime_class: str | None = None) -> None:
    """The pool of the namespace's own Runtime `warm`, or of the one named as its RuntimeClass."""
    shared = await cluster.kube.get(RUNTIMES, "python", SYSTEM)
    spec = {
        "language": "python",
        "image": shared["spec"]["image"],
        # Else what measures a cold start would claim from this pool: it would be the same.
        "resources": {"limits": {"memory": "250Mi"}},
        "pool": {"min": least, "max": most, "idleTTL": "1s"},
    }
    if runtime_class:
        spec["runtimeClassName"] = runtime_class
    await cluster.runtime(f"warm-{runtime_class}" if runtime_class else "warm", spec)


async def ready(cluster: Cluster, number: int) -> None:
    """Waits until so many members wait to be claimed."""
    await until(
        cluster, "uid IS NULL AND status = 'live' AND answered IS NOT NULL", lambda found: found >= number
    )


async def until(cluster: Cluster, condition: str, enough: Callable[[int], bool]) -> None:
    """Waits until there are so many sandboxes of the namespace of which this is true."""
    query = f"SELECT count(*) FROM sandboxes WHERE {condition} AND namespace = '{cluster.namespace}'"
    for _ in range(400):
        found = int((await asyncio.to_thread(sql, query))[0])
        if enough(found):
            return
        await asyncio.sleep(0.3)
    raise TimeoutError(f"of {found} sandboxes it is true that {condition}")


async def claims(cluster: Cluster, names: Sequence[str]) -> list[float]:
    """Milliseconds from claim to user code of these executions; those that had to wait for a start raise."""
    began = {}
    for name in names:
        status = (await cluster.finished(name))["status"]
        began[name] = float(status["outputs"]["at"])
    rows = sql(
        "SELECT execution, claimed_at FROM sandboxes"
        f" WHERE namespace = '{cluster.namespace}' AND claimed_at IS NOT NULL"
    )
    at = {name: float(when) for name, _, when in (row.partition("|") for row in rows) if when}
    missed = [name for name in names if name not in at]
    print(f"  of {len(names)} executions {len(missed)} found no member")
    return [(began[name] - at[name]) * 1000 for name in names if name in at]


async def one_after_another(cluster: Cluster) -> Figures:
    """A claim every two seconds, while the pool is refilled."""
    await pool(cluster, 3, 6)
    goal = f"one per {EVERY:.0f} s; median ≤ 60, p99 ≤ 250"
    return Figures("pool claim to first user code", await paced(cluster, "at", CLAIMS), goal)


async def under_gvisor(cluster: Cluster) -> Figures:
    """The same of a pool whose sandboxes have gVisor's kernel."""
    await pool(cluster, 0, 1)
    await pool(cluster, 3, 6, "gvisor")
    await cluster.workflow("at-gvisor", [step("a", NOW, "warm-gvisor")], outputs={"at": "${steps.a.output}"})
    values = await paced(cluster, "at-gvisor", GVISOR_CLAIMS)
    await pool(cluster, 0, 1, "gvisor")
    return Figures("the same under gVisor", values, "median ≤ 10 ms more")


async def paced(cluster: Cluster, workflow: str, count: int) -> list[float]:
    """Milliseconds from claim to user code, of claims at a steady pace."""
    await ready(cluster, 3)
    names = []
    for _ in range(count):
        due = time.monotonic() + EVERY
        names.append(await cluster.execute(workflow))
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    return await claims(cluster, names)


async def at_once(cluster: Cluster) -> Figures:
    """As many at once as the pool holds."""
    await pool(cluster, AT_ONCE, AT_ONCE)
    await ready(cluster, AT_ONCE)
    names = await asyncio.gather(*(cluster.execute("at") for _ in range(AT_ONCE)))
    return Figures(f"{AT_ONCE} claims at once", await claims(cluster, names), "all ≤ 500")


async def writes(cluster: Cluster) -> float:
    """API writes per execution that claims, with those of the pool itself."""
    await pool(cluster, 2, 4)
    # What the pool was before is not counted, nor its end.
    await until(cluster, "status <> 'gone'", lambda found: found == 2)
    await ready(cluster, 2)
    before = writes_so_far()
    for _ in range(WRITES):
        await ready(cluster, 1)
        await cluster.run("at")
    return (writes_so_far() - before) / WRITES


async def measure(cluster: Cluster) -> list[str]:
    """All of it, as lines for people."""
    await cluster.workflow("at", [step("a", NOW)], outputs={"at": "${steps.a.output}"})
    await pool(cluster, 2, 4)
    figures = [
        await one_after_another(cluster),
        await at_once(cluster),
    ]
    count = await writes(cluster)
    figures.append(await under_gvisor(cluster))
    return [*map(str, figures), f"API writes per one-step execution from a pool: {count:.1f} (at most 5)"]
