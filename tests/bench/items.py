"""What one more costs where there are many items of a loop, or steps of a chain, beside where there are few.

The log says when each was given to its sandbox, and which transactions wrote it; Citadel's own metrics count
writes to the API server.
"""

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench.footprint import writes_so_far
from live import Cluster, python, sql

FEW, MANY = 10, 1000
#: Executions with few, so that there is something to take the median of.
ROUNDS = 12
CODE = "def main(x): return x"
_LIST = {"type": "object", "properties": {"list": {"type": "array"}}}


@dataclass(frozen=True)
class Costs:
    """Milliseconds from one to the next, back to back; and what else one takes."""

    name: str
    few: float
    many: float
    commits: float
    writes: float

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.many:.1f} ms of {MANY}, {self.few:.1f} ms of {FEW},"
            f" ratio {self.many / self.few:.2f} (at most 1.5);"
            f" {self.commits:.2f} commits and {self.writes:.3f} API writes each"
        )


async def measure(cluster: Cluster) -> list[str]:
    """All of it, as lines for people."""
    each = python("each", CODE, args={"x": "${item}"}, forEach={"items": "${inputs.list}", "parallelism": 1})
    await cluster.workflow("items", [each], parallelism=1, inputs=_LIST)
    for count in (FEW, MANY):
        steps = [
            python(f"s{number}", CODE, args={"x": f"${{steps.s{number - 1}.output}}" if number else 0})
            for number in range(count)
        ]
        await cluster.workflow(f"chain-{count}", steps, parallelism=1)
    loop, chain = [], []
    for _ in range(ROUNDS):
        loop += (await _run(cluster, "items", inputs={"list": list(range(FEW))}))[0]
        chain += (await _run(cluster, f"chain-{FEW}"))[0]
    items = {"inputs": {"list": list(range(MANY))}}
    return [
        str(await _costs(cluster, "an item of a loop", loop, "items", **items)),
        str(await _costs(cluster, "a step of a chain", chain, f"chain-{MANY}")),
    ]


async def _costs(cluster: Cluster, name: str, few: Sequence[float], workflow: str, **spec: Any) -> Costs:
    before = writes_so_far()
    many, uid = await _run(cluster, workflow, **spec)
    writes = (writes_so_far() - before) / MANY
    query = f"SELECT count(DISTINCT xmin::text) FROM events WHERE uid = '{uid}'"
    commits = int((await asyncio.to_thread(sql, query))[0]) / MANY
    return Costs(name, statistics.median(few), statistics.median(many), commits, writes)


async def _run(cluster: Cluster, workflow: str, **spec: Any) -> tuple[list[float], str]:
    """Runs it to its end: milliseconds from one attempt to the next, and its uid."""
    found = await cluster.finished(await cluster.execute(workflow, **spec), 300)
    assert found["status"]["phase"] == "Succeeded", found["status"]
    uid = found["metadata"]["uid"]
    query = f"SELECT at FROM events WHERE kind = 'Assigned' AND uid = '{uid}' ORDER BY seq"
    times = [float(at) for at in await asyncio.to_thread(sql, query)]
    return [(after - before) * 1000 for before, after in pairwise(times)], uid
