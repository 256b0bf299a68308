"""The examples of agents on a real cluster, many at once: an admin applies Agents and what they need.

Their Tools ask servers that run as pods, through the egress proxy, where a policy allows it.
"""

import asyncio
import json
from collections.abc import Sequence

from agentflows import FLOWS, AgentFlow, Server
from citadel.kube.resources import APPROVALS
from internet import pod, python_image, ready, service
from live import Cluster, User, built_images, decide, kubectl, policy

#: Who is asked by the examples; somebody of each agrees.
GROUPS = ("maintainers", "marketing", "operators")
IN_ONE_FILE = [flow for flow in FLOWS if not (flow.folder / "agents.yaml").exists()]


async def serve(cluster: Cluster, flow: AgentFlow, server: Server, python: str) -> str:
    """The example's server as a pod and a Service; what a policy has to list."""
    if server.image is not None:
        command = ["env", "GIT_TOKEN=sesame", "python3", "-u", f"/srv/{server.script.rpartition('/')[2]}"]
        await pod(cluster, server.host, built_images()[server.image], command, server.port)
    else:
        source = (flow.folder / server.script).read_text()
        await pod(cluster, server.host, python, ["python3", "-uc", source], server.port)
    address = await service(cluster, server.host, server.port)
    await ready(cluster, server.host)
    return f"{address}/32:{server.port}"


def host(cluster: Cluster, server: Server) -> str:
    return f"{server.host}.{cluster.namespace}.svc.cluster.local:{server.port}"


async def everybody_agrees(cluster: Cluster) -> None:
    """Decides whatever is asked, as somebody who may, until it is cancelled."""
    decided: set[str] = set()
    while True:
        for item in (await cluster.kube.list(APPROVALS, cluster.namespace)).items:
            if item["metadata"]["uid"] not in decided:
                (group,) = item["spec"]["approvers"]["groups"]
                await asyncio.to_thread(decide, item, "pat", group)
                decided.add(item["metadata"]["uid"])
        await asyncio.sleep(0.5)


async def run(cluster: Cluster, user: User, flow: AgentFlow) -> str:
    """Applies an example, each file as who may, and executes it; the name of the execution."""
    objects = flow.text("models", "agents") or flow.text("workflow")
    if flow.server is not None:
        objects = objects.replace(flow.server.at, host(cluster, flow.server))
    await asyncio.to_thread(kubectl, "apply", "-n", cluster.namespace, "-f", "-", stdin=objects)
    if flow not in IN_ONE_FILE:
        await asyncio.to_thread(user.kubectl, "apply", "-f", str(flow.folder / "workflow.yaml"))
    return await cluster.execute(flow.example, inputs=flow.inputs)


async def run_all(cluster: Cluster, user: User, flows: Sequence[AgentFlow]) -> None:
    """All of them at once; each has to do what it has to, or its steps are told."""
    for group in GROUPS:
        role = ("--clusterrole=citadel-approver", f"--group={group}")
        kubectl("create", "rolebinding", f"deciders-{group}", *role, "-n", cluster.namespace)
    async with asyncio.TaskGroup() as tasks:
        agreeing = tasks.create_task(everybody_agrees(cluster))
        names = await asyncio.gather(*(run(cluster, user, flow) for flow in flows))
        statuses = [(await cluster.finished(name, 280))["status"] for name in names]
        agreeing.cancel()
    problems = []
    for flow, name, status in zip(flows, names, statuses, strict=True):
        if status["phase"] != "Succeeded":
            problems.append(f"{name}: {status.get('message')}\n{user.citadel('get', name)}")
            continue
        flow.check(status["outputs"])
        assert status["usage"]["totalTokens"] > 0, name
        told = json.loads(user.citadel("get", name, "-o", "json"))
        ended = {step["name"]: step["status"] for step in told["status"]["steps"]}
        assert {ended.get(step) for step in flow.steps} <= {"Succeeded"}, ended
    assert not problems, "\n".join(problems)


async def test_the_examples_whose_tools_ask_no_server(cluster: Cluster, user: User) -> None:
    await run_all(cluster, user, [flow for flow in FLOWS if flow.server is None])


async def test_the_examples_whose_tools_ask_servers(cluster: Cluster, user: User) -> None:
    python = await python_image(cluster)
    served = [(flow, flow.server) for flow in FLOWS if flow.server is not None]
    private = await asyncio.gather(*(serve(cluster, flow, server, python) for flow, server in served))
    allowed = [host(cluster, server) for _, server in served]
    async with policy(cluster, egress={"allow": allowed}, privateDestinations=list(private)):
        await run_all(cluster, user, [flow for flow, _ in served])
    _the_change_is_on_its_branch(cluster)
    _the_merge_request_was_shown(cluster)


def _the_change_is_on_its_branch(cluster: Cluster) -> None:
    show = "git --git-dir=$(echo /tmp/git/*/team/till.git) show agent/issue-1:price.py"
    shown = kubectl("exec", "-n", cluster.namespace, "git", "--", "sh", "-c", show)
    assert 'digits.replace(".", "").replace(",", ".")' in shown


def _the_merge_request_was_shown(cluster: Cluster) -> None:
    """Who agreed has seen the arguments of the call."""
    listed = json.loads(kubectl("get", "approvals", "-n", cluster.namespace, "-o", "json"))["items"]
    (asked,) = [item for item in listed if item["spec"]["step"].startswith("solve.merge_request")]
    assert "Prices may have a comma" in json.dumps(asked["spec"])
