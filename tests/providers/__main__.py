"""Servers of all protocols as a process, by the script of a scripted Model: the same answers, by a wire."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from citadel.api.model import ModelSpec
from citadel.llm.provider import Message, ProviderError, Request
from citadel.llm.scripted import Script

from .replies import Reply
from .server import Brain, Providers, error_body

_ANYTHING = {"provider": "scripted", "script": [{"text": "ok"}]}


def scripted(spec: ModelSpec, delay: float = 0.0) -> Brain:
    """Answers as a script says, after so many seconds."""
    script = Script(spec)

    async def answer(protocol: str, body: dict[str, Any]) -> Reply:
        try:
            found = await script.ask(_asked(body))
        except ProviderError as error:
            status = 429 if error.reason == "RateLimited" else 503 if error.passes else 400
            return Reply(status=status, body=error_body(protocol, status, error.message), pause=delay)
        calls = tuple((call.id, call.name, call.arguments) for call in found.tool_calls)
        taken = (found.input_tokens or 0, found.output_tokens or 0, 0)
        return Reply(found.text, calls, taken, pause=delay)

    return answer


def _asked(body: dict[str, Any]) -> Request:
    """What a request of any protocol asks, as far as scripts look."""
    system = _text(body.get("system") or "")
    messages = [Message("system", system)] if system else []
    messages += [Message(item["role"], _text(item.get("content") or "")) for item in body["messages"]]
    return Request(tuple(messages), 100_000)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    found = content if isinstance(content, list) else [content]
    return "\n".join(
        item.get("text") or _text(item.get("content") or (item.get("toolResult") or {}).get("content") or "")
        for item in found
    )


async def main() -> None:
    """Serves until it is ended; says its port in a line."""
    parser = argparse.ArgumentParser(prog="python -m tests.providers", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--script", type=Path, help="a Model, or its spec, as YAML")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that each answer takes")
    given = parser.parse_args()
    found = YAML(typ="safe").load(given.script.read_text()) if given.script else _ANYTHING
    spec = ModelSpec.model_validate(found.get("spec", found))
    servers = Providers(given.port, brain=scripted(spec, given.delay))
    async with servers.serving(host=given.host):
        sys.stdout.write(f"{servers.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main())
