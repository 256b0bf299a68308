"""The example `degree-days`, run by somebody who has the role `edit` in one namespace and nothing else."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from degreedays import EXAMPLE, Year, read
from live import CLUSTER_DIR, SANDBOXES, Cluster, kubectl

IMAGES = EXAMPLE.parents[1] / "build" / "images.env"
BASE = 18


@dataclass(frozen=True)
class User:
    """Somebody with a kubeconfig of their own and the role `edit` in one namespace."""

    kubeconfig: Path
    namespace: str

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        return kubectl("--kubeconfig", str(self.kubeconfig), *args, stdin=stdin, check=check)

    def citadel(self, *args: str) -> str:
        """What the command line prints."""
        env = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": f"{CLUSTER_DIR / 'bin'}:{os.environ['PATH']}",
        }
        program = str(Path(sys.executable).with_name("citadel"))
        done = subprocess.run([program, *args], capture_output=True, text=True, env=env, timeout=60)
        assert done.returncode == 0, f"citadel {' '.join(args)}: {done.stderr}"
        return done.stdout

    def finished(self, manifest: str) -> dict[str, Any]:
        """Creates an Execution and waits for its end, both as the README says; the object then."""
        name = self.kubectl("create", "-f", "-", "-o", "name", stdin=manifest).strip()
        self.kubectl("wait", "--for=condition=Finished", name, "--timeout=180s")
        found: dict[str, Any] = json.loads(self.kubectl("get", name, "-o", "json"))
        return found


@pytest.fixture
def user(cluster: Cluster, tmp_path: Path) -> User:
    """A user bound to `edit` in the test's namespace."""
    namespace = cluster.namespace
    kubectl("create", "serviceaccount", "someone", "-n", namespace)
    subject = f"--serviceaccount={namespace}:someone"
    kubectl("create", "rolebinding", "someone", "--clusterrole=edit", subject, "-n", namespace)
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    config["users"][0]["user"] = {"token": kubectl("create", "token", "someone", "-n", namespace).strip()}
    config["contexts"][0]["context"]["namespace"] = namespace
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return User(path, namespace)


@pytest.fixture
def applied(user: User) -> User:
    """That user, who has applied the example with the image that was built for it."""
    manifests = user.kubectl("kustomize", str(EXAMPLE))
    built = dict(line.split("=", 1) for line in IMAGES.read_text().splitlines())
    manifests = manifests.replace("localhost/citadel-degree-days:dev", built["CITADEL_IMAGE_DEGREE_DAYS"])
    user.kubectl("apply", "-f", "-", stdin=manifests)
    return user


def run(comfort: float | None = None) -> str:
    """The manifest of the example's run, with another input."""
    text = (EXAMPLE / "run.yaml").read_text()
    changed = f"{{base: {BASE}, comfort: {comfort}}}"
    assert f"{{base: {BASE}}}" in text
    return text if comfort is None else text.replace(f"{{base: {BASE}}}", changed)


def check(outputs: dict[str, Any], year: Year, cooled: int) -> None:
    """Every number the example gives is that of another computation."""
    demand = year.demand(BASE)
    monthly = {month: float(degrees) for month, degrees in year.monthly_demand(BASE).items()}
    assert outputs["heating_degree_days"] == pytest.approx(float(sum(demand.values())), abs=0.05)
    assert outputs["heated_days"] == len(demand)
    assert outputs["cooled_days"] == cooled
    assert outputs["coldest_day"] == min(year.means, key=lambda day: year.means[day]).isoformat()
    assert outputs["month_of_most_heating"] == max(monthly, key=lambda month: monthly[month])
    assert outputs["by_month"] == pytest.approx(monthly, abs=0.001)


def test_the_numbers_are_those_of_another_computation_and_kubectl_shows_the_run(applied: User) -> None:
    execution = applied.finished(run())
    name, status = execution["metadata"]["name"], execution["status"]
    assert status["phase"] == "Succeeded", status
    check(status["outputs"], read(), cooled=0)
    header, row = applied.kubectl("get", "executions").splitlines()
    assert header.split() == ["NAME", "WORKFLOW", "PHASE", "REASON", "PROGRESS", "AGE"]
    assert row.split()[:5] == [name, "degree-days", "Succeeded", "Completed", "5/5"]


def test_logs_of_python_and_of_the_container_reach_the_user(applied: User) -> None:
    name = applied.finished(run())["metadata"]["name"]
    logs = applied.citadel("logs", name)
    assert "8759 hours of 365 days, 3.1 to 24.4 °C" in logs
    assert "8760 lines, base 18 °C" in logs
    assert "2010-12  411.063 heating degree days" in logs
    assert "323 days heated, 0 days cooled" in logs


def test_the_branch_is_taken_when_an_hour_is_too_hot(applied: User) -> None:
    year = read()
    status = applied.finished(run(comfort=22))["status"]
    assert status["phase"] == "Succeeded", status
    check(status["outputs"], year, cooled=len(year.hotter_than(22)))
    assert status["outputs"]["cooled_days"] > 0


def test_an_input_out_of_bounds_fails_at_once_and_says_which(applied: User) -> None:
    status = applied.finished(run(comfort=99))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "InvalidInputs")
    assert "comfort" in status["message"]


def test_the_user_reaches_neither_sandboxes_nor_runtimes(applied: User) -> None:
    refused = [
        ("get", "pods", "-n", SANDBOXES),
        ("create", "runtimes"),
        ("get", "secrets", "-n", "citadel-system"),
    ]
    for question in refused:
        assert applied.kubectl("auth", "can-i", *question, check=False).startswith("no"), question
