"""Tools: each call of the model's goes to the gateway, whatever its name; what comes back is text for the model."""

import json
from dataclasses import dataclass, field

from langchain.agents.middleware import AgentMiddleware, ModelResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import SystemMessage, ToolMessage

from citadel_agent.answers import clean, sound
from citadel_agent.asking import Turns
from citadel_agent.door import Door
from citadel_agent.protocol import BROKEN
from citadel_agent.telling import Teller

#: No tool is called so, nor by a name that was as long: these are refused, by the gateway.
_NAMELESS, _LONGEST_NAME = "?", 64
#: Characters of such a text that are told: enough to see what it was meant to be.
_LONGEST_TEXT = 4096


def tools_of(agent):
    """What the model is told of its tools, as it reads it."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool.get("description") or tool["name"],
                "parameters": tool.get("parameters") or {"type": "object", "properties": {}},
            },
        }
        for tool in agent.get("tools") or ()
    ]


@dataclass
class Run:
    """What one run of an agent brings to the loop, which is the same for all: LangChain's context of a run."""

    model: BaseChatModel
    system: SystemMessage | None
    tools: list[dict]
    door: Door
    turns: Turns
    teller: Teller
    ids: set[str] = field(default_factory=set)
    """Those of its calls."""

    def own(self, call_id):
        """An id that no other call of this run has: by it the gateway tells a repetition from another call."""
        name, number = call_id or "call", 1
        while (own := name if number == 1 else f"{name}-{number}") in self.ids:
            number += 1
        self.ids.add(own)
        return own


class Calls(AgentMiddleware):
    """Answers each call from the gateway, in the thread that LangChain gives it: those of one turn run side by side.

    A name that the model has made up goes there as well, and so do arguments that are no JSON object, as the
    text that they are: they are refused there, and stand in the journal.
    """

    def wrap_model_call(self, request, handler):
        run = request.runtime.context
        request = request.override(model=run.model, system_message=run.system, tools=run.tools)
        message = run.turns.ask(lambda: handler(request).result[0])
        run.teller.answered()
        message.tool_calls = [{**call, "id": run.own(call["id"])} for call in message.tool_calls]
        return ModelResponse(result=[message])

    def wrap_tool_call(self, request, handler):
        run = request.runtime.context
        call = request.tool_call
        name, arguments = clean(call["name"])[:_LONGEST_NAME] or _NAMELESS, sound(call["args"])
        if BROKEN in arguments:
            arguments = str(arguments[BROKEN])[:_LONGEST_TEXT]
        run.teller.called(name, arguments)
        answer = run.door.call(name, arguments, call["id"])
        run.teller.gave(name, answer)
        succeeded = answer.get("status") == "Succeeded"
        return ToolMessage(
            content=_text(answer.get("output")) if succeeded else _problem(answer),
            name=name,
            tool_call_id=call["id"],
            status="success" if succeeded else "error",
        )


def _text(output):
    """An output as a model reads it: a text as it is, anything else as JSON."""
    if isinstance(output, str):
        return clean(output)
    return json.dumps(output, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _problem(answer):
    return clean(f"{answer.get('reason') or 'ToolFailed'}: {answer.get('message') or 'no message'}")
