"""`make bench`: Citadel beside a bare pod, in one run, on the cluster that is there.

Prints a table of medians and ratios. Nothing here fails for being slow: speed is measured, not asserted.
Another engine is compared by adding a Contender to `contenders`.
"""

import asyncio
import os
import statistics
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.table import Table

from bench import items
from bench.contenders import Bench, Contender, contenders
from bench.egress import added_by_proxy
from bench.footprint import controller_memory, kube_writes
from bench.machine import observed
from bench.pools import OneStepWarm, measure
from bench.transitions import transitions
from bench.warm import warm_java_of_other_classes, warm_steps
from citadel.kube.client import KubeClient
from citadel.kube.config import from_kubeconfig
from citadel.kube.resources import NAMESPACES
from citadel.render.pod import HARNESS
from live import Cluster, kubeconfig

ROUNDS = 7
GOALS = dict.fromkeys(("python", "javascript"), "median ≤ 15, p99 ≤ 50")


@dataclass(frozen=True)
class Row:
    """What one contender took, in seconds."""

    name: str
    median: float
    least: float
    most: float


async def race(bench: Bench, console: Console) -> dict[str, Row]:
    """All contenders, interleaved, so that the machine's moods fall on all alike."""
    racing: list[Contender] = everyone()
    times: dict[str, list[float]] = {contender.name: [] for contender in racing}
    for contender in racing:
        await contender.prepare(bench)
        await contender.run(bench)
    for number in range(ROUNDS):
        for contender in racing:
            if number < contender.rounds:
                times[contender.name].append(await contender.run(bench))
        console.print(f"round {number + 1} of {ROUNDS}", highlight=False)
    return {
        name: Row(name, statistics.median(found), min(found), max(found)) for name, found in times.items()
    }


def everyone() -> list[Contender]:
    """Everything that is measured; what needs a pool is last, for its pool takes part of the machine."""
    return [*contenders(), OneStepWarm()]


async def main() -> None:
    console = Console(width=110)
    load = os.getloadavg()[0]
    console.print(
        f"{os.cpu_count()} cores, load {load:.1f} before the run; every time is create to end seen by a watch"
    )
    async with KubeClient(from_kubeconfig([kubeconfig()])) as kube:
        namespace = f"bench-{uuid.uuid4().hex[:6]}"
        metadata = {"name": namespace}
        await kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        bench = Bench(Cluster(kube, namespace))
        try:
            rows = await race(bench, console)
            warm = {language: await warm_steps(bench.cluster, language) for language in sorted(HARNESS)}
            warm["java, other classes"] = await warm_java_of_other_classes(bench.cluster)
            many = [*transitions(), *await items.measure(bench.cluster)]
            pools = await measure(bench.cluster)
            proxied, direct = await added_by_proxy(bench.cluster)
            writes = await kube_writes(bench.cluster)
            memory = await controller_memory(bench.cluster)
        finally:
            await kube.delete(NAMESPACES, namespace)
    console.print(table(rows))
    console.print(warm_table(warm))
    for line in (*many, *pools):
        console.print(line, highlight=False)
    console.print(egress_line(proxied, direct))
    console.print(f"API writes by Citadel per one-step execution: {writes:.1f} (at most 5)")
    console.print(f"controller memory with 1,000 queued executions: {memory:.0f} MB (at most 200)")
    console.print(f"load after the run: {os.getloadavg()[0]:.1f}; finished {time.strftime('%Y-%m-%d %H:%M')}")


def table(rows: dict[str, Row]) -> Table:
    """The result, with the ratio to what each contender is measured against."""
    result = Table(title="seconds")
    for heading in ("what", "median", "least", "most", "beside", "ratio", "goal"):
        result.add_column(heading, justify="left" if heading in ("what", "beside") else "right")
    for contender in everyone():
        row = rows[contender.name]
        beside = rows.get(contender.beside)
        ratio = f"{row.median / beside.median:.2f}" if beside else ""
        figures = (f"{row.median:.2f}", f"{row.least:.2f}", f"{row.most:.2f}")
        result.add_row(row.name, *figures, contender.beside, ratio, contender.goal)
    return result


def egress_line(proxied: list[float], direct: list[float]) -> str:
    """What the egress proxy adds to a connection, from the look-up of its name to the first byte."""
    through, beside = (1000 * statistics.median(times) for times in (proxied, direct))
    return (
        f"a connection through the egress proxy: {through:.2f} ms, from an ordinary pod: {beside:.2f} ms;"
        f" added {through - beside:.2f} (at most 2)"
    )


def warm_table(warm: dict[str, list[float]]) -> Table:
    """What a step costs that follows another one in its sandbox, in each language."""
    result = Table(title="a warm step, start to start, back to back: milliseconds")
    for heading in ("language", "median", "p99", "to python", "goal"):
        result.add_column(heading, justify="left" if heading in ("language", "goal") else "right")
    python = statistics.median(warm["python"])
    for language, times in warm.items():
        median, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
        figures = (f"{median * 1000:.1f}", f"{p99 * 1000:.1f}", f"{median / python:.2f}")
        result.add_row(language, *figures, GOALS.get(language, "≤ 2 × python"))
    return result


with observed():
    asyncio.run(main())
