"""OpenTelemetry: spans of executions, by its conventions for generative AI.

All spans of one execution are of one trace, whose id follows from the execution's uid, and a span that others
are within has an id that follows from its step: so processes tell of the same things without talking to each
other. Nothing is loaded, and nothing is told, where OTEL_EXPORTER_OTLP_ENDPOINT is not set. Never told are
prompts, answers, arguments and outputs.
"""

import asyncio
import hashlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from citadel.core.spans import Ended, ended
from citadel.store.journal import Advance

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from citadel.llm.asked import Asked

log = logging.getLogger(__name__)

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# Names of the conventions 1.41.1, the last that have those for generative AI; since then they are elsewhere.
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
WORKFLOW_NAME = "gen_ai.workflow.name"
AGENT_NAME, AGENT_VERSION = "gen_ai.agent.name", "gen_ai.agent.version"
TOOL_NAME, TOOL_TYPE = "gen_ai.tool.name", "gen_ai.tool.type"
REQUEST_MODEL = "gen_ai.request.model"
MAX_TOKENS, TEMPERATURE, TOP_P = (
    "gen_ai.request.max_tokens",
    "gen_ai.request.temperature",
    "gen_ai.request.top_p",
)
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE = "server.address", "server.port", "error.type"
#: What the conventions call providers; those that they do not know keep their own names.
_PROVIDERS = {"bedrock": "aws.bedrock"}
#: Seconds that a process waits at its end for the last spans to be sent.
CLOSE_SECONDS = 3.0
_NANO = 10**9


class Tracer:
    """Tells of spans. `processor` takes them; it must not block."""

    def __init__(self, service: str, processor: "SpanProcessor") -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.semconv.schemas import Schemas

        self._processor = processor
        self._resource = Resource.create({"service.name": service, "service.namespace": "citadel"})
        self._scope = InstrumentationScope("citadel", schema_url=Schemas.V1_41_1.value)

    def committed(self, advance: Advance) -> None:
        """What has ended with an advance of the journal. Never raises: what is committed is committed."""
        created = advance.state.created
        if created is None:
            return
        try:
            for span in ended(advance.state, advance.events):
                self._ended(created.uid, created.namespace, created.name, span)
        except Exception as error:
            log.error("execution %s: its trace is not told of: %s", created.uid, type(error).__name__)

    def _ended(self, uid: str, namespace: str, execution: str, span: Ended) -> None:
        about: dict[str, Any] = {
            OPERATION: span.operation,
            "citadel.namespace": namespace,
            "citadel.execution": execution,
            **{f"citadel.{name}": value for name, value in span.attributes.items()},
        }
        if span.step:
            about["citadel.step"] = span.step
        if span.operation == "invoke_workflow":
            about[WORKFLOW_NAME] = span.name
        elif span.operation == "invoke_agent":
            about[AGENT_NAME] = span.name
            if span.version is not None:
                about[AGENT_VERSION] = span.version
        else:
            about |= {TOOL_NAME: span.name, TOOL_TYPE: "function"}
        above = span.within if span.step else None
        name = f"{span.operation} {span.name}"
        self._tell(name, uid, span.step, above, (span.began, span.ended), about, span.error)

    def asked(self, asked: "Asked") -> None:
        """A provider was asked, with whatever success."""
        payer, target, request = asked.payer, asked.target, asked.request
        spec, answer = target.spec, asked.answer
        model = spec.model or target.name
        where = urlsplit(spec.url or "")
        found: dict[str, Any] = {
            OPERATION: "chat",
            PROVIDER: _PROVIDERS.get(spec.provider, spec.provider),
            REQUEST_MODEL: model,
            MAX_TOKENS: request.max_tokens,
            TEMPERATURE: request.temperature,
            TOP_P: request.top_p,
            SERVER_ADDRESS: where.hostname,
            SERVER_PORT: (where.port or (443 if where.scheme == "https" else 80)) if where.hostname else None,
            "citadel.namespace": payer.namespace,
            "citadel.step": payer.step,
            "citadel.attempt": payer.attempt,
            "citadel.model": target.key,
        }
        if answer is not None:
            found |= {
                FINISH_REASONS: (answer.finish_reason,),
                INPUT_TOKENS: answer.input_tokens,
                OUTPUT_TOKENS: answer.output_tokens,
                CACHED_TOKENS: answer.cached_tokens or None,
            }
        above = payer.step if payer.turn is not None else ""
        times, error = (asked.began, asked.ended), None if answer is not None else asked.outcome
        self._tell(f"chat {model}", payer.uid, None, above, times, found, error, client=True)

    def _tell(
        self,
        name: str,
        uid: str,
        step: str | None,
        above: str | None,
        times: tuple[float, float],
        attributes: Mapping[str, Any],
        error: str | None,
        client: bool = False,
    ) -> None:
        """A span: that of `step`, or one of no step's own; `above` is which one it is within."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(of: str | None) -> SpanContext:
            number = secrets.randbits(64) | 1 if of is None else _span_id(uid, of)
            return SpanContext(_trace_id(uid), number, False, TraceFlags(TraceFlags.SAMPLED))

        found = {key: value for key, value in attributes.items() if value is not None}
        if error is not None:
            found[ERROR_TYPE] = error
        self._processor.on_end(
            ReadableSpan(
                name,
                context(step),
                None if above is None else context(above),
                self._resource,
                found,
                kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
                status=Status(StatusCode.UNSET if error is None else StatusCode.ERROR),
                start_time=int(times[0] * _NANO),
                end_time=int(times[1] * _NANO),
                instrumentation_scope=self._scope,
            )
        )

    async def close(self) -> None:
        """Sends what is not sent yet, as far as somebody takes it at once."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._processor.shutdown()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        # A daemon: a collector that does not answer must not hold up the end of the process.
        threading.Thread(target=send, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await sent.wait()


def tracing(
    stack: AsyncExitStack,
    process: str,
    follow: Callable[[Callable[[Advance], None]], None],
    env: Mapping[str, str] = os.environ,
) -> Tracer | None:
    """The tracer of a process, until the stack closes; `follow` takes what is to be told of each advance.

    None where nobody wants traces.
    """
    if not env.get(ENDPOINT):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    url = f"{env[ENDPOINT].rstrip('/')}/v1/traces"
    tracer = Tracer(f"citadel-{process}", BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    stack.push_async_callback(tracer.close)
    follow(tracer.committed)
    return tracer


def _trace_id(uid: str) -> int:
    return int.from_bytes(hashlib.sha256(f"citadel trace {uid}".encode()).digest()[:16]) or 1


def _span_id(uid: str, step: str) -> int:
    return int.from_bytes(hashlib.sha256(f"citadel span {uid} {step}".encode()).digest()[:8]) or 1
