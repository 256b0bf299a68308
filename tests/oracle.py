"""What a sandbox's pod may be, read from the manifest and from the text of the policies alone.

A second opinion: it shares no line with what renders and judges them.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

Object = Mapping[str, Any]
NAMESPACE = "citadel-sandboxes"
LABELS = {
    "app.kubernetes.io/name": "citadel",
    "app.kubernetes.io/component": "sandbox",
    "app.kubernetes.io/managed-by": "citadel",
}
ANNOTATIONS = {"citadel.dev/execution", "citadel.dev/spec-hash"}
_POD_FIELDS = {
    "restartPolicy", "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "dnsPolicy",
    "dnsConfig", "terminationGracePeriodSeconds", "securityContext", "containers", "volumes", "hostUsers",
    "nodeSelector", "tolerations", "priorityClassName", "imagePullSecrets", "runtimeClassName",
}  # fmt: skip
_CONTAINER_FIELDS = {
    "name", "image", "imagePullPolicy", "command", "env", "resources", "securityContext", "lifecycle",
    "volumeMounts", "workingDir", "terminationMessagePath",
}  # fmt: skip
_SECURITY_FIELDS = {
    "runAsUser", "runAsGroup", "runAsNonRoot", "readOnlyRootFilesystem", "allowPrivilegeEscalation",
    "capabilities",
}  # fmt: skip


def beyond_a_sandbox(pod: Object, runner_image: str) -> Iterator[str]:
    """What makes a pod more than a sandbox, whoever wrote what."""
    metadata, spec = pod["metadata"], pod["spec"]
    if metadata["namespace"] != NAMESPACE:
        yield f"namespace {metadata['namespace']}"
    if metadata["labels"] != LABELS:
        yield f"labels {metadata['labels']}"
    if metadata["annotations"].keys() != ANNOTATIONS:
        yield f"annotations {metadata['annotations']}"
    if metadata.keys() - {"name", "namespace", "labels", "annotations"}:
        yield f"metadata {sorted(metadata)}"
    for field in spec.keys() - _POD_FIELDS:
        yield f"field {field}"
    for field, expected in (
        ("serviceAccountName", "sandbox"),
        ("automountServiceAccountToken", False),
        ("enableServiceLinks", False),
        ("dnsPolicy", "None"),
        ("dnsConfig", {"nameservers": ["127.0.0.1"]}),
        ("restartPolicy", "Never"),
    ):
        if spec.get(field) != expected:
            yield f"{field} {spec.get(field)!r}"
    context = spec["securityContext"]
    if context.get("seccompProfile") != {"type": "RuntimeDefault"} or context.get("runAsNonRoot") is not True:
        yield f"securityContext {context}"
    for sysctl in context.get("sysctls", ()):
        if sysctl["name"] != "net.ipv4.ip_unprivileged_port_start":
            yield f"sysctl {sysctl}"
    for volume in spec.get("volumes", ()):
        memory = volume.get("emptyDir") or {}
        if (
            volume.keys() != {"name", "emptyDir"}
            or memory.get("medium") != "Memory"
            or not memory.get("sizeLimit")
        ):
            yield f"volume {volume}"
    names = [container["name"] for container in spec["containers"]]
    if names != ["runner", "main"]:
        yield f"containers {names}"
    for container in spec["containers"]:
        for problem in _beyond_a_container(container):
            yield f"container {container['name']}: {problem}"
    runner, main = spec["containers"]
    if runner["image"] != runner_image or runner["command"] != ["/runner"]:
        yield f"runner {runner['image']} {runner['command']}"
    memory, command = _own_memory(main)
    if command[0] != "/citadel/shim" or main.get("lifecycle"):
        yield f"main {main['command']}"
    if memory and ("runtimeClassName" not in spec or ("exec" not in memory and memory[0] != "67108864")):
        yield f"main mounts {memory}"
    ids = [container["securityContext"]["runAsUser"] for container in (runner, main)]
    if len(set(ids)) != 2 or min(ids) < 1:
        yield f"users {ids}"
    for variable in main.get("env", ()):
        if variable["name"] == "CITADEL_KEY" or variable.keys() != {"name", "value"}:
            yield f"variable {variable}"


def _own_memory(main: Object) -> tuple[Sequence[str], Sequence[str]]:
    """Size and kind of the memory that main mounts for itself, if it does, and the command behind that."""
    command = main["command"]
    return (command[1:3], command[3:]) if command[0] == "/citadel/scratch" else ((), command)


def _beyond_a_container(container: Object) -> Iterator[str]:
    for field in container.keys() - _CONTAINER_FIELDS:
        yield f"field {field}"
    security = container["securityContext"]
    if security.keys() != _SECURITY_FIELDS or security["capabilities"] != {"drop": ["ALL"]}:
        yield f"securityContext {security}"
    if not security.get("readOnlyRootFilesystem") or security.get("allowPrivilegeEscalation") is not False:
        yield f"securityContext {security}"
    for variable in container.get("env", ()):
        source = variable.get("valueFrom")
        if source is not None and source != {"fieldRef": {"fieldPath": "status.hostIP"}}:
            yield f"variable {variable}"
    limits = container["resources"].get("limits", {})
    if not {"cpu", "memory"} <= limits.keys():
        yield f"limits {limits}"


def beyond_a_policy(pod: Object, policy: Object, *, shared: bool) -> Iterator[str]:
    """What a pod has that a policy's text does not permit. `shared`: its image is the admin's."""
    main = pod["spec"]["containers"][1]
    images = policy.get("images") or {}
    if not shared:
        if any(_below(main["image"], prefix) for prefix in images.get("deny") or ()):
            yield f"image {main['image']} is denied"
        allow = images.get("allow")
        if allow is not None and not any(_below(main["image"], prefix) for prefix in allow):
            yield f"image {main['image']} is not allowed"
    classes = policy.get("runtimeClass") or {}
    allowed = classes.get("allowed")
    if allowed is None and classes.get("name"):
        allowed = [classes["name"]]
    if allowed is not None and pod["spec"].get("runtimeClassName") not in allowed:
        yield f"runtimeClassName {pod['spec'].get('runtimeClassName')}"
    limits = policy.get("limits") or {}
    for amount in ("cpu", "memory"):
        found = main["resources"]["limits"][amount]
        if limits.get(amount) and _number(found) > _number(limits[amount]):
            yield f"{amount} {found}"
    memory, _ = _own_memory(main)
    if "exec" in memory and limits.get("scratch") and _number(memory[0]) > _number(limits["scratch"]):
        yield f"scratch {memory[0]}"
    for volume in pod["spec"].get("volumes", ()):
        size = volume["emptyDir"]["sizeLimit"]
        if (
            volume["name"] == "scratch"
            and limits.get("scratch")
            and _number(size) > _number(limits["scratch"])
        ):
            yield f"scratch {size}"


def ungranted(pod: Object, policies: Sequence[Object]) -> Iterator[str]:
    """What of the cluster's a pod of a namespace's own Runtime has, though not every policy that speaks of it
    lists it, or none does."""
    spec = pod["spec"]
    for field, found in (
        ("imagePullSecrets", [item["name"] for item in spec.get("imagePullSecrets", ())]),
        ("priorityClassNames", [spec["priorityClassName"]] if "priorityClassName" in spec else []),
        ("nodeSelector", list(spec.get("nodeSelector", {}).items())),
        ("tolerations", spec.get("tolerations", ())),
    ):
        lists = [policy[field] for policy in policies if policy.get(field) is not None]
        for item in found:
            if not lists or not all(_is_listed(field, item, listed) for listed in lists):
                yield f"{field} {item}"


def _is_listed(field: str, item: Any, listed: Any) -> bool:
    if field == "nodeSelector":
        return item[1] in listed.get(item[0], ())
    if field != "tolerations":
        return item in listed
    # By trying: every taint of a few that is tolerated by the one is tolerated by another.
    words = {one.get(part) or "" for one in (item, *listed) for part in ("key", "value")}
    names = words | {"other"}
    taints = [(key, value, effect) for key in names for value in names for effect in _EFFECTS]
    tolerated = [taint for taint in taints if _tolerates(item, *taint)]
    return any(all(_tolerates(one, *taint) for taint in tolerated) for one in listed)


_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _tolerates(toleration: Object, key: str, value: str, effect: str) -> bool:
    """As the scheduler judges."""
    if toleration.get("effect") not in (None, effect):
        return False
    if toleration.get("key") and toleration["key"] != key:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return (toleration.get("value") or "") == value


def _parts(reference: str) -> list[str]:
    """Registry, folders, and the last name with its tag and digest apart."""
    first, _, rest = reference.partition("/")
    is_host = bool(rest) and (set(first) & set(".:") or first == "localhost" or any(map(str.isupper, first)))
    host, path = (first, rest) if is_host or reference.endswith("/") else ("docker.io", reference)
    host = host.lower()
    host = host[:-4] if host.endswith(":443") else host
    *folders, last = path.split("/")
    if host == "docker.io" and not folders and last:
        folders = ["library"]
    name, _, digest = last.partition("@")
    name, _, tag = name.partition(":")
    return [host, *folders, *(part for part in (name, tag and f":{tag}", digest) if part)]


def _below(image: str, prefix: str) -> bool:
    found = _parts(image)
    either = [_parts(prefix)]
    if either[0][:2] == ["docker.io", "library"] and "/library" not in prefix:
        either.append(["docker.io", *either[0][2:]])
    return any(found[: len(parts)] == parts for parts in either)


_SUFFIXES = {
    "m": Decimal("0.001"), "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12, "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
}  # fmt: skip


def _number(quantity: str) -> Decimal:
    digits = quantity.rstrip("kKmMGTi")
    return Decimal(digits) * _SUFFIXES.get(quantity[len(digits) :], Decimal(1))


def problems(pod: Object, policies: Sequence[Object], runner_image: str, *, shared: bool) -> list[str]:
    """Everything about a pod that should not be."""
    found = list(beyond_a_sandbox(pod, runner_image))
    if not shared:
        found += ungranted(pod, policies)
    for policy in policies:
        found += beyond_a_policy(pod, policy, shared=shared)
    return found
