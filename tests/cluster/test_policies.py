"""ExecutionPolicies on a real cluster: who may write them, what they stop, and that they heal."""

from citadel.kube.resources import NODES, RUNTIMES, WORKFLOWS
from live import SYSTEM, Cluster, condition, policy, python

GVISOR = "gvisor"


async def test_what_a_policy_refuses_is_said_by_the_workflow_and_by_the_execution(cluster: Cluster) -> None:
    await cluster.workflow("flow", [python("a", "def main(): return 1")])
    async with policy(cluster, limits={"memory": "64Mi"}) as name:
        ready = await condition(
            cluster, WORKFLOWS, "flow", cluster.namespace, lambda item: item["status"] == "False"
        )
        says = f"found 256Mi, expected at most 64Mi (ExecutionPolicy {name}, spec.limits.memory)"
        assert ready["reason"] == "PolicyDenied"
        assert says in ready["message"]
        status = await cluster.run("flow")
        assert (status["phase"], status["reason"]) == ("Failed", "PolicyDenied")
        assert says in status["message"]
    await condition(cluster, WORKFLOWS, "flow", cluster.namespace, lambda item: item["status"] == "True")
    assert (await cluster.run("flow"))["phase"] == "Succeeded"


async def test_an_image_that_is_not_allowed_is_never_pulled(cluster: Cluster, container_image: str) -> None:
    step = {"name": "a", "container": {"image": container_image, "command": ["true"]}}
    await cluster.workflow("flow", [step])
    own = {
        "apiVersion": RUNTIMES.api_version,
        "kind": "Runtime",
        "metadata": {"name": "own", "namespace": cluster.namespace},
        "spec": {"image": container_image},
    }
    await cluster.kube.create(RUNTIMES, own)
    async with policy(cluster, images={"allow": ["registry.example/"]}):
        status = await cluster.run("flow")
        assert (status["phase"], status["reason"]) == ("Failed", "PolicyDenied")
        ready = await condition(
            cluster, RUNTIMES, "own", cluster.namespace, lambda item: item["status"] == "False"
        )
        assert "spec.images.allow" in ready["message"]


async def test_a_runtime_has_the_cluster_s_secrets_nodes_and_priorities_by_what_a_policy_lists(
    cluster: Cluster,
) -> None:
    wanted = {
        "imagePullSecrets": [{"name": "team"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "team", "operator": "Equal", "value": "a", "effect": "NoSchedule"}],
    }
    shared = await cluster.kube.get(RUNTIMES, "python", SYSTEM)
    await cluster.runtime("own", {"image": shared["spec"]["image"], **wanted})
    step = {"name": "a", "run": {"runtime": "own", "code": "def main(): return 1"}}
    await cluster.workflow("flow", [step])
    status = await cluster.run("flow")
    assert (status["phase"], status["reason"]) == ("Failed", "PolicyDenied")
    assert (
        'found "team", but no ExecutionPolicy of the namespace has spec.imagePullSecrets' in status["message"]
    )
    listed = {
        "imagePullSecrets": ["team"],
        "nodeSelector": {"kubernetes.io/os": ["linux"]},
        "tolerations": [{"key": "team", "operator": "Exists"}],
    }
    async with policy(cluster, **listed):
        assert (await cluster.run("flow"))["phase"] == "Succeeded"


async def test_a_policy_puts_every_sandbox_under_gvisor(cluster: Cluster, container_image: str) -> None:
    release = "uname -r | jq -R . > $CITADEL_OUTPUT"
    go = 'package main\n\nimport "os"\n\nfunc Main() (string, error) {\n\tdata, err := os.ReadFile(KERNEL)\n'
    go += '\treturn string(data[:len(data)-1]), err\n}\n\nconst KERNEL = "/proc/sys/kernel/osrelease"\n'
    java = 'class Kernel { static String main() { return System.getProperty("os.version"); } }'
    steps = [
        python("code", "import os\ndef main(): return os.uname().release"),
        {"name": "go", "run": {"runtime": "go", "code": go}},
        {"name": "java", "run": {"runtime": "java", "code": java}},
        {"name": "foreign", "container": {"image": container_image, "command": ["sh", "-c", release]}},
    ]
    outputs = {name: f"${{steps.{name}.output}}" for name in ("code", "go", "java", "foreign")}
    await cluster.workflow("flow", steps, outputs=outputs)
    (node, *_) = (await cluster.kube.list(NODES)).items
    kernel = node["status"]["nodeInfo"]["kernelVersion"]
    async with policy(cluster, runtimeClass={"name": GVISOR}):
        status = await cluster.run("flow", 120)
        assert status["phase"] == "Succeeded", status
        assert kernel not in status["outputs"].values()
    assert (await cluster.run("flow"))["outputs"] == dict.fromkeys(outputs, kernel)


async def test_a_workflow_may_require_that_its_sandboxes_are_proven_isolated(cluster: Cluster) -> None:
    step = python("a", "def main(): return 1")
    await cluster.workflow("flow", [step], isolation={"required": True}, outputs={"x": "${steps.a.output}"})
    status = await cluster.run("flow")
    assert (status["phase"], status["outputs"]) == ("Succeeded", {"x": 1})
    (isolated,) = (item for item in status["conditions"] if item["type"] == "NetworkIsolated")
    assert (isolated["status"], isolated["reason"]) == ("True", "Proven")
