"""Traces by the conventions for generative AI, as a collector gets them."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    gen_ai_attributes,
    server_attributes,
)

from agents import AgentRun, agent, plan, run_agent
from citadel import tracing as names
from citadel.api.model import ModelSpec
from citadel.core.spending import Turn
from citadel.llm.asked import Asked, Payer, Target
from citadel.llm.asking import Common
from citadel.llm.provider import Answer, Message, Request
from citadel.store.journal import Advance
from citadel.tracing import ENDPOINT, Tracer, tracing
from component.models.gatewayworld import World
from providers import Reply

SECRET = "a secret prompt"


@dataclass
class Collector:
    """Receives what OTLP sends."""

    port: int = 0
    raw: bytes = b""
    spans: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)
    schemas: set[str] = field(default_factory=set)
    """By which version of the conventions the names are."""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {item.key: item.value.string_value for item in resource.resource.attributes}
            self.services.add(told["service.name"])
            self.schemas |= {scope.schema_url for scope in resource.scope_spans}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    def named(self, name: str) -> Any:
        (found,) = [span for span in self.spans if span.name == name]
        return found


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for item in span.attributes:
        kind = item.value.WhichOneof("value")
        value = getattr(item.value, kind)
        found[item.key] = [each.string_value for each in value.values] if kind == "array_value" else value
    return found


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


def traced(stack: AsyncExitStack, collector: Collector, world: World) -> Tracer:
    env = {ENDPOINT: f"http://127.0.0.1:{collector.port}/"}
    found = tracing(stack, "models", world.database.follow, env)
    assert found is not None
    return found


async def test_calls_of_models_are_spans_of_their_executions_trace(
    world: World, collector: Collector
) -> None:
    world.providers.replies = [(503, {}, "{}"), Reply("It is 42.")]
    async with AsyncExitStack() as stack:
        tracer = traced(stack, collector, world)
        for uid in ("u1", "u2"):
            await world.place(await world.begin(uid, llm={"prompt": SECRET, "temperature": 0.5}))
        world.work(Common(trace=tracer.asked))
        for uid in ("u1", "u2"):
            await world.ended(uid)
    assert collector.services == {"citadel-models"}
    assert collector.schemas == {"https://opentelemetry.io/schemas/1.41.1"}
    chats = [span for span in collector.spans if span.name == "chat m-1"]
    assert len(chats) == 3
    roots = [span for span in collector.spans if span.name.startswith("invoke_workflow ")]
    assert len(roots) == len({span.trace_id for span in roots}) == 2
    by_trace = {span.trace_id: span for span in roots}
    assert all(span.parent_span_id == by_trace[span.trace_id].span_id for span in chats)
    (failed,) = [span for span in chats if span.status.code == 2]
    assert attributes(failed)["error.type"] == "ModelUnavailable"
    done = attributes(next(span for span in chats if span.status.code != 2))
    assert done["gen_ai.operation.name"] == "chat"
    assert (done["gen_ai.provider.name"], done["gen_ai.request.model"]) == ("openai", "m-1")
    assert (done["gen_ai.usage.input_tokens"], done["gen_ai.usage.output_tokens"]) == (30, 4)
    assert done["gen_ai.usage.cache_read.input_tokens"] == 10
    assert done["gen_ai.response.finish_reasons"] == ["stop"]
    assert (done["server.address"], done["server.port"]) == ("models.example.com", world.providers.port)
    assert (done["citadel.step"], done["citadel.attempt"]) == ("ask", 1)
    assert all(span.kind == 3 and span.end_time_unix_nano > span.start_time_unix_nano for span in chats)
    for said in (SECRET.encode(), b"It is 42.", b"sk-very-secret"):
        assert said not in collector.raw


class _Kept:
    """Takes spans as a processor does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def on_end(self, span: Any) -> None:
        self.spans.append(span)


def test_calls_of_an_agent_are_within_it_whichever_process_tells_of_them() -> None:
    gateway, models = _Kept(), _Kept()
    run = AgentRun(plan(run_agent(), agents={"writer": agent("search", version="1.2.0")})).begin()
    uid = run.state.created.uid  # type: ignore[union-attr]
    target = Target(
        "m", "team/m", ModelSpec.model_validate({"provider": "scripted", "script": [{"text": "x"}]})
    )
    payer = Payer(uid, "write", 1, "team", (target,), (), Turn(5))
    request = Request((Message("user", SECRET),), 10)
    Tracer("citadel-models", models).asked(  # type: ignore[arg-type]
        Asked(payer, target, request, 1.0, 2.0, Answer("x", 1, 1), "ok")
    )
    run.answer(run.call("search", {"text": SECRET}), SECRET)
    run.end("write", SECRET)
    tracer = Tracer("citadel-gateway", gateway)  # type: ignore[arg-type]
    events = tuple(event for event, _ in run.log)
    tracer.committed(Advance(run.state, events, ()))
    spans = {span.name: span for span in gateway.spans + models.spans}
    writer, root = spans["invoke_agent writer"], spans["invoke_workflow flow"]
    assert spans["execute_tool search"].parent == spans["chat m"].parent == writer.context
    assert (writer.parent, root.parent) == (root.context, None)
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert len({span.context.span_id for span in spans.values()}) == 4
    assert writer.attributes["gen_ai.agent.name"] == "writer"
    assert writer.attributes["gen_ai.agent.version"] == "1.2.0"
    assert spans["execute_tool search"].attributes["gen_ai.tool.name"] == "search"
    assert not [span for span in spans.values() if SECRET in str(dict(span.attributes))]


async def test_a_collector_that_is_away_stops_nothing(world: World, collector: Collector) -> None:
    world.providers.replies = [Reply("x")]
    async with AsyncExitStack() as stack:
        tracer = traced(stack, Collector(port=9), world)
        await world.place(await world.begin("u1"))
        world.work(Common(trace=tracer.asked))
        state = await world.ended("u1")
        assert state.steps["ask"].status == "Succeeded"


def test_the_names_are_those_of_the_conventions() -> None:
    known = {
        value
        for module in (gen_ai_attributes, error_attributes, server_attributes)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    ours = {
        value
        for name, value in vars(names).items()
        if name.isupper() and isinstance(value, str) and name != "ENDPOINT"
    }
    assert len(ours) > 15
    assert ours <= known
    operations = {item.value for item in gen_ai_attributes.GenAiOperationNameValues}
    assert {"chat", "execute_tool", "invoke_agent"} <= operations
    providers = {item.value for item in gen_ai_attributes.GenAiProviderNameValues}
    assert {"openai", "anthropic", "aws.bedrock"} <= providers


def test_where_nobody_wants_traces_nothing_of_them_is_loaded() -> None:
    code = (
        "import asyncio, contextlib, sys\n"
        "from citadel.tracing import tracing\n"
        "assert tracing(contextlib.AsyncExitStack(), 'models', lambda told: None, {}) is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.sdk')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
