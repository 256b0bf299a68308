"""The main job: an Execution goes through journal and sandboxes to its end, and says so."""

import json

from citadel.kube.resources import EVENTS, EXECUTIONS, PODS, RUNTIMES
from live import SANDBOXES, SYSTEM, Cluster, kubectl, python


async def test_one_step_succeeds_and_its_output_stands_in_the_status(cluster: Cluster) -> None:
    await cluster.workflow(
        "hello",
        [
            python(
                "greet",
                "def main(who):\n    print('hi', who)\n    return {'text': f'Hello, {who}'}",
                args={"who": "${inputs.who}"},
            )
        ],
        inputs={"type": "object", "properties": {"who": {"type": "string", "default": "Wörld ✓"}}},
        outputs={"text": "${steps.greet.output.text}"},
    )
    status = await cluster.run("hello")
    assert status["phase"] == "Succeeded"
    assert status["outputs"] == {"text": "Hello, Wörld ✓"}
    assert status["progress"]["text"] == "1/1"
    conditions = {item["type"]: item["status"] for item in status["conditions"]}
    assert conditions == {"Succeeded": "True", "Finished": "True", "NetworkIsolated": "True"}


async def test_steps_of_a_session_share_one_sandbox_and_leave_nothing_to_the_next(cluster: Cluster) -> None:
    leave = """
import os
def main():
    open("left", "w").write("x")
    os.environ["LEFT"] = "x"
    return os.uname().nodename
"""
    look = """
import os
def main():
    return [os.uname().nodename, os.path.exists("left"), "LEFT" in os.environ]
"""
    await cluster.workflow(
        "session",
        [python("leave", leave), python("look", look)],
        outputs={"first": "${steps.leave.output}", "second": "${steps.look.output}"},
    )
    outputs = (await cluster.run("session"))["outputs"]
    assert outputs["second"] == [outputs["first"], False, False]


async def test_a_branch_is_skipped_and_a_join_goes_on(cluster: Cluster) -> None:
    await cluster.workflow(
        "branch",
        [
            python("count", "def main(): return 3"),
            python("many", "def main(): return 'many'", needs=["count"], when="steps.count.output > 5"),
            python("few", "def main(): return 'few'", needs=["count"], when="steps.count.output <= 5"),
            python(
                "join",
                "def main(a, b): return a or b",
                needs=["many", "few"],
                args={"a": "${steps.many.?output.orValue('')}", "b": "${steps.few.?output.orValue('')}"},
            ),
        ],
        outputs={"which": "${steps.join.output}"},
    )
    status = await cluster.run("branch")
    assert (status["phase"], status["outputs"]) == ("Succeeded", {"which": "few"})


async def test_a_failed_attempt_is_retried_and_says_where_user_code_failed_at_last(cluster: Cluster) -> None:
    code = "def main():\n    rows = []\n    raise ValueError('no rows')"
    retry = {"attempts": 2, "backoff": {"initial": "100ms"}}
    await cluster.workflow("fails", [python("load", code, retry=retry)])
    status = await cluster.run("fails")
    assert (status["phase"], status["reason"]) == ("Failed", "Error")
    failure = status["failure"]
    assert (failure["step"], failure["attempt"]) == ("load", 2)
    assert "ValueError: no rows" in failure["message"]
    assert "line 3" in failure["message"]


async def test_kubectl_shows_columns_events_and_no_pod_is_left(cluster: Cluster) -> None:
    await cluster.workflow("flow", [python("a", "def main(): return 1")])
    name = await cluster.execute("flow", "flow-1")
    finished = await cluster.finished(name)
    header, row = kubectl("get", "executions", "-n", cluster.namespace).splitlines()
    assert header.split() == ["NAME", "WORKFLOW", "PHASE", "REASON", "PROGRESS", "AGE"]
    assert row.split()[:5] == ["flow-1", "flow", "Succeeded", "Completed", "1/1"]
    uid = finished["metadata"]["uid"]
    kubectl("wait", "-n", cluster.namespace, "--for=condition=Finished", f"execution/{name}", "--timeout=5s")
    selector = f"involvedObject.uid={uid}"
    async for _ in cluster.kube.watch(EVENTS, cluster.namespace, field_selector=selector, timeout=10):
        break
    events = (await cluster.kube.list(EVENTS, cluster.namespace, field_selector=selector)).items
    assert [event["reason"] for event in events] == ["Succeeded"]
    annotation = f"{cluster.namespace}/{name}"
    mine = json.dumps([p["metadata"]["name"] for p in await _pods_of(cluster, annotation)])
    assert mine == "[]", "sandboxes are deleted when their execution ends"


async def _pods_of(cluster: Cluster, execution: str) -> list[dict[str, object]]:
    """Pods of an execution that are not on their way out."""
    pods = (await cluster.kube.list(PODS, SANDBOXES)).items
    return [
        pod
        for pod in pods
        if pod["metadata"]["annotations"].get("citadel.dev/execution") == execution
        and "deletionTimestamp" not in pod["metadata"]
    ]


async def test_cancel_ends_a_running_step_and_suspend_holds_back_the_next(cluster: Cluster) -> None:
    sleep = "import time\ndef main():\n    time.sleep(300)"
    await cluster.workflow("slow", [python("sleep", sleep)])
    name = await cluster.execute("slow")
    await cluster.until(name, lambda obj: _running(obj, "sleep"))
    await cluster.kube.patch(EXECUTIONS, name, {"spec": {"stop": "Cancel"}}, cluster.namespace)
    status = (await cluster.finished(name, 30))["status"]
    assert status["phase"] == "Cancelled"

    await cluster.workflow("quick", [python("a", "def main(): return 1")])
    held = await cluster.execute("quick", suspend=True)
    await cluster.until(held, lambda obj: obj.get("status", {}).get("phase") == "Suspended", 20)
    await cluster.kube.patch(EXECUTIONS, held, {"spec": {"suspend": False}}, cluster.namespace)
    assert (await cluster.finished(held))["status"]["phase"] == "Succeeded"


def _running(obj: dict[str, object], step: str) -> bool:
    status = obj.get("status")
    steps = status.get("steps") or () if isinstance(status, dict) else ()
    return any(item["name"] == step and item["status"] == "Running" for item in steps)


async def test_a_container_step_gets_files_in_and_gives_files_out(
    cluster: Cluster, container_image: str
) -> None:
    script = 'echo "$WHO"; jq "{double: (.n * 2)}" < "$CITADEL_INPUT" > "$CITADEL_OUTPUT"'
    step = {
        "name": "double",
        "container": {
            "image": container_image,
            "command": ["sh", "-ec", script],
            "env": [{"name": "WHO", "value": "n is ${inputs.n}"}],
        },
        "with": {"n": "${inputs.n}"},
    }
    inputs = {"type": "object", "properties": {"n": {"type": "integer"}}}
    await cluster.workflow("container", [step], inputs=inputs, outputs={"out": "${steps.double.output}"})
    status = await cluster.run("container", inputs={"n": 21})
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"out": {"double": 42}})


async def test_values_by_reference_reach_the_code_and_a_secret_needs_a_grant(cluster: Cluster) -> None:
    await cluster.config_map("sales", csv="a,1\nb,2\n")
    args = {"csv": {"valueFrom": {"configMapKeyRef": {"name": "sales", "key": "csv"}}}}
    await cluster.workflow(
        "refs",
        [python("count", "def main(csv): return len(csv.splitlines())", args=args)],
        outputs={"n": "${steps.count.output}"},
    )
    assert (await cluster.run("refs"))["outputs"] == {"n": 2}

    kubectl(
        "-n", cluster.namespace, "create", "secret", "generic", "token", "--from-literal=key=s3cr3t-value"
    )
    args = {"token": {"valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}}}
    code = """
def main(token):
    print("the token is", token)
    return {"length": len(token), "token": token}
"""
    await cluster.workflow("secret", [python("use", code, args=args)], outputs={"out": "${steps.use.output}"})
    refused = await cluster.run("secret")
    assert (refused["phase"], refused["reason"]) == ("Failed", "SecretForbidden")
    grant = refused["message"].partition("To grant it: ")[2]
    for command in grant.split(" && "):
        kubectl(*command.split()[1:])
    granted = await cluster.run("secret")
    assert granted["phase"] == "Succeeded"
    assert granted["outputs"]["out"]["length"] == len("s3cr3t-value")
    assert "s3cr3t-value" not in json.dumps(granted)


async def test_files_have_64_mebibytes_of_memory_and_a_runtime_may_give_more(cluster: Cluster) -> None:
    code = """
import os, subprocess
def main(mebibytes):
    with open("/tmp/large", "wb") as file:
        for _ in range(mebibytes):
            file.write(bytes(1 << 20))
    with open("hello", "w") as file:
        file.write("#!/bin/sh\\necho hello")
    os.chmod("hello", 0o700)
    return subprocess.run(["./hello"], capture_output=True, text=True).stdout
"""
    image = (await cluster.kube.get(RUNTIMES, "python", SYSTEM))["spec"]["image"]
    limits = {"limits": {"memory": "512Mi"}}
    runtime = {
        "apiVersion": RUNTIMES.api_version,
        "kind": "Runtime",
        "metadata": {"name": "roomy", "namespace": cluster.namespace},
        "spec": {"image": image, "scratch": "128Mi", "resources": limits},
    }
    await cluster.kube.create(RUNTIMES, runtime)
    small = python("a", code, args={"mebibytes": 80}, run={"resources": limits})
    await cluster.workflow("small", [small])
    status = await cluster.run("small")
    assert (status["phase"], status["reason"]) == ("Failed", "Error")
    assert "No space left on device" in status["message"]
    roomy = python("a", code, args={"mebibytes": 80}, run={"runtime": "roomy"})
    await cluster.workflow("roomy", [roomy], outputs={"said": "${steps.a.output}"})
    status = await cluster.run("roomy")
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"said": "hello\n"}), status


async def test_code_may_stand_in_a_config_map_and_is_pinned_at_the_start(cluster: Cluster) -> None:
    await cluster.config_map("code", main="def main(): return 'from a ConfigMap'")
    source = {"configMapKeyRef": {"name": "code", "key": "main"}}
    step = {"name": "a", "run": {"runtime": "python", "codeFrom": source}}
    await cluster.workflow("code-from", [step], outputs={"said": "${steps.a.output}"})
    assert (await cluster.run("code-from"))["outputs"] == {"said": "from a ConfigMap"}
