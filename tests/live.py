"""What tests do on a real cluster with Citadel installed on it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from citadel.controller.objects import is_finished
from citadel.kube.client import KubeClient
from citadel.kube.errors import AlreadyExists, Gone, NotFound, Unavailable
from citadel.kube.resources import (
    APPROVALS,
    CONFIGMAPS,
    EXECUTIONS,
    POLICIES,
    RUNTIMES,
    WORKFLOWS,
    Object,
    Resource,
)

CLUSTER_DIR = Path(os.environ.get("CITADEL_CLUSTER_DIR", Path.home() / ".cache/citadel/cluster"))
SYSTEM = "citadel-system"
SANDBOXES = "citadel-sandboxes"


def kubeconfig() -> Path:
    """The cluster that is meant: $KUBECONFIG, else the project's own node."""
    return Path(os.environ.get("KUBECONFIG") or CLUSTER_DIR / "kubeconfig")


def kubectl(*args: str, stdin: str | None = None, check: bool = True) -> str:
    """What kubectl prints; fails the test with what it says when it fails."""
    return _run("kubectl", *args, stdin=stdin, check=check)


def citadel(*args: str) -> str:
    """What our command line prints, to the admin; fails the test with what it says when it fails."""
    return _run(str(Path(sys.executable).with_name("citadel")), *args)


def sql(query: str) -> list[str]:
    """Lines that the installation's own Postgres answers; the cells of a row are apart by `|`."""
    script = f'PGPASSWORD=$(cat $POSTGRES_PASSWORD_FILE) psql -h /tmp -U postgres -tA citadel -c "{query}"'
    return kubectl("-n", SYSTEM, "exec", "citadel-postgres-0", "--", "sh", "-c", script).split()


def environment() -> dict[str, str]:
    """The environment in which programs mean this cluster."""
    path = f"{CLUSTER_DIR / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "KUBECONFIG": str(kubeconfig()), "PATH": path}


def _run(program: str, *args: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run([program, *args], input=stdin, capture_output=True, text=True, env=environment())
    assert not check or done.returncode == 0, f"{program} {' '.join(args)}: {done.stderr}"
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def foreign_image() -> str:
    """The image of an example's container step: it knows nothing of Citadel, and has a shell and jq."""
    return built_images()["CITADEL_IMAGE_DEGREE_DAYS"]


def built_images() -> dict[str, str]:
    """What hack/images/build has built: names of variables -> references."""
    built = (Path(__file__).parents[1] / "build" / "images.env").read_text()
    return dict(line.split("=", 1) for line in built.split())


@dataclass
class Cluster:
    """One namespace of the cluster, and what tests do in it."""

    kube: KubeClient
    namespace: str

    async def workflow(self, name: str, steps: Sequence[Mapping[str, Any]], **spec: Any) -> str:
        """Creates a Workflow; returns its name."""
        await self.kube.create(
            WORKFLOWS,
            {
                "apiVersion": WORKFLOWS.api_version,
                "kind": "Workflow",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"steps": list(steps), **spec},
            },
        )
        return name

    async def config_map(self, name: str, **data: str) -> str:
        """Creates a ConfigMap; returns its name."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace},
        }
        await self.kube.create(CONFIGMAPS, {**body, "data": data})
        return name

    async def runtime(self, name: str, spec: Mapping[str, Any]) -> None:
        """Creates or changes a Runtime."""
        body = {
            "apiVersion": RUNTIMES.api_version,
            "kind": "Runtime",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        try:
            await self.kube.create(RUNTIMES, body)
        except AlreadyExists:
            await self.kube.patch(RUNTIMES, name, {"spec": spec}, self.namespace)

    async def execute(self, workflow: str, name: str | None = None, **spec: Any) -> str:
        """Creates an Execution; returns its name."""
        name = name or f"{workflow}-{uuid.uuid4().hex[:6]}"
        await self.kube.create(
            EXECUTIONS,
            {
                "apiVersion": EXECUTIONS.api_version,
                "kind": "Execution",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"workflowRef": {"name": workflow}, **spec},
            },
        )
        return name

    async def get(self, name: str) -> Object:
        """The Execution as it is."""
        return await self.kube.get(EXECUTIONS, name, self.namespace)

    async def until(self, name: str, condition: Any, seconds: float = 60.0) -> Object:
        """The Execution once `condition(object)` holds, told by a watch; fails after `seconds`."""
        last: Object = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    last = await self.get(name)
                    if condition(last):
                        return last
                    version = last["metadata"]["resourceVersion"]
                    try:
                        async for event in self.kube.watch(
                            EXECUTIONS,
                            self.namespace,
                            resource_version=version,
                            field_selector=f"metadata.name={name}",
                        ):
                            if event.type in ("ADDED", "MODIFIED"):
                                last = event.object
                                if condition(last):
                                    return last
                    except (Gone, Unavailable):
                        continue
        except TimeoutError:
            pytest.fail(f"Execution {name} after {seconds:.0f} s: {last.get('status')}")

    async def finished(self, name: str, seconds: float = 60.0) -> Object:
        """The Execution once it has ended, however."""
        return await self.until(name, is_finished, seconds)

    async def run(self, workflow: str, seconds: float = 60.0, **spec: Any) -> dict[str, Any]:
        """Executes a workflow to its end; returns the status."""
        status: dict[str, Any] = (await self.finished(await self.execute(workflow, **spec), seconds))[
            "status"
        ]
        return status


@dataclass(frozen=True)
class User:
    """Somebody with a kubeconfig of their own and the role `edit` in one namespace."""

    kubeconfig: Path
    namespace: str

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        return kubectl("--kubeconfig", str(self.kubeconfig), *args, stdin=stdin, check=check)

    def citadel(self, *args: str) -> str:
        """What the command line prints."""
        done = self._citadel(*args)
        assert done.returncode == 0, f"citadel {' '.join(args)}: {done.stderr}"
        return done.stdout

    def refused(self, *args: str) -> str:
        """Why the command line does not do it."""
        done = self._citadel(*args)
        assert done.returncode != 0, f"citadel {' '.join(args)}: {done.stdout}"
        return done.stderr

    @property
    def env(self) -> dict[str, str]:
        """The environment of their programs."""
        path = f"{CLUSTER_DIR / 'bin'}:{os.environ['PATH']}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def _citadel(self, *args: str) -> subprocess.CompletedProcess[str]:
        program = str(Path(sys.executable).with_name("citadel"))
        return subprocess.run([program, *args], capture_output=True, text=True, env=self.env, timeout=60)

    def apply(self, example: Path) -> None:
        """Applies an example's folder, with the image that was built for it."""
        self.kubectl("apply", "-f", "-", stdin=manifests(example))

    def finished(self, manifest: str) -> dict[str, Any]:
        """Creates an Execution and waits for its end, both as the README says; the object then."""
        name = self.kubectl("create", "-f", "-", "-o", "name", stdin=manifest).strip()
        self.kubectl("wait", "--for=condition=Finished", name, "--timeout=180s")
        found: dict[str, Any] = json.loads(self.kubectl("get", name, "-o", "json"))
        return found


def manifests(example: Path) -> str:
    """What an example's folder is, with the image that was built for it."""
    if not (example / "kustomization.yaml").exists():
        return (example / "workflow.yaml").read_text()
    image = built_images()[f"CITADEL_IMAGE_{example.name.upper().replace('-', '_')}"]
    return kubectl("kustomize", str(example)).replace(f"localhost/citadel-{example.name}:dev", image)


async def asked(cluster: Cluster, step: str, seconds: float = 30.0) -> Object:
    """The Approval of a step, once there is one."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        for item in (await cluster.kube.list(APPROVALS, cluster.namespace)).items:
            if item["spec"]["step"] == step:
                return item
        assert asyncio.get_running_loop().time() < deadline, f"nobody is asked for {step}"
        await asyncio.sleep(0.1)


def crash(component: str) -> None:
    """Kills the pods of a component as a failing machine does, without a goodbye."""
    selector = f"app.kubernetes.io/component={component}"
    kubectl("-n", SYSTEM, "delete", "pod", "-l", selector, "--force", "--grace-period=0", "--wait=false")


def decide(approval: Object, by: str, group: str, **decision: Any) -> None:
    """Decides as somebody of a group, with kubectl."""
    body = {"by": by, "approve": True, "digest": approval["spec"]["digest"], **decision}
    kubectl(
        f"--as={by}", f"--as-group={group}", "--as-group=system:authenticated", "patch", "approvals",
        approval["metadata"]["name"], "-n", approval["metadata"]["namespace"], "--type=merge",
        "-p", json.dumps({"spec": {"decision": body}}),
    )  # fmt: skip


def python(name: str, code: str, **modifiers: Any) -> dict[str, Any]:
    """A python step; `args` become its `with`, since that is a keyword."""
    run = {"runtime": "python", "code": code, **modifiers.pop("run", {})}
    arguments = modifiers.pop("args", None)
    return {"name": name, "run": run, **({"with": arguments} if arguments else {}), **modifiers}


@contextlib.asynccontextmanager
async def policy(cluster: Cluster, **spec: Any) -> AsyncIterator[str]:
    """An ExecutionPolicy for the test's namespace alone, understood by the controller."""
    name = f"{cluster.namespace}-{uuid.uuid4().hex[:4]}"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    body = {"apiVersion": POLICIES.api_version, "kind": "ExecutionPolicy", "metadata": {"name": name}}
    await cluster.kube.create(POLICIES, {**body, "spec": {"namespaceSelector": selector, **spec}})
    try:
        await condition(cluster, POLICIES, name, None, lambda ready: ready["status"] == "True")
        yield name
    finally:
        with contextlib.suppress(NotFound):
            await cluster.kube.delete(POLICIES, name)


async def condition(
    cluster: Cluster, resource: Resource, name: str, namespace: str | None, holds: Any
) -> Object:
    """The condition Ready of an object, once it is as wanted."""
    async for event in cluster.kube.watch(
        resource, namespace, field_selector=f"metadata.name={name}", timeout=20
    ):
        for item in event.object.get("status", {}).get("conditions") or ():
            if item["type"] == "Ready" and holds(item):
                found: Object = item
                return found
    raise AssertionError(f"{resource.plural}/{name}: {await cluster.kube.get(resource, name, namespace)}")
