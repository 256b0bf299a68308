"""What `citadel doctor` looks at, one function for each matter.

A check that may not look says so (`?`); only what was seen to be wrong is wrong.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from citadel import __version__
from citadel.cli.findings import INSTALL, Finding, Mark
from citadel.cli.isolation import network, processes, user_namespaces
from citadel.cli.remote import Cluster, Refused
from citadel.cli.tunnel import HEALTH_PORT, PORT, NotStarted, TunnelClosed, open_tunnel
from citadel.kube.errors import ApiError, Forbidden, NotFound
from citadel.kube.resources import (
    CITADEL_GROUP,
    CITADEL_VERSION,
    CRDS,
    DEPLOYMENTS,
    PODS,
    SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTREVIEWS,
    STATEFULSETS,
    Object,
    Resource,
)

_KINDS = ("workflows", "runtimes", "models", "executions", "executionpolicies", "triggers")


def clients() -> list[Finding]:
    """What is here."""
    return [Finding(Mark.GOOD, "citadel", f"version {__version__}")]


async def checks(cluster: Cluster, sandbox_namespace: str) -> AsyncIterator[list[Finding]]:
    """Every finding, in the order in which one thing needs another; the API server's absence ends them."""
    try:
        version = await cluster.kube.raw("/version")
    except ApiError as error:
        hint = "is the kubeconfig's server right, and can it be reached from here?"
        yield [Finding(Mark.BAD, "API server", f"{cluster.kube.config.server}: {error.message}", hint)]
        return
    told = version.get("gitVersion", "") if isinstance(version, dict) else "unknown version"
    yield [Finding(Mark.GOOD, "API server", f"{told} at {cluster.kube.config.server}")]
    each: Sequence[tuple[str, Callable[[], Awaitable[list[Finding]]]]] = (
        ("resources", lambda: resources(cluster)),
        ("control plane", lambda: components(cluster)),
        ("rights", lambda: rights(cluster)),
        ("api", lambda: api(cluster)),
        ("NetworkPolicies enforced", lambda: network(cluster, sandbox_namespace)),
        ("user namespaces", lambda: user_namespaces(cluster)),
        ("processes", lambda: processes(cluster)),
    )
    for about, check in each:
        try:
            yield await check()
        except Forbidden as error:
            yield [Finding(Mark.UNKNOWN, about, f"not visible to you: {error.message}")]
        except ApiError as error:
            yield [Finding(Mark.UNKNOWN, about, error.message)]


async def resources(cluster: Cluster) -> list[Finding]:
    """The custom resources, and which release installed them."""
    try:
        served = await cluster.kube.raw(f"/apis/{CITADEL_GROUP}/{CITADEL_VERSION}")
    except NotFound:
        return [Finding(Mark.BAD, "resources", f"{CITADEL_GROUP}/{CITADEL_VERSION} is not served", INSTALL)]
    names = {item.get("name") for item in served.get("resources") or ()}
    missing = [kind for kind in _KINDS if kind not in names]
    if missing:
        told = f"{CITADEL_GROUP}/{CITADEL_VERSION} has no {', '.join(missing)}"
        return [Finding(Mark.BAD, "resources", told, INSTALL)]
    told = f"{', '.join(_KINDS)} in {CITADEL_GROUP}/{CITADEL_VERSION}"
    try:
        found = await cluster.kube.get(CRDS, f"executions.{CITADEL_GROUP}")
    except Forbidden:
        return [Finding(Mark.GOOD, "resources", told)]
    labels = found["metadata"].get("labels") or {}
    version = labels.get("app.kubernetes.io/version")
    return [Finding(Mark.GOOD, "resources", told + (f", of version {version}" if version else ""))]


async def components(cluster: Cluster) -> list[Finding]:
    """Controller, gateway and api: image and readiness."""
    findings = []
    for component, resource in (("controller", DEPLOYMENTS), ("gateway", DEPLOYMENTS), ("api", STATEFULSETS)):
        findings.append(await _component(cluster, component, resource))
    return findings


async def _component(cluster: Cluster, component: str, resource: Resource) -> Finding:
    namespace, name = cluster.target.system_namespace, f"{cluster.target.release}-{component}"
    try:
        found = await cluster.kube.get(resource, name, namespace)
    except NotFound:
        told = f"{name} does not exist in namespace {namespace}"
        return Finding(Mark.BAD, component, told, f"{INSTALL}; --system-namespace and --release say where")
    except Forbidden:
        if component != "api":
            return Finding(Mark.UNKNOWN, component, f"you may not see {resource.plural} in {namespace}")
        return await _api_pod(cluster)
    spec, status = found["spec"], found.get("status") or {}
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    told = f"{ready} of {wanted} ready, {_image(spec['template']['spec'])}{_skew(found)}"
    if ready < 1:
        hint = f"`kubectl -n {namespace} describe pods -l app.kubernetes.io/component={component}` says why"
        return Finding(Mark.BAD, component, told, hint)
    return Finding(Mark.GOOD, component, told)


async def _api_pod(cluster: Cluster) -> Finding:
    """The api by its first pod, which its users may see."""
    namespace, name = cluster.target.system_namespace, f"{cluster.target.release}-api-0"
    try:
        pod = await cluster.kube.get(PODS, name, namespace)
    except NotFound:
        return Finding(Mark.BAD, "api", f"pod {name} does not exist in namespace {namespace}", INSTALL)
    except Forbidden as error:
        return Finding(Mark.UNKNOWN, "api", error.message)
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    told = f"pod {name} is {'ready' if ready else 'not ready'}, {_image(pod['spec'])}"
    return Finding(Mark.GOOD if ready else Mark.BAD, "api", told)


def _image(pod: Object) -> str:
    return str(pod["containers"][0]["image"])


def _skew(found: Object) -> str:
    version = (found["metadata"].get("labels") or {}).get("app.kubernetes.io/version")
    return f" (version {version}; this CLI is {__version__})" if version and version != __version__ else ""


async def rights(cluster: Cluster) -> list[Finding]:
    """What the kubeconfig's user may do in the namespace."""
    user = await _user(cluster)
    here = f"in namespace {cluster.namespace}"
    pod = f"{cluster.target.release}-api-0"
    system = cluster.target.system_namespace
    own, citadel = cluster.namespace, CITADEL_GROUP
    grant = f"`kubectl create rolebinding USER-edit -n {own} --clusterrole=edit --user={user}` grants it"
    reach = f"the chart's api.portForward.subjects say who may reach the api in {system}"
    asked: Sequence[tuple[str, bool, str, list[dict[str, str]]]] = (
        (
            f"run, see and stop executions {here}",
            True,
            grant,
            [_ask(own, citadel, "executions", verb) for verb in ("create", "get", "list", "watch", "patch")],
        ),
        (
            f"see and write workflows {here}",
            False,
            grant,
            [_ask(own, citadel, "workflows", verb) for verb in ("get", "create", "patch")],
        ),
        (
            f"read logs {here}",
            False,
            grant,
            [_ask(own, citadel, "executions", "get", subresource="log")],
        ),
        (
            f"forward a port to pod {pod} in namespace {system}",
            False,
            reach,
            [_ask(system, "", "pods", "create", subresource="portforward", name=pod)],
        ),
    )
    return [await _may(cluster, user, *item) for item in asked]


def _ask(namespace: str, group: str, resource: str, verb: str, **more: str) -> dict[str, str]:
    return {"namespace": namespace, "group": group, "resource": resource, "verb": verb, **more}


async def _may(
    cluster: Cluster, user: str, what: str, required: bool, hint: str, asked: list[dict[str, str]]
) -> Finding:
    allowed = await asyncio.gather(*(_allowed(cluster, attributes) for attributes in asked))
    lacking = [_named(item) for item, may in zip(asked, allowed, strict=True) if not may]
    if not lacking:
        return Finding(Mark.GOOD, "rights", f"{user} may {what}")
    mark = Mark.BAD if required else Mark.UNKNOWN
    return Finding(mark, "rights", f"{user} may not {what}: {', '.join(lacking)}", hint)


def _named(attributes: dict[str, str]) -> str:
    resource, below = attributes["resource"], attributes.get("subresource")
    return f"{attributes['verb']} {resource}/{below}" if below else f"{attributes['verb']} {resource}"


async def _allowed(cluster: Cluster, attributes: dict[str, str]) -> bool:
    body = {
        "apiVersion": SELFSUBJECTACCESSREVIEWS.api_version,
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    review = await cluster.kube.create(SELFSUBJECTACCESSREVIEWS, body)
    return bool((review.get("status") or {}).get("allowed"))


async def _user(cluster: Cluster) -> str:
    body = {"apiVersion": SELFSUBJECTREVIEWS.api_version, "kind": "SelfSubjectReview", "metadata": {}}
    try:
        review = await cluster.kube.create(SELFSUBJECTREVIEWS, body)
    except ApiError:
        return "you"
    return str(((review.get("status") or {}).get("userInfo") or {}).get("username") or "you")


async def api(cluster: Cluster) -> list[Finding]:
    """Whether the api answers this user through the tunnel, and reaches its database."""
    try:
        async with open_tunnel(cluster, PORT, HEALTH_PORT) as tunnel:
            return [await _answer(cluster, tunnel), await _database(tunnel)]
    except Refused as error:
        return [
            Finding(Mark.UNKNOWN, "api", str(error), "logs and full outputs need it; all else works without"),
            Finding(Mark.UNKNOWN, "database", "the api, which would tell, was not reached"),
        ]


async def _answer(cluster: Cluster, tunnel: Any) -> Finding:
    # No object has this name: a 404 is the answer to somebody who was recognised and may look.
    try:
        async with tunnel.open("citadel-doctor-asks"):
            pass
    except NotStarted:
        pass
    except TunnelClosed as error:
        return Finding(Mark.BAD, "api", f"it does not answer: {error}")
    except Refused as error:
        if "does not exist" not in str(error):
            return Finding(Mark.BAD, "api", str(error))
    return Finding(Mark.GOOD, "api", f"it answers you, in namespace {cluster.namespace}")


async def _database(tunnel: Any) -> Finding:
    try:
        status, text = await tunnel.health()
    except TunnelClosed as error:
        return Finding(Mark.UNKNOWN, "database", str(error))
    if status == 200:
        return Finding(Mark.GOOD, "database", "the api reaches it")
    hint = "executions wait until it is back; nothing that was recorded is lost"
    return Finding(Mark.BAD, "database", f"the api is not ready: {text[:200]}", hint)
