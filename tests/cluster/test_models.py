"""Steps that ask models, on a real cluster: by a script, and by a server that speaks the protocol of OpenAI,
which the model gateway reaches through the egress proxy alone."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from citadel.kube.resources import AGENTS, MODELS, PODS, SECRETS
from internet import pod, python_image, ready, service
from live import SYSTEM, Cluster, User, citadel, kubectl, policy
from liveagents import create

EXAMPLE = Path(__file__).parents[2] / "examples" / "sentiment"
PORT = 8080
SESAME = "sk-open-sesame-1234567890"
SERVE = """
import http.server, json, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        if "slow" in asked: time.sleep(8)
        message = {"role": "assistant", "content": f"you said {asked}"}
        answer = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 5, "total_tokens": 45}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def asking(prompt: str, of: str = "writer", **fields: Any) -> dict[str, Any]:
    llm = {"model": of, "prompt": prompt, "maxTokens": 50}
    return {"name": "ask", "llm": llm, **fields}


def counted(series: str, **labels: str) -> float:
    """What the processes of the model gateway have counted together, over all other labels."""
    component = ("-l", "app.kubernetes.io/component=models", "--field-selector=status.phase=Running")
    total = 0.0
    for name in kubectl("-n", SYSTEM, "get", "pods", *component, "-o", "name").split():
        path = f"/api/v1/namespaces/{SYSTEM}/{name.replace('pod/', 'pods/')}:8080/proxy/metrics"
        for family in text_string_to_metric_families(kubectl("get", "--raw", path)):
            for sample in family.samples:
                if sample.name == f"citadel_model_{series}" and labels.items() <= sample.labels.items():
                    total += sample.value
    return total


async def model(cluster: Cluster, name: str, **spec: Any) -> None:
    body = {"apiVersion": MODELS.api_version, "kind": "Model", "metadata": {"name": name}, "spec": spec}
    await cluster.kube.create(MODELS, {**body, "metadata": {"name": name, "namespace": cluster.namespace}})


async def server(cluster: Cluster) -> tuple[str, list[str]]:
    """A server that speaks as OpenAI does: where it is, and what a policy has to list."""
    await pod(cluster, "model", await python_image(cluster), ["python3", "-c", SERVE], PORT)
    address = await service(cluster, "model", PORT)
    await ready(cluster, "model")
    return f"model.{cluster.namespace}.svc.cluster.local:{PORT}", [f"{address}/32:{PORT}"]


async def test_the_example_runs_by_its_script_and_says_so(cluster: Cluster, user: User) -> None:
    kubectl("apply", "-n", cluster.namespace, "-f", str(EXAMPLE / "models.yaml"))
    user.kubectl("apply", "-f", str(EXAMPLE / "workflow.yaml"))
    user.kubectl("apply", "-f", str(EXAMPLE / "run.yaml"))
    status = (await cluster.finished("sentiment-1"))["status"]
    assert status["outputs"]["moods"] == {"good": 1, "bad": 1, "mixed": 1}, status
    usage = status["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] > 0
    assert not usage["estimated"]
    told = user.citadel("get", "sentiment-1")
    assert "Model judge (scripted)" in told
    assert f"${usage['cost']}" in told
    shown = user.kubectl("get", "executions", "sentiment-1", "-o", "wide")
    assert usage["cost"] in shown


@pytest.mark.alone
async def test_a_server_is_asked_through_the_proxy_and_a_budget_stops_the_execution(cluster: Cluster) -> None:
    host, private = await server(cluster)
    prices = {"input": "1", "output": "10"}
    spec = {"provider": "openai", "model": "m-1", "endpoint": f"http://{host}/v1", "prices": prices}
    await model(cluster, "writer", **spec)
    steps = [asking("${inputs.what}", timeout="60s")]
    inputs = {"type": "object", "properties": {"what": {"type": "string"}}}
    outputs = {"said": "${steps.ask.output}"}
    await cluster.workflow("flow", steps, inputs=inputs, outputs=outputs)
    await cluster.workflow("poor", steps, inputs=inputs, outputs=outputs, budget={"cost": "0.0001"})
    closed = host.replace(f":{PORT}", ":9")
    await model(cluster, "closed", **{**spec, "endpoint": f"http://{closed}/v1"})
    await cluster.workflow("astray", [{"name": "ask", "llm": {"model": "closed", "prompt": "hi"}}])
    async with policy(cluster, egress={"allow": [host]}, privateDestinations=private):
        name = await cluster.execute("flow", inputs={"what": "hello ü"})
        status = (await cluster.finished(name))["status"]
        assert status.get("outputs") == {"said": "you said hello ü"}, status
        assert status["usage"]["cost"] == "0.00009"
        rows = json.loads(
            await asyncio.to_thread(citadel, "connections", name, "-n", cluster.namespace, "-o", "json")
        )
        assert {(row["step"], row["sandbox"], row["verdict"]) for row in rows} == {
            ("ask", "model-gateway", "allowed")
        }
        astray = (await cluster.finished(await cluster.execute("astray")))["status"]
        assert (astray["reason"], astray["usage"]["cost"]) == ("ModelError", "0.00"), astray
        assert f"does not allow {closed}" in astray["message"]
        poor = (await cluster.finished(await cluster.execute("poor", inputs={"what": "hi"})))["status"]
        assert (poor["phase"], poor["reason"]) == ("Failed", "BudgetExceeded"), poor
        assert "cost is 0.0001" in poor["message"]

        slow = await cluster.execute("flow", inputs={"what": "slow"})
        await cluster.until(slow, lambda found: (found.get("status") or {}).get("phase") == "Running")
        await asyncio.to_thread(
            kubectl, "delete", "pod", "-n", SYSTEM, "-l", "app.kubernetes.io/component=models", "--force"
        )
        status = (await cluster.finished(slow, 120))["status"]
        assert status.get("outputs") == {"said": "you said slow"}, status


async def test_a_secret_that_may_not_be_read_or_sent_is_named_and_never_shown(cluster: Cluster) -> None:
    data = {"key": base64.b64encode(SESAME.encode()).decode()}
    metadata = {"name": "paid", "namespace": cluster.namespace}
    await cluster.kube.create(
        SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    )
    credential = {"secretKeyRef": {"name": "paid", "key": "key"}}
    await model(
        cluster,
        "writer",
        provider="openai",
        model="m",
        credential=credential,
        endpoint="https://elsewhere.example.com/v1",
    )
    await cluster.workflow("flow", [asking("hello")])
    status = (await cluster.finished(await cluster.execute("flow")))["status"]
    assert status["reason"] == "SecretForbidden", status
    granting = status["message"].split("To grant it: ")[1]
    for command in granting.split(" && "):
        kubectl(*command.removeprefix("kubectl ").split())
    name = await cluster.execute("flow")
    status = (await cluster.finished(name))["status"]
    assert status["reason"] == "HostNotAllowed", status
    annotating = status["message"].split("To allow it: ")[1]
    kubectl(*annotating.removeprefix("kubectl ").split())
    name = await cluster.execute("flow")
    status = (await cluster.finished(name))["status"]
    assert "no ExecutionPolicy" in status["message"], status
    found = [json.dumps(await cluster.get(name)), citadel("get", name, "-n", cluster.namespace, "-o", "json")]
    for item in (await cluster.kube.list(PODS, SYSTEM)).items:
        found.append(
            kubectl(
                "logs", "-n", SYSTEM, item["metadata"]["name"], "--all-containers", "--tail=2000", check=False
            )
        )
    assert SESAME not in "\n".join(found)


async def test_a_model_that_nobody_answers_for_is_left_alone_and_that_is_counted(cluster: Cluster) -> None:
    address = await service(cluster, "nobody", PORT)
    host = f"nobody.{cluster.namespace}.svc.cluster.local:{PORT}"
    await model(cluster, "absent", provider="openai", model="m", endpoint=f"http://{host}/v1")
    await cluster.workflow("flow", [asking("hello", "absent")])
    alone = counted("calls_total", model="absent", outcome="LeftAlone")
    async with policy(cluster, egress={"allow": [host]}, privateDestinations=[f"{address}/32:{PORT}"]):
        async with asyncio.timeout(90):
            # Each process of the gateway finds it out for itself.
            while "left alone" not in (status := await cluster.run("flow"))["message"]:
                assert status["reason"] == "ModelUnavailable", status
    assert counted("calls_total", model="absent", outcome="LeftAlone") > alone
    assert counted("breakers_open") >= 1


@pytest.mark.parametrize("kind", ["llm", "agent"])
async def test_the_same_request_is_paid_for_once_where_its_model_says_so_and_all_is_counted(
    cluster: Cluster, kind: str
) -> None:
    # Series have no namespace: nobody else asks a Model of this name.
    name = f"frugal-{kind}"
    prices = {"input": "1", "output": "10"}
    script = [{"text": "deterministic"}]
    await model(cluster, name, provider="scripted", prices=prices, script=script, cache={"ttl": "10m"})
    await create(cluster, AGENTS, "Agent", "clerk", model=name)
    steps = {
        "llm": asking("hello ü", name),
        "agent": {"name": "ask", "agent": {"name": "clerk", "prompt": "hello ü"}},
    }
    await cluster.workflow("flow", [steps[kind]], outputs={"said": "${steps.ask.output}"})

    def counts() -> list[float]:
        calls = [counted("calls_total", model=name, outcome=outcome) for outcome in ("ok", "Cached")]
        took = [counted(series, model=name) for series in ("tokens_total", "cost_dollars_total")]
        return [*calls, *took, *(counted("cache_total", outcome=outcome) for outcome in ("miss", "hit"))]

    before = counts()
    paid = [await cluster.run("flow")]
    async with asyncio.timeout(60):
        # While Redis is too slow, nothing is kept: then the next pays too.
        while (again := await cluster.run("flow")).get("usage", {}).get("totalTokens", 0) > 0:
            paid.append(again)
    assert all(status["outputs"] == {"said": "deterministic"} for status in (*paid, again))
    ok, cached, tokens, dollars, misses, hits = (
        after - was for after, was in zip(counts(), before, strict=True)
    )
    assert (ok, cached) == (len(paid), 1)
    assert tokens == sum(status["usage"]["totalTokens"] for status in paid) > 0
    cost = sum(float(status["usage"]["cost"]) for status in paid)
    assert cost > 0
    assert dollars == pytest.approx(cost)
    # Others look there too.
    assert misses >= len(paid)
    assert hits >= 1
