"""Imported ahead of any attempt, in the interpreter that forks: what a first run loads and makes is there then.

Its rehearsal, there and again in each fork that waits, runs a whole agent against nobody: a door that leads nowhere,
and answers by itself.
"""

from citadel_agent.asking import ready_model
from citadel_agent.running import perform
from citadel_agent.telling import Teller

_CALL = {"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
_AGENT = {
    "prompt": "rehearsal",
    "tools": [{"name": "look", "description": "Looks.", "parameters": {"type": "object"}}],
    "outputSchema": {"type": "object"},
}


class _Nobody:
    """A door that answers each question and each call."""

    def answer(self, asked):
        first = asked["messages"][-1]["role"] != "tool"
        delta = {"role": "assistant", "content": None, "tool_calls": [_CALL]} if first else {"content": "{}"}
        chunks = [
            {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if first else "stop"}]},
        ]
        common = {"id": "r", "object": "chat.completion.chunk", "created": 0, "model": "citadel"}
        for chunk in chunks:
            yield common | chunk

    def call(self, name, arguments, call_id):
        return {"status": "Succeeded", "output": name}


class _Silent(Teller):
    """Prints nothing: what the interpreter prints nobody asked for."""

    def _print(self, text, whole):
        pass


def citadel_rehearse():
    """One run of an agent."""
    ready_model()
    perform(_AGENT, _Nobody(), _Silent())
