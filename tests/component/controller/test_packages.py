"""Packages of a Runtime: installed by an ordinary Execution, waited for, tried again, forged by nobody."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from build import python_step
from citadel.api.meta import PACKAGES_LABEL
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.values import Content, Inline
from component.controller.cluster import Cluster, Controller
from component.controller.clusterapi import path_of

LINE = f"alpha==1.0 --hash=sha256:{'0a' * 32}"
RUNTIME = {"language": "python", "image": "python:1", "packages": {"pip": [LINE]}}


def message(cluster: Cluster, name: str = "data") -> str:
    conditions = cluster.status(name, "runtimes").get("conditions") or ()
    return next(
        (f"{item['reason']}: {item['message']}" for item in conditions if item["type"] == "Ready"), ""
    )


def executions(cluster: Cluster) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in cluster.api.objects if "/executions/" in path)


async def installing(cluster: Cluster, attempt: int = 1, **changes: Any) -> str:
    """Defines the Runtime `data`; returns the Execution that installs its packages."""
    if attempt == 1:
        await cluster.apply("runtimes", "data", {**RUNTIME, **changes}, metadata={"uid": "data-uid"})
    await cluster.until(lambda: any(name.endswith(f"-{attempt}") for name in executions(cluster)))
    (name,) = (name for name in executions(cluster) if name.endswith(f"-{attempt}"))
    return name


def uid_of(cluster: Cluster, name: str) -> str:
    return str(cluster.api.objects[path_of("executions", name)]["metadata"]["uid"])


async def install(cluster: Cluster, controller: Controller, name: str) -> Content:
    """Plays the sandbox of an install: a tree is stored, and its step succeeds."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a tree"

    row = await cluster.register(uid_of(cluster, name))
    tree = await controller.blobs.put("team", pieces())
    fact = ev.AttemptSucceeded("install", 1, row.name, Inline(None), {"packages": tree})
    await cluster.database.journal.advance(row.uid, [fact])
    return tree


async def fail(cluster: Cluster, name: str) -> None:
    row = await cluster.register(uid_of(cluster, name))
    failure = Failure("Error", "pip ended with exit code 1", log_tail="looking\nERROR: no alpha==1.0\n")
    await cluster.database.journal.advance(row.uid, [ev.AttemptFailed("install", 1, row.name, failure)])


async def test_packages_are_installed_by_an_execution_that_people_see(cluster: Cluster) -> None:
    controller = await cluster.lead()
    name = await installing(cluster)
    await cluster.until(lambda: message(cluster).startswith("InstallingPackages"))
    assert message(cluster) == f"InstallingPackages: Execution {name} installs its packages"
    made = cluster.api.objects[path_of("executions", name)]
    assert made["metadata"]["labels"] == {PACKAGES_LABEL: "data-uid"}
    assert made["metadata"]["ownerReferences"][0]["name"] == "data"
    row = await cluster.sandbox(uid_of(cluster, name))
    assert row.template["image"] == "python:1"
    assert "packages" not in row.template
    tree = await install(cluster, controller, name)
    await cluster.until(lambda: cluster.ready("data", "runtimes") == "True")
    assert cluster.status("data", "runtimes")["packages"] == {
        "digest": tree.digest,
        "size": tree.size,
        "execution": name,
    }


async def test_an_execution_waits_for_the_packages_of_its_runtime_and_then_has_them(cluster: Cluster) -> None:
    controller = await cluster.lead()
    name = await installing(cluster)
    step = {**python_step("a"), "run": {"runtime": "data", "code": "def main(): pass"}}
    await cluster.apply("workflows", "flow", {"steps": [step]})
    uid = await cluster.submit()
    status = await cluster.phase("Pending")
    assert status["reason"] == "InstallingPackages"
    assert name in status["message"]
    cluster.ahead += 60  # longer than anything else is waited for
    await asyncio.sleep(1.2)
    assert cluster.status()["phase"] == "Pending"
    tree = await install(cluster, controller, name)
    row = await cluster.sandbox(uid)
    assert row.template["packages"] == {"namespace": "team", "digest": tree.digest, "size": tree.size}
    await cluster.until(lambda: cluster.ready("flow", "workflows") == "True")


async def test_a_failed_install_shows_its_last_lines_and_is_tried_again_a_bounded_number_of_times(
    cluster: Cluster,
) -> None:
    await cluster.lead()
    for attempt, later in ((1, 70), (2, 400), (3, 4000)):
        name = await installing(cluster, attempt)
        await fail(cluster, name)
        await cluster.until(lambda: message(cluster).startswith("PackagesFailed"))
        assert f"Execution {name}: Error: " in message(cluster)
        assert "ERROR: no alpha==1.0" in message(cluster)
        cluster.ahead = later
        await cluster.apply("runtimes", "data", RUNTIME, metadata={"labels": {"look": str(attempt)}})
    assert "It was tried 3 times; a change of spec begins anew." in message(cluster)
    assert len(executions(cluster)) == 3
    await cluster.apply("runtimes", "data", {**RUNTIME, "image": "python:2"})
    await cluster.until(lambda: len(executions(cluster)) == 4)


async def test_without_an_index_the_message_says_what_the_admin_has_to_set(cluster: Cluster) -> None:
    await cluster.lead()
    spec = {"language": "javascript", "image": "js:1", "packages": {"npm": [f"a@1.0.0 sha512-{'A' * 86}=="]}}
    await cluster.apply("runtimes", "data", spec, metadata={"uid": "data-uid"})
    await cluster.until(lambda: cluster.ready("data", "runtimes") == "False")
    assert "its admin names one in the chart's value packages.indexes.npm" in message(cluster)


@pytest.mark.parametrize("labelled", [False, True])
async def test_an_execution_that_somebody_else_has_put_in_the_place_of_an_install_is_not_believed(
    cluster: Cluster, labelled: bool
) -> None:
    """Whoever may make Executions, but no Runtimes, must not choose what all steps of a Runtime import."""
    controller = await cluster.lead()
    name = await installing(cluster)
    await cluster.remove("executions", name)
    mine = cluster.api.objects[path_of("workflows", name.rpartition("-")[0])]
    evil = python_step("install")
    evil["artifacts"] = {"out": {"packages": "packages"}}
    await cluster.apply("workflows", "flow", {"steps": [evil]}, metadata={} if not labelled else _marks(mine))
    await cluster.apply("runtimes", "python", {"language": "python", "image": "python:1"})
    marks = _marks(mine) if labelled else {}
    await cluster.apply("executions", name, {"workflowRef": {"name": "flow"}}, metadata=marks)
    await install(cluster, controller, name)
    await cluster.apply("runtimes", "data", RUNTIME, metadata={"labels": {"look": "again"}})
    await cluster.until(lambda: "is not what installs these packages; delete it" in message(cluster))
    assert "packages" not in cluster.status("data", "runtimes")


def _marks(obj: dict[str, Any]) -> dict[str, Any]:
    return {key: obj["metadata"][key] for key in ("labels", "ownerReferences")}


async def test_packages_that_are_lost_are_installed_once_more(cluster: Cluster) -> None:
    controller = await cluster.lead()
    await install(cluster, controller, await installing(cluster))
    await cluster.until(lambda: cluster.ready("data", "runtimes") == "True")
    cluster.ahead += 2 * 3600
    await cluster.forget_blobs()
    await cluster.apply("runtimes", "data", RUNTIME, metadata={"labels": {"look": "again"}})
    name = await installing(cluster, 2)
    await install(cluster, controller, name)
    await cluster.until(
        lambda: cluster.status("data", "runtimes").get("packages", {}).get("execution") == name
    )
