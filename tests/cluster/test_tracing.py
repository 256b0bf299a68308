"""Traces on a real cluster: what a collector is told of an execution with an agent, and what it never is.

The chart is upgraded with `tracing.endpoint` for this, and rolled back.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chart import CHART, done
from internet import pod, python_image, ready, service
from live import SYSTEM, Cluster, kubectl
from liveagents import agent, call, code_tool

pytestmark = pytest.mark.alone

PORT = 4318
#: Keeps what is posted, and gives it to whoever asks.
COLLECT = """
import base64, http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    kept = []
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces": self.kept.append(base64.b64encode(body).decode())
        self.say(200 if self.path == "/v1/traces" else 404, b"")
    def do_GET(self):
        self.say(200, json.dumps(self.kept).encode())
    def say(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 4318), Handler).serve_forever()
"""
READ = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:4318').read().decode())"
#: Stands in all that is asked, given and answered.
SECRET = "Bernsteinzimmer"


@contextlib.asynccontextmanager
async def traced(endpoint: str) -> AsyncIterator[None]:
    """Citadel as it is, with a collector."""
    options = ("-n", SYSTEM, "--wait", "--timeout", "2m")
    told = (str(CHART), "--reuse-values", "--set", f"tracing.endpoint={endpoint}")
    await asyncio.to_thread(done, "upgrade", "citadel", *told, *options)
    try:
        await asyncio.to_thread(_let_old_ones_go)
        yield
    finally:
        await asyncio.to_thread(done, "rollback", "citadel", *options)


def _let_old_ones_go() -> None:
    """Processes that end know no collector, and may yet commit something."""
    pods = json.loads(kubectl("get", "pods", "-n", SYSTEM, "-o", "json"))["items"]
    ending = [item["metadata"]["name"] for item in pods if "deletionTimestamp" in item["metadata"]]
    if ending:
        kubectl("wait", "--for=delete", "-n", SYSTEM, "pod", *ending, "--timeout=40s")


async def collected(cluster: Cluster, wanted: int) -> tuple[bytes, list[tuple[str, Any]]]:
    """What the collector got, as bytes and as spans, `wanted` at least, each with who told of it."""
    deadline = asyncio.get_running_loop().time() + 20
    while True:
        read = ("exec", "collector", "-n", cluster.namespace, "--", "python3", "-c", READ)
        bodies = [base64.b64decode(one) for one in json.loads(await asyncio.to_thread(kubectl, *read))]
        spans = [
            (_service(resource), span)
            for body in bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        if len(spans) >= wanted:
            return b"".join(bodies), spans
        assert asyncio.get_running_loop().time() < deadline, (
            sorted((who, span.name) for who, span in spans),
            await asyncio.to_thread(kubectl, "logs", "collector", "-n", cluster.namespace),
        )
        await asyncio.sleep(0.5)


def _service(resource: Any) -> str:
    named = (item.value.string_value for item in resource.resource.attributes if item.key == "service.name")
    return str(next(named))


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for item in span.attributes:
        value = getattr(item.value, item.value.WhichOneof("value"))
        found[item.key] = [one.string_value for one in value.values] if hasattr(value, "values") else value
    return found


async def test_an_execution_is_a_trace_without_a_word_of_what_was_said(cluster: Cluster) -> None:
    await pod(cluster, "collector", await python_image(cluster), ["python3", "-c", COLLECT], PORT)
    await service(cluster, "collector", PORT)
    await ready(cluster, "collector")
    await code_tool(cluster, code=f"def main(n): return {SECRET!r}")
    script = (
        {"when": "summary", "text": f"A summary of {SECRET}."},
        call("double", 0, n=4),
        call("rm", 1, path=SECRET),
        {"turn": 2, "text": f"It is {SECRET}."},
    )
    await agent(cluster, *script, tools=[{"name": "double", "tool": "double"}], version="1.2.0")
    steps = [
        {"name": "work", "agent": {"name": "worker", "prompt": f"Find the {SECRET}."}, "timeout": "2m"},
        {"name": "tell", "llm": {"model": "script", "prompt": "A summary of ${steps.work.output}"}},
    ]
    await cluster.workflow("flow", steps, outputs={"said": "${steps.tell.output}"})
    async with traced(f"http://collector.{cluster.namespace}.svc:{PORT}"):
        status = await cluster.run("flow", 120)
        assert status.get("outputs") == {"said": f"A summary of {SECRET}."}, status
        raw, told = await collected(cluster, 8)
    assert SECRET.encode() not in raw

    assert len({span.trace_id for _, span in told}) == 1
    spans = {span.name: span for _, span in told}
    assert sorted(span.name for _, span in told) == [
        *["chat script"] * 4,
        "execute_tool double",
        "execute_tool rm",
        "invoke_agent worker",
        "invoke_workflow flow",
    ]
    root, worker = spans["invoke_workflow flow"], spans["invoke_agent worker"]
    assert not root.parent_span_id
    assert worker.parent_span_id == root.span_id
    chats = [span for _, span in told if span.name == "chat script"]
    parents = [span.parent_span_id for span in chats]
    assert sorted(parents, key=parents.count) == [root.span_id, *[worker.span_id] * 3]
    for tool in ("double", "rm"):
        assert spans[f"execute_tool {tool}"].parent_span_id == worker.span_id

    about = attributes(worker)
    assert (about["gen_ai.operation.name"], about["gen_ai.agent.name"]) == ("invoke_agent", "worker")
    assert (about["gen_ai.agent.version"], about["citadel.step"]) == ("1.2.0", "work")
    assert attributes(root)["citadel.namespace"] == cluster.namespace
    assert attributes(spans["execute_tool double"])["gen_ai.tool.name"] == "double"
    assert attributes(spans["execute_tool rm"])["error.type"] == "ToolNotAllowed"
    counted = [attributes(span) for span in chats]
    used = sum(one["gen_ai.usage.input_tokens"] + one["gen_ai.usage.output_tokens"] for one in counted)
    assert used == status["usage"]["totalTokens"]
    assert {one["gen_ai.request.model"] for one in counted} == {"script"}
    services = {(service, span.name.split()[0]) for service, span in told}
    assert ("citadel-models", "chat") in services
    assert {service for service, _ in services} <= {
        "citadel-controller",
        "citadel-gateway",
        "citadel-models",
        "citadel-tools",
    }
