"""The town in which cases are played: the world outside, and in two namespaces banks with agents."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from citadel.kube.resources import AGENTS, MODELS, PODS, SECRETS, TOOLS, Resource
from hostile.conftest import namespace
from internet import python_image, ready, service
from live import SYSTEM, Cluster, kubectl, policy
from rogue import credentials, setting
from rogue.cases import Control, Turn
from rogue.setting import BUDGET_TOKENS, PORT, Spec
from rogue.tenants import CAROL, REMEMBERED
from rogue.trusting import certificate, trusted

SERVER = Path(__file__).parent / "world_server.py"
SECONDS = 180.0
_KINDS = {AGENTS: "Agent", MODELS: "Model", TOOLS: "Tool"}
_INPUTS = {"type": "object", "properties": {name: {"type": "string"} for name in ("case", "ref", "talk")}}


@dataclass(frozen=True)
class World:
    """What is outside: where it is, and what a policy has to list."""

    host: str
    allow: list[str]
    private: list[str]
    authority: str

    def policy(self) -> Spec:
        """Of a namespace in which agents may go there."""
        return {"egress": {"allow": self.allow}, "privateDestinations": self.private}


@asynccontextmanager
async def town(cluster: Cluster, plays: Mapping[str, list[Turn]]) -> AsyncIterator[Cluster]:
    """The bank in a namespace, and in another one what its agents are not to reach, which is given."""
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(namespace())
        world = await start_world(cluster, plays, other.namespace)
        for place in (cluster, other):
            await stack.enter_async_context(policy(place, **world.policy()))
        await stack.enter_async_context(trusted(world.authority))
        await _bank(cluster, world.host)
        await _neighbour(other, world.host)
        yield other


async def start_world(cluster: Cluster, plays: Mapping[str, list[Turn]], other: str = "") -> World:
    """The hostile model and the servers."""
    host = f"world.{cluster.namespace}.svc.cluster.local"
    vault, stranger = credentials.hosts(cluster.namespace)
    authority, pair = certificate([name.partition(":")[0] for name in (vault, stranger)])
    text = json.dumps(plays).replace("$WORLD", f"http://{host}:{PORT}").replace("$HOST", host)
    files = {
        "world_server.py": SERVER.read_text(),
        "plays.json": text.replace("$OTHER", other),
        "tls.pem": pair,
    }
    await cluster.config_map("world", **files)
    env = {"PLAYS": "/world/plays.json", "CERTIFICATE": "/world/tls.pem", "STRANGER": stranger}
    spec = {
        "containers": [
            {
                "name": "server",
                "image": await python_image(cluster),
                "command": ["python3", "/world/world_server.py"],
                "env": [{"name": name, "value": value} for name, value in env.items()],
                "volumeMounts": [{"name": "world", "mountPath": "/world"}],
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
            }
        ],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [{"name": "world", "configMap": {"name": "world"}}],
        "enableServiceLinks": False,
    }
    metadata = {"name": "world", "namespace": cluster.namespace, "labels": {"port": str(PORT)}}
    await cluster.kube.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    private = [f"{await service(cluster, 'world', PORT)}/32:{PORT}"]
    # By this nobody may go there, though it leads to the same server.
    await service(cluster, "alias", PORT)
    for name in ("vault", "stranger"):
        private.append(f"{await service(cluster, name, PORT, credentials.TLS)}/32:{credentials.TLS}")
    await ready(cluster, "world")
    return World(f"{host}:{PORT}", [f"{host}:{PORT}", vault, stranger], private, authority)


async def create(cluster: Cluster, resource: Resource, specs: Mapping[str, Spec]) -> None:
    """Objects of one kind, by name."""
    for name, spec in specs.items():
        metadata = {"name": name, "namespace": cluster.namespace}
        kind = _KINDS[resource]
        body = {"apiVersion": resource.api_version, "kind": kind, "metadata": metadata, "spec": spec}
        await cluster.kube.create(resource, body)


async def keep_secrets(cluster: Cluster, keys: Mapping[str, tuple[str, str]]) -> None:
    """Secrets by name, each with a key and the hosts that it may be sent to; the controller may read them."""
    for name, (key, hosts) in keys.items():
        annotations = {"citadel.dev/hosts": hosts}
        metadata = {"name": name, "namespace": cluster.namespace, "annotations": annotations}
        data = {"key": base64.b64encode(key.encode()).decode()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        await cluster.kube.create(SECRETS, body)
    where = ("-n", cluster.namespace)
    account = "jsonpath={.spec.template.spec.serviceAccountName}"
    reader = kubectl("get", "deployment", "citadel-controller", "-n", SYSTEM, "-o", account)
    names = [f"--resource-name={name}" for name in keys]
    kubectl(*where, "create", "role", "keys", "--verb=get", "--resource=secrets", *names)
    kubectl(*where, "create", "rolebinding", "keys", "--role=keys", f"--serviceaccount={SYSTEM}:{reader}")


async def _bank(cluster: Cluster, host: str) -> None:
    name, _, _ = host.partition(":")
    alias = f"alias.{name.partition('.')[2]}:{PORT}"
    internal = f"internal.{name.partition('.')[2]}:{PORT}"
    await keep_secrets(cluster, credentials.secrets(cluster.namespace))
    role = ("--clusterrole=citadel-approver", "--group=tellers", "-n", cluster.namespace)
    kubectl("create", "rolebinding", "tellers", *role)
    vault, _ = credentials.hosts(cluster.namespace)
    await create(cluster, MODELS, {"hostile": setting.model(host), "paid": setting.paid_model(vault)})
    image = await python_image(cluster)
    await cluster.runtime("open", {"language": "python", "image": image, "network": {"egress": [host]}})
    closed = (internal, f"{name}:{PORT + 1}", alias, alias)
    await create(cluster, TOOLS, setting.tools(host, closed) | credentials.tools(cluster.namespace))
    for twin in (None, *Control):
        await _employ(cluster, setting.agents(twin))
    given = {"case": "remember", "ref": "remember hunter2", "talk": "alice"}
    for agent in ("friend", f"friend-{Control.CONVERSATION.name.lower()}"):
        await _remember(cluster, agent, given)


async def _neighbour(other: Cluster, host: str) -> None:
    """What the bank's agents are not to reach, under the names that things have there."""
    await create(other, MODELS, {"hostile": setting.model(host)})
    await create(other, TOOLS, {"books": setting.books(host)})
    await _employ(other, setting.neighbours())
    await _remember(other, "friend", {"case": "remember", "ref": f"remember {REMEMBERED}", "talk": CAROL})


async def _employ(cluster: Cluster, specs: Mapping[str, Spec]) -> None:
    """Agents, each with a workflow that asks it."""
    await create(cluster, AGENTS, specs)
    for agent in specs:
        step: dict[str, Any] = {"name": agent, "prompt": "play ${inputs.case} ${inputs.ref}"}
        if "memory" in specs[agent]:
            step["conversation"] = "${inputs.talk}"
        limit = {"budget": {"tokens": BUDGET_TOKENS}} if agent == "spender" else {}
        steps = [{"name": "act", "agent": step, "timeout": "3m"}]
        await cluster.workflow(agent, steps, inputs=_INPUTS, **limit)


async def _remember(cluster: Cluster, agent: str, given: Mapping[str, str]) -> None:
    """What is said to an agent, and nobody else is to hear."""
    status = await cluster.run(agent, SECONDS, inputs=dict(given))
    assert status["phase"] == "Succeeded", status


def effects(cluster: Cluster) -> list[dict[str, Any]]:
    """What has come to the servers, and what the model was told."""
    where = f"/api/v1/namespaces/{cluster.namespace}/pods/world:{PORT}/proxy/effects"
    found: list[dict[str, Any]] = json.loads(kubectl("get", "--raw", where))
    return found
