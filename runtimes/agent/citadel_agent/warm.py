"""Imported ahead of any attempt, in the interpreter that forks: what a first run loads and makes is there then.

Its rehearsal, there and again in each fork that waits, runs a whole agent against nobody: a transport that answers
by itself, and a door that leads nowhere.
"""

import json

import httpx2

from citadel_agent.asking import model_at, ready_model
from citadel_agent.running import perform
from citadel_agent.telling import Teller

_CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
_AGENT = {
    "prompt": "rehearsal",
    "tools": [{"name": "look", "description": "Looks.", "parameters": {"type": "object"}}],
    "outputSchema": {"type": "object"},
}


class _Nobody:
    """A door that answers each call."""

    def call(self, name, arguments, call_id):
        return {"status": "Succeeded", "output": name}


class _Silent(Teller):
    """Prints nothing: what the interpreter prints nobody asked for."""

    def _print(self, text, whole):
        pass


def _answer(request):
    asked = json.loads(request.read())["messages"]
    first = asked[-1]["role"] != "tool"
    delta = {"role": "assistant", "content": None, "tool_calls": [_CALL]} if first else {"content": "{}"}
    chunks = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if first else "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
    ]
    common = {"id": "r", "object": "chat.completion.chunk", "created": 0, "model": "citadel"}
    lines = [f"data: {json.dumps(common | chunk)}\n\n" for chunk in chunks]
    body = "".join([*lines, "data: [DONE]\n\n"])
    return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, text=body)


def citadel_rehearse():
    """One run of an agent."""
    ready_model()
    perform(_AGENT, model_at(httpx2.MockTransport(_answer)), _Nobody(), _Silent())
