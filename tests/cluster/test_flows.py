"""The examples on a real cluster, as somebody with the role `edit`; those with containers also here."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from enginebox import engine
from flows import FLOWS, Decision, Flow, Signal, check, local_options
from live import CLUSTER_DIR, Cluster, User, asked, decide, kubectl, manifests

COMMAND = [sys.executable, "-c", "from citadel.cli import main; main(prog_name='citadel')"]


@pytest.mark.parametrize("flow", FLOWS, ids=str)
async def test_an_example_does_in_the_cluster_what_it_has_to(
    cluster: Cluster, user: User, flow: Flow
) -> None:
    for group in {told.group for told in flow.outside if isinstance(told, Decision)}:
        role = ("--clusterrole=citadel-approver", f"--group={group}")
        kubectl("create", "rolebinding", f"deciders-{group}", *role, "-n", cluster.namespace)
    user.kubectl("apply", "-f", "-", stdin=flow.hurried(manifests(flow.folder)))
    name = await cluster.execute(flow.example, inputs=flow.inputs)
    for told in flow.outside:
        await tell(cluster, user, name, told)
    status = (await cluster.finished(name, 120))["status"]
    log = user.citadel("logs", name)
    message = str(status.get("failure", {}).get("message"))
    check(flow, status["phase"] == "Succeeded", status.get("outputs"), log, message)


async def tell(cluster: Cluster, user: User, name: str, told: Decision | Signal) -> None:
    """Says what comes from outside, when it is waited for, unless it is to come before."""
    if isinstance(told, Signal):
        if not told.early:
            await cluster.until(
                name, lambda found: found.get("status", {}).get("reason") == "WaitingForSignal"
            )
        user.citadel("signal", name, told.name, "-i", f"amount:={told.payload['amount']}")
    else:
        approval = await asked(cluster, told.step)
        form = {"form": dict(told.form)} if told.form else {}
        decide(approval, told.by, told.group, approve=told.approve, reason=told.reason, **form)


@pytest.fixture(scope="module")
def engine_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Podman with the images that were built for the cluster; docker has them itself where it built them."""
    storage = CLUSTER_DIR / "storage"
    if not storage.exists():
        yield {"CITADEL_ENGINE": "docker"}
        return
    with engine(tmp_path_factory.mktemp("engine"), [storage]) as env:
        yield env


@pytest.mark.parametrize("flow", [flow for flow in FLOWS if flow.containers], ids=str)
def test_an_example_with_containers_does_the_same_without_a_cluster(
    flow: Flow, tmp_path: Path, engine_env: dict[str, str]
) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(flow.hurried(manifests(flow.folder)))
    done = subprocess.run(
        [*COMMAND, "run", "--local", str(file), *local_options(flow), "--logs"],
        env=os.environ | engine_env, capture_output=True, text=True,
    )  # fmt: skip
    outputs = json.loads(done.stdout) if done.returncode == 0 else None
    check(flow, done.returncode == 0, outputs, done.stderr, done.stderr)
