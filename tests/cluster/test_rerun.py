"""Reruns on the real cluster: what is recorded is not repeated, and its files are there."""

import asyncio
import json
from typing import Any

from live import Cluster, citadel, python

LEAVE = """
import pathlib, uuid
def main():
    text = str(uuid.uuid4())
    pathlib.Path("/work/text").write_text(text)
    return text
"""
ITEM = """
import uuid
def main(x, bad):
    if x == bad:
        raise ValueError(f"item {x}")
    return f"{x} {uuid.uuid4()}"
"""
INPUTS = {"type": "object", "properties": {"bad": {"type": "integer"}}}


async def outputs(cluster: Cluster, name: str, step: str) -> Any:
    given = ("get", name, "-n", cluster.namespace, "--outputs", "--step", step)
    return json.loads(await asyncio.to_thread(citadel, *given))


async def test_after_a_failure_one_item_runs_again_on_another_input(cluster: Cluster) -> None:
    load = python("load", ITEM, args={"x": "${item}", "bad": "${inputs.bad}"})
    loop = {**load, "forEach": {"items": [0, 1, 2], "parallelism": 1}}
    check = {
        **python("check", "import pathlib\ndef main(): return pathlib.Path('/work/text').read_text()"),
        "artifacts": {"in": {"/work/text": "steps.make.artifacts.text"}},
    }
    make = {**python("make", LEAVE), "artifacts": {"out": {"text": "/work/text"}}}
    await cluster.workflow("flow", [make, loop, check], inputs=INPUTS)
    first = await cluster.execute("flow", inputs={"bad": 2})
    assert (await cluster.finished(first))["status"]["phase"] == "Failed"
    given = ("rerun", first, "-n", cluster.namespace, "--failed", "-i", "bad=7", "--name", "again", "--wait")
    await asyncio.to_thread(citadel, *given)
    made = await outputs(cluster, first, "make")
    assert await outputs(cluster, "again", "make") == made
    assert await outputs(cluster, "again", "check") == made
    for item in ("load[0]", "load[1]"):
        assert await outputs(cluster, "again", item) == await outputs(cluster, first, item)
    shown = await asyncio.to_thread(citadel, "get", "again", "-n", cluster.namespace)
    assert f"a rerun of {first}" in shown
    assert shown.count(f"Recalled: from execution {first}") == 3
    # The new one has all of its own: it can be run again when the first is gone.
    given = ("rerun", "again", "-n", cluster.namespace, "--from", "check", "--name", "third", "--wait")
    await asyncio.to_thread(citadel, *given)
    assert await outputs(cluster, "third", "check") == made
    assert await outputs(cluster, "third", "load") == await outputs(cluster, "again", "load")


async def test_an_execution_that_is_unknown_says_so(cluster: Cluster) -> None:
    await cluster.workflow("flow", [python("a", "def main(): return 1")])
    name = await cluster.execute("flow", rerunOf={"name": "nothing", "failed": True})
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "CannotRerun"), status
    assert "Execution nothing does not exist" in status["message"]


async def test_a_step_with_a_cache_runs_once_with_its_files(cluster: Cluster) -> None:
    make = {**python("make", LEAVE), "artifacts": {"out": {"text": "/work/text"}}, "cache": {"ttl": "1h"}}
    check = {
        **python("check", "import pathlib\ndef main(): return pathlib.Path('/work/text').read_text()"),
        "artifacts": {"in": {"/work/text": "steps.make.artifacts.text"}},
    }
    await cluster.workflow("flow", [make, check], outputs={"x": "${steps.check.output}"})
    first = await cluster.run("flow")
    second = await cluster.run("flow")
    assert first.get("outputs") == second.get("outputs") is not None, (first, second)
    third = await cluster.run("flow", noCache=True)
    assert third.get("outputs") != first["outputs"], third
