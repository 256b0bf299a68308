"""OpenAI's protocol of chat completions, as far as the door speaks it: messages as they are asked, and answers as
their pieces come. There are texts and calls of tools, and nothing else.

Source: https://platform.openai.com/docs/api-reference/chat
"""

import json

from langchain_core.messages import AIMessage

#: What holds the text of arguments that are no JSON object: no name of an argument.
BROKEN = "\N{REPLACEMENT CHARACTER}"
_ROLES = {"human": "user", "system": "system", "ai": "assistant", "tool": "tool"}


def told(message):
    """A message as it is asked."""
    found = {"role": _ROLES[message.type], "content": message.content}
    if message.type == "tool":
        found["tool_call_id"] = message.tool_call_id
    elif message.type == "ai" and message.tool_calls:
        found |= {"content": message.content or None, "tool_calls": [_asked(call) for call in message.tool_calls]}
    return found


class Answer:
    """An answer while it comes."""

    def __init__(self):
        self._texts, self._calls, self._ended = [], {}, None

    def take(self, piece):
        """The text that a piece brings."""
        text = ""
        for choice in piece.get("choices") or ():
            delta = choice.get("delta") or {}
            text += delta.get("content") or ""
            self._ended = choice.get("finish_reason") or self._ended
            for part in delta.get("tool_calls") or ():
                self._add(part)
        self._texts.append(text)
        return text

    def message(self):
        """What has come; its metadata says why it ended, unless it broke off."""
        calls = [_call(found) for found in self._calls.values()]
        about = {} if self._ended is None else {"finish_reason": self._ended}
        return AIMessage("".join(self._texts), tool_calls=calls, response_metadata=about)

    def _add(self, part):
        said = part.get("function") or {}
        found = self._calls.setdefault(part["index"], {"id": "", "name": "", "arguments": ""})
        found["id"] += part.get("id") or ""
        for name in ("name", "arguments"):
            found[name] += said.get(name) or ""


def _asked(call):
    arguments = json.dumps(call["args"], ensure_ascii=False)
    return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": arguments}}


def _call(found):
    """A call as it was said. LangChain takes none whose arguments are no object: such a text stands in one."""
    text = found["arguments"]
    try:
        arguments = json.loads(text, parse_constant=_refuse) if text.strip() else {}
    except (ValueError, RecursionError):
        arguments = None
    arguments = arguments if isinstance(arguments, dict) else {BROKEN: text}
    return {"name": found["name"], "args": arguments, "id": found["id"], "type": "tool_call"}


def _refuse(constant):
    raise ValueError(f"found {constant}")
