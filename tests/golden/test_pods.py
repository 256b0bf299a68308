"""Sandbox pods as they are rendered, field by field, and that none of them can be more than a sandbox.

The files in `pods/` are written anew by CITADEL_UPDATE_GOLDEN=1; look at what changed before you commit it.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from build import definition, python_step
from citadel.core.placing import Placement
from citadel.core.plan import compile_definition
from citadel.render.pod import Site, sandbox_pod

GOLDEN = Path(__file__).parent / "pods"
SITE = Site(
    namespace="citadel-sandboxes",
    runner_image="citadel-runner:1",
    gateway_url="https://10.96.0.7:8443",
    egress="10.96.0.9:443",
    ca="-----BEGIN CERTIFICATE-----\n",
    user_namespaces=True,
)
OLD_SITE = replace(SITE, user_namespaces=False)
OWN_MOUNTS = replace(OLD_SITE, own_mounts=True)
UNDER_GVISOR = {"language": "python", "image": "python", "runtimeClassName": "gvisor"}
RUNTIME = {
    "language": "python",
    "image": "registry.example/python:3",
    "resources": {
        "requests": {"cpu": "100m", "memory": "32Mi"},
        "limits": {"cpu": "500m", "memory": "1Gi"},
    },
    "env": [{"name": "A", "value": "1"}],
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"disktype": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "batch",
}


def placement(step: dict[str, Any], runtime: Mapping[str, Any] | None = None) -> Placement:
    document = definition(step)
    if runtime is not None:
        document["runtimes"]["python"] = runtime
    return compile_definition(document).placements[step["name"]]


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "container": {"image": "alpine:3", "command": ["sh", "-c", "true"], **fields}}


def pod(step: dict[str, Any], runtime: Mapping[str, Any] | None = None, site: Site = SITE) -> dict[str, Any]:
    return sandbox_pod(
        "cx-0123456789abcdef-0", "team/run", placement(step, runtime).template, site, "the-key"
    )


def agents_pod() -> dict[str, Any]:
    """A pod in which an agent runs: of a step, or of a warm pool."""
    site = replace(SITE, models="https://10.96.0.8:8444")
    template = {**placement(python_step("a")).template, "agent": True}
    return sandbox_pod("cx-0123456789abcdef-0", "team/run", template, site, "the-key")


PODS = {
    "session": pod(python_step("a")),
    "scratch": pod(python_step("a"), {"language": "python", "image": "python", "scratch": "1Gi"}),
    "exclusive": pod(python_step("a", isolation="step")),
    "runtime": pod(python_step("a"), RUNTIME),
    "runtime-class": pod(python_step("a"), UNDER_GVISOR),
    "own-mounts": pod(python_step("a"), UNDER_GVISOR, OWN_MOUNTS),
    "javascript": pod(python_step("a"), {"language": "javascript", "image": "javascript"}),
    "go": pod(python_step("a"), {"language": "go", "image": "go"}),
    "agent": agents_pod(),
    "java": pod(python_step("a"), {"language": "java", "image": "java"}),
    "container": pod(container(resources={"limits": {"memory": "8Mi"}})),
    "without-user-namespaces": pod(container(), site=OLD_SITE),
}


@pytest.mark.parametrize("name", PODS)
def test_the_pod_is_the_one_in_the_file(name: str) -> None:
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("CITADEL_UPDATE_GOLDEN"):
        file.write_text(yaml.safe_dump(PODS[name], sort_keys=False))
    assert yaml.safe_load(file.read_text()) == PODS[name]


def test_what_mounts_its_own_memory_has_no_volumes_and_the_size_its_runtime_says() -> None:
    for scratch, arguments in (({}, ["67108864", "noexec"]), ({"scratch": "1Gi"}, ["1073741824", "exec"])):
        spec = pod(python_step("a"), {**UNDER_GVISOR, **scratch}, OWN_MOUNTS)["spec"]
        assert "volumes" not in spec
        assert spec["containers"][1]["command"][:4] == ["/citadel/scratch", *arguments, "/citadel/shim"]
    assert pod(container(), site=OWN_MOUNTS) == PODS["without-user-namespaces"]


def test_an_exclusive_step_gets_the_same_pod_for_itself() -> None:
    assert PODS["exclusive"] == PODS["session"]
    assert placement(python_step("a", isolation="step")).key != placement(python_step("a")).key


def test_only_one_file_for_each_pod() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == PODS.keys()


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key and every scalar, with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{path}.{key}", key
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}
_NEVER = {
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostPath",
    "privileged",
    "hostProcess",
    "procMount",
}
_NEVER |= {"shareProcessNamespace", "hostPort", "hostAliases", "add", "seLinuxOptions", "devices", "secret"}


def violations(pod: dict[str, Any]) -> Iterator[str]:
    """What the Pod Security Standard `restricted` refuses, and what a sandbox must not have beyond it."""
    spec = pod["spec"]
    for path, key in leaves(spec):
        if path.rpartition(".")[2] == key and key in _NEVER and ".nodeSelector." not in path:
            yield path
    # The one sysctl is among those that `restricted` calls safe.
    sysctls = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    restricted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if spec["securityContext"] != {**restricted, "sysctls": sysctls}:
        yield "securityContext"
    for volume in spec.get("volumes", ()):
        if not (volume.keys() - {"name"}) <= _VOLUMES:
            yield f"volume {volume}"
        if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
            yield f"volume {volume} without limit"
    if spec["automountServiceAccountToken"] or spec["enableServiceLinks"] or spec["dnsPolicy"] != "None":
        yield "token, services or names for user code"
    if spec.keys() & {"initContainers", "ephemeralContainers"}:
        yield "further containers"
    runner, main = spec["containers"]
    for item in (runner, main):
        context = dict(item["securityContext"])
        if context.pop("runAsUser") in (None, 0) or context.pop("runAsGroup") in (None, 0):
            yield f"{item['name']} is root"
        if context != {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }:
            yield f"securityContext of {item['name']}"
        if set(item["resources"]["limits"]) != {"cpu", "memory"}:
            yield f"{item['name']} without limits"
    if runner["securityContext"]["runAsUser"] == main["securityContext"]["runAsUser"]:
        yield "one user for runner and main"
    mounts = main.get("volumeMounts", ())
    if {mount["name"] for mount in mounts} - {"work", "tmp", "shim", "scratch"}:
        yield "a mount of main that is not its own"
    scratch = [{"name": "CITADEL_SCRATCH", "value": "/dev/shm"}]
    if main.get("env", scratch) != scratch or "envFrom" in main or "lifecycle" in main:
        yield "main has what only an assignment may bring"
    if any(mount["name"] == "shim" and not mount.get("readOnly") for mount in mounts):
        yield "main can write to its shim"


@pytest.mark.parametrize("name", PODS)
def test_every_pod_passes_restricted(name: str) -> None:
    assert list(violations(PODS[name])) == []


def test_the_check_of_restricted_can_fail() -> None:
    for spoil in (
        lambda spec: spec.update(hostNetwork=True),
        lambda spec: spec["containers"][1]["securityContext"].update(runAsUser=0),
        lambda spec: spec["containers"][1]["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
        lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        lambda spec: spec["containers"][1]["volumeMounts"].append({"name": "token", "mountPath": "/t"}),
    ):
        spoiled = yaml.safe_load(yaml.safe_dump(PODS["container"]))
        spoil(spoiled["spec"])
        assert list(violations(spoiled))


#: Where words of a user may stand in a pod.
ALLOWED = (
    ".metadata.annotations.citadel.dev/execution",
    ".spec.containers[1].image",
    ".spec.nodeSelector.",
    ".spec.tolerations[",
    ".spec.priorityClassName",
    ".spec.imagePullSecrets[",
)


def marked(path: str, value: Any) -> bool:
    return "evil" in str(value).lower() and not path.startswith(ALLOWED)


@pytest.mark.parametrize("action", ["run", "container"])
def test_nothing_that_a_user_wrote_stands_anywhere_else(action: str) -> None:
    env = [{"name": "EVIL", "value": "evil"}]
    step: dict[str, Any] = {"name": "evil", "with": {"evil": "evil"}, "when": "'evil' == ''", "timeout": "7s"}
    if action == "run":
        step["run"] = {"runtime": "python", "code": "evil", "env": env}
    else:
        words = {"command": ["evil"], "args": ["evil"], "env": env}
        step["container"] = {"image": "evil", **words}
    runtime = {
        "image": "evil",
        "env": env,
        "nodeSelector": {"evil": "evil"},
        "tolerations": [{"key": "evil", "value": "evil"}],
        "priorityClassName": "evil",
        "imagePullSecrets": [{"name": "evil"}],
    }
    found = sandbox_pod("cx-0", "evil/evil", placement(step, runtime).template, SITE, "the-key")
    assert [path for path, value in leaves(found) if marked(path, value)] == []
    assert any("evil" in str(value) for _, value in leaves(found))


words = st.text("abcdefghijklmnop", min_size=1, max_size=12)
amounts = st.fixed_dictionaries(
    {}, optional={"cpu": st.sampled_from(("10m", "1", "64")), "memory": st.sampled_from(("1", "5Mi", "64Gi"))}
)
runtimes = st.fixed_dictionaries(
    {"image": words},
    optional={
        "resources": st.fixed_dictionaries({}, optional={"requests": amounts, "limits": amounts}),
        "env": st.lists(st.fixed_dictionaries({"name": words, "value": words}), max_size=2),
        "imagePullSecrets": st.lists(st.fixed_dictionaries({"name": words}), max_size=2),
        "nodeSelector": st.dictionaries(words | st.just("hostNetwork"), words, max_size=2),
        "tolerations": st.lists(
            st.fixed_dictionaries({}, optional={"key": words, "operator": st.just("Exists")}), max_size=2
        ),
        "priorityClassName": words,
    },
)


@given(runtimes, st.booleans())
def test_every_pod_of_every_runtime_passes_restricted(runtime: dict[str, Any], user_namespaces: bool) -> None:
    site = Site("sandboxes", "runner", "https://10.0.0.1", "ca", user_namespaces)
    found = pod(python_step("a"), runtime, site)
    assert list(violations(found)) == []
    assert found["spec"].get("hostUsers") == (False if user_namespaces else None)


def test_labels_are_the_same_for_all_and_identity_stands_in_annotations() -> None:
    labels = {name: found["metadata"]["labels"] for name, found in PODS.items()}
    agents = labels.pop("agent")
    assert agents == {**labels["session"], "citadel.dev/agents": "true"}
    assert all(found == labels["session"] for found in labels.values())
    hashes = {found["metadata"]["annotations"]["citadel.dev/spec-hash"] for found in PODS.values()}
    assert len(hashes) == len(PODS) - 1  # session and exclusive are the same


def test_a_container_step_that_uses_data_has_a_volume_for_it_and_the_shim_knows() -> None:
    made = pod({**container(), "artifacts": {"out": {"src": "/data/src"}}})
    main = made["spec"]["containers"][1]
    assert main["env"] == [{"name": "CITADEL_DATA_DIR", "value": "/data"}]
    assert {"name": "data", "mountPath": "/data"} in main["volumeMounts"]
    assert {"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "134217728"}} in made["spec"][
        "volumes"
    ]
