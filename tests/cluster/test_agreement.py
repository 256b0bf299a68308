"""Generated workflows on a real cluster: what runs, how often, and what it gives is what has to.

Each is made of a seed; CITADEL_AGREE says which, as in 0-40. `make agree` runs two hundred.
"""

import asyncio
import json
import os
import time
from collections import Counter
from dataclasses import dataclass

import pytest

import proofs
from agree.cases import Case
from agree.code import MARK
from agree.generator import Generator
from agree.told import Found, differences, report
from citadel.core.children import child_name
from citadel.kube.resources import Object
from live import Cluster, citadel, sql

FIRST, BEHIND = map(int, os.environ.get("CITADEL_AGREE", proofs.of("0-16", "0-40")).split("-"))
#: Executions under way: more would only wait for each other's pods to start.
AT_ONCE = 8
EACH_SECONDS = 120


@dataclass
class Recorded:
    """What the journal has of the executions of a namespace, by their uids."""

    names: dict[str, str]
    attempts: Counter[tuple[str, str]]
    """How many attempts each step had that were given to a sandbox."""
    printed: Counter[tuple[str, str]]
    """How often the code of each step has said that it ran."""
    wanted: list[tuple[str, str, int]]
    """Attempts of steps that are executions of other workflows."""

    def of(self, uid: str) -> tuple[Counter[str], Counter[str]]:
        """Attempts of an execution and of those within it: as recorded, and as printed."""
        uids = {name: uid for uid, name in self.names.items()}
        both = [
            Counter({step: count for (of, step), count in counts.items() if of == uid})
            for counts in (self.attempts, self.printed)
        ]
        for step, attempt in ((step, attempt) for of, step, attempt in self.wanted if of == uid):
            inner = self.of(uids[child_name(self.names[uid], uid, step, attempt)])
            for mine, its in zip(both, inner, strict=True):
                mine.update({f"{step}/{name}": count for name, count in its.items()})
        attempts, printed = both
        return attempts, printed


def recorded(namespace: str) -> Recorded:
    """Reads the log and the output of all executions of a namespace."""
    mine = f"uid IN (SELECT uid FROM executions WHERE namespace = '{namespace}')"
    said = f"sum((length(text) - length(replace(text, '{MARK}', ''))) / {len(MARK)})"
    step = "data->>'step'"
    names = _cells(f"SELECT uid, name FROM executions WHERE {mine}")
    given = f"{mine} AND kind = 'Assigned' GROUP BY 1, 2"
    attempts = _cells(f"SELECT uid, {step}, count(DISTINCT data->>'attempt') FROM events WHERE {given}")
    printed = _cells(f"SELECT uid, step, {said} FROM logs WHERE {mine} AND stream = 'stdout' GROUP BY 1, 2")
    wanted = _cells(f"SELECT uid, {step}, data->>'attempt' FROM events WHERE {mine} AND kind = 'ChildWanted'")
    return Recorded(
        {row[0]: row[1] for row in names},
        Counter({(uid, step): int(count) for uid, step, count in attempts}),
        Counter({(uid, step): int(count) for uid, step, count in printed}),
        [(uid, step, int(attempt)) for uid, step, attempt in wanted],
    )


def _cells(query: str) -> list[list[str]]:
    return [row.split("|") for row in sql(query)]


def found(cluster: Cluster, obj: Object, rows: Recorded) -> Found:
    """One run, by its object and what the journal has of it."""
    name, status = obj["metadata"]["name"], obj["status"]
    outputs = status.get("outputs")
    if "largeOutputs" in status:
        outputs = json.loads(citadel("get", name, "--outputs", "-n", cluster.namespace))
    return Found(status["phase"], status["reason"], outputs, *rows.of(obj["metadata"]["uid"]))


@pytest.mark.timeout(900)
async def test_runs_on_the_cluster_agree_with_the_reference_interpreter(cluster: Cluster) -> None:
    cases = {seed: Generator(seed).case() for seed in range(FIRST, BEHIND)}
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(case: Case) -> Object:
        async with gate:
            for name, spec in reversed(list(case.workflows)):
                await cluster.workflow(name, spec.pop("steps"), **spec)
            await cluster.execute(case.name, case.name)
            for name, payload in case.signals.items():
                given = [word for key, value in payload.items() for word in ("-i", f"{key}:={value}")]
                await asyncio.to_thread(citadel, "signal", case.name, name, *given, "-n", cluster.namespace)
            return await cluster.finished(case.name, EACH_SECONDS)

    begin = time.monotonic()
    objects = dict(zip(cases, await asyncio.gather(*map(run, cases.values())), strict=True))
    took = time.monotonic() - begin
    rows = await asyncio.to_thread(recorded, cluster.namespace)
    # Logs may follow their result.
    while rows.printed != rows.attempts and time.monotonic() < begin + took + 20:
        rows = await asyncio.to_thread(recorded, cluster.namespace)
    wrong = []
    for seed, case in cases.items():
        problems = differences(case, found(cluster, objects[seed], rows))
        wrong += [report(seed, case, problems)] if problems else []
    assert not wrong, f"{len(wrong)} of {len(cases)} differ\n" + "\n".join(wrong[:3])
    attempts = rows.attempts.total()
    print(f"{len(cases)} workflows, {len(rows.names)} executions, {attempts} attempts in {took:.0f} s")
