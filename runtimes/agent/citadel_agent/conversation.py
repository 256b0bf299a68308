"""What a model reads at first: system text, what is remembered, and the prompt. Summaries of what is too long."""

import json

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from citadel_agent.answers import clean

#: A rough measure that never changes: what is counted decides what is asked.
_BYTES_PER_TOKEN = 4
#: Beyond these older messages become a summary whatever an agent's limit is: three quarters of what an attempt
#: is given at most, 256 KiB and 400 messages, so that what this attempt adds, twice 32 KiB, is given to the next.
MOST_TOKENS = 192 * 1024 // _BYTES_PER_TOKEN
MOST_MESSAGES = 300
#: Bytes of a summary that are kept.
SUMMARY_BYTES = 16_000
_SUMMARISE = (
    "You keep the memory of a conversation between a user and an assistant. Write down what the assistant has to "
    "remember of it: facts, names, numbers, decisions, what was asked and is still open. Be short, invent nothing, "
    "and answer with the summary alone."
)


def system_of(agent, schema):
    """The system text; None where there is nothing to say."""
    told = [agent.get("system") or ""]
    if schema is not None:
        told.append(schema.instruction())
    return clean("\n\n".join(part for part in told if part)) or None


def prompt_of(agent):
    """What is asked: the prompt, and below it the step's arguments."""
    prompt, given = agent.get("prompt") or "", agent.get("input")
    if given:
        shown = json.dumps(given, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        prompt = f"{prompt}\n\n{shown}" if prompt else shown
    return clean(prompt)


def messages_of(summary, history):
    """What stands before the prompt. A summary is made of what others said: it is no part of the system text."""
    kinds = {"user": HumanMessage, "assistant": AIMessage}
    told = [HumanMessage(clean(f"Notes of our conversation so far:\n{summary}"))] if summary else []
    return told + [kinds[item["role"]](clean(item["content"])) for item in history if item["role"] in kinds]


def beyond(agent):
    """How many of the first messages of the history no longer fit into what an agent remembers."""
    limit, history = agent.get("memoryTokens"), agent.get("history") or []
    if not limit:
        return 0
    limit = min(limit, MOST_TOKENS)
    tokens = _tokens(agent.get("summary") or "") + sum(_size(item) for item in history)
    if tokens <= limit and len(history) <= MOST_MESSAGES:
        return 0
    room, kept = limit // 2, 0
    for item in reversed(history[-MOST_MESSAGES // 2 :]):
        room -= _size(item)
        if room < 0:
            break
        kept += 1
    return len(history) - kept


def summary_request(agent, covers):
    """What a model is asked, to have one text for what was remembered and the messages that are to go."""
    lines = [f"{item['role']}: {item['content']}" for item in agent["history"][:covers]]
    if agent.get("summary"):
        lines.insert(0, f"Remembered from before: {agent['summary']}")
    return [SystemMessage(_SUMMARISE), HumanMessage(clean("\n\n".join(lines)))]


def shortened(summary):
    """A summary in the bytes that are kept."""
    return clean(summary).strip().encode()[:SUMMARY_BYTES].decode(errors="ignore")


def _size(item):
    return _tokens(item["content"])


def _tokens(text):
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)
