"""What `citadel doctor` finds of the isolation of sandboxes: network, user namespaces, processes."""

from types import MappingProxyType

from citadel.cli.findings import INSTALL, Finding, Mark
from citadel.cli.remote import Cluster
from citadel.kube.errors import ApiError, Forbidden, NotFound
from citadel.kube.resources import EXECUTIONS, NETWORKPOLICIES, NODES, Object

#: API groups of networks that are known to enforce NetworkPolicies.
_ENFORCING = MappingProxyType(
    {
        "cilium.io": "Cilium",
        "crd.projectcalico.org": "Calico",
        "projectcalico.org": "Calico",
        "crd.antrea.io": "Antrea",
        "k8s.ovn.org": "OVN-Kubernetes",
        "kubeovn.io": "Kube-OVN",
        "networking.k8s.aws": "Amazon VPC CNI",
    }
)


async def network(cluster: Cluster, namespace: str) -> list[Finding]:
    """Whether sandboxes are cut off from the network: as some have proven, else as far as one can tell."""
    about = "NetworkPolicies enforced"
    proof = await _proof(cluster, about)
    if proof is not None:
        return [proof]
    groups = await cluster.kube.raw("/apis")
    served = {item.get("name") for item in groups.get("groups") or ()}
    networks = sorted({name for group, name in _ENFORCING.items() if group in served})
    if networks:
        obeyed = f"{networks[0]} is there, which enforces policies; no execution here has proven it"
    else:
        obeyed = "no network is recognised that is known to enforce policies"
    try:
        policies = (await cluster.kube.list(NETWORKPOLICIES, namespace)).items
    except Forbidden:
        told = f"Unknown: you may not see the policies of {namespace}; {obeyed}"
        return [Finding(Mark.UNKNOWN, about, told)]
    if not any(_denies(policy) for policy in policies):
        told = f"False: namespace {namespace} has no policy that denies all traffic of all pods"
        return [Finding(Mark.BAD, about, told, INSTALL)]
    if networks:
        return [Finding(Mark.GOOD, about, f"True: {namespace} denies by default; {obeyed}")]
    hint = "without such a network, sandboxes reach whatever pods reach"
    return [Finding(Mark.UNKNOWN, about, f"Unknown: {namespace} denies by default, but {obeyed}", hint)]


async def _proof(cluster: Cluster, about: str) -> Finding | None:
    """What the sandboxes of the newest execution found that has proven anything; None: there is none."""
    try:
        executions = (await cluster.kube.list(EXECUTIONS, cluster.namespace)).items
    except ApiError:
        return None
    for obj in sorted(
        executions, key=lambda obj: str(obj["metadata"].get("creationTimestamp")), reverse=True
    ):
        for item in (obj.get("status") or {}).get("conditions") or ():
            if item.get("type") == "NetworkIsolated" and item.get("status") in ("True", "False"):
                name, proven = obj["metadata"]["name"], item["status"] == "True"
                told = f"{item['status']}: {item.get('message', '')} (Execution {name})"
                hint = "" if proven else "sandboxes reach what they must not: does the network enforce it?"
                return Finding(Mark.GOOD if proven else Mark.BAD, about, told, hint)
    return None


def _denies(policy: Object) -> bool:
    spec = policy.get("spec") or {}
    selects_all = not any((spec.get("podSelector") or {}).values())
    return selects_all and {"Ingress", "Egress"} <= set(spec.get("policyTypes") or ())


async def user_namespaces(cluster: Cluster) -> list[Finding]:
    """On how many nodes sandboxes can have a user namespace of their own."""
    about = "user namespaces"
    try:
        nodes = (await cluster.kube.list(NODES)).items
    except Forbidden:
        return [Finding(Mark.UNKNOWN, about, "you may not see nodes, which announce them")]
    able = sum(_announces(node) for node in nodes)
    told = f"{able} of {len(nodes)} nodes announce them"
    if able == len(nodes):
        return [Finding(Mark.GOOD, about, told)]
    hint = "sandboxes run there without: a recent container runtime and kernel would add that layer"
    return [Finding(Mark.UNKNOWN, about, told, hint)]


def _announces(node: Object) -> bool:
    handlers = (node.get("status") or {}).get("runtimeHandlers") or ()
    return any((handler.get("features") or {}).get("userNamespaces") for handler in handlers)


async def processes(cluster: Cluster) -> list[Finding]:
    """How many processes the kubelets let a pod have: no pod can say it, and none can see it from inside."""
    about = "processes"
    try:
        nodes = (await cluster.kube.list(NODES)).items
        limits = {node["metadata"]["name"]: await _pod_pids_limit(cluster, node) for node in nodes}
    except (Forbidden, NotFound):
        return [Finding(Mark.UNKNOWN, about, "you may not see the kubelets' configuration")]
    boundless = sorted(name for name, limit in limits.items() if limit <= 0)
    if boundless:
        some = f"{len(boundless)} of {len(limits)} nodes"
        told = f"{some} let a sandbox have any number: {', '.join(boundless[:5])}"
        hint = "set podPidsLimit in the kubelet's configuration; else one fork bomb takes its node"
        return [Finding(Mark.BAD, about, told, hint)]
    most = max(limits.values(), default=0)
    return [
        Finding(Mark.GOOD, about, f"a sandbox has at most {most}, on {len(limits)} of {len(limits)} nodes")
    ]


async def _pod_pids_limit(cluster: Cluster, node: Object) -> int:
    """The kubelet's podPidsLimit; -1 where it has none."""
    told = await cluster.kube.raw(f"/api/v1/nodes/{node['metadata']['name']}/proxy/configz")
    config = told.get("kubeletconfig") if isinstance(told, dict) else None
    limit = (config or {}).get("podPidsLimit", -1)
    return limit if isinstance(limit, int) else -1
