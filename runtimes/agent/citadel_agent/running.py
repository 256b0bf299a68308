"""One run of an agent, from its definition to its answer."""

import contextlib
import functools
import os
import signal

from citadel_harness.failures import Failure
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.errors import GraphRecursionError

from citadel_agent import answers, conversation
from citadel_agent.asking import Turns, fitted, ready_model
from citadel_agent.calling import Calls, Run, tools_of
from citadel_agent.door import Door, address
from citadel_agent.telling import Teller

#: Steps of the graph that one turn takes at most: the model, and the tools.
_STEPS_PER_TURN = 2
_REPAIRS = 2
#: Calls of tools under way at once: as many as the gateway holds for one sandbox.
_CALLS_AT_ONCE = 8


def run(agent):
    """The entry point of the attempt: the agent's answer."""
    # There is nothing to clean up, and threads that wait for tools would hold up a cancellation.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))
    with contextlib.closing(Door(address())) as door:
        return perform(agent, door, Teller())


@functools.cache
def loop():
    """LangChain's loop, one for all agents: it is made while nobody waits, and each run brings what is its own."""
    return create_agent(ready_model(), middleware=[Calls()], context_schema=Run)


def perform(agent, door, teller):
    """The agent's answer: its text, or where it has a schema the JSON that fits it."""
    schema = answers.Schema(agent["outputSchema"]) if agent.get("outputSchema") is not None else None
    limit = (agent.get("limits") or {}).get("turns")
    model, turns = fitted(agent, door), Turns(limit)
    summary, history = _remembered(agent, model, turns, door, teller)
    system = conversation.system_of(agent, schema)
    system = SystemMessage(system) if system is not None else None
    context = Run(model, system, tools_of(agent), door, turns, teller)
    messages = [*conversation.messages_of(summary, history), HumanMessage(conversation.prompt_of(agent))]
    config = {"callbacks": [teller], "max_concurrency": _CALLS_AT_ONCE}
    config["recursion_limit"] = _STEPS_PER_TURN * (limit or 1000) + 1
    repairs = agent.get("repairs", _REPAIRS)
    for again in reversed(range(repairs + 1)):
        try:
            messages = loop().invoke({"messages": messages}, config, context=context)["messages"]
        except GraphRecursionError:
            raise Failure("TurnLimitExceeded", f"limits.turns: the model was asked {limit} times") from None
        text = _answer(messages)
        if schema is None:
            return answers.clean(text)
        try:
            return schema.read(text)
        except answers.Unfit as unfit:
            if not again:
                raise Failure("InvalidOutput", f"{unfit} (asked {repairs + 1} times)") from None
            teller.told(f"asked again: {unfit}")
            messages = [*messages, HumanMessage(answers.repair(answers.clean(str(unfit))))]
    raise AssertionError("unreachable: the last round returns or raises")


def _remembered(agent, model, turns, door, teller):
    """The summary and the messages that this run begins with; what is too long is summarised before."""
    summary, history = agent.get("summary"), agent.get("history") or []
    covers = conversation.beyond(agent)
    if not covers:
        return summary, history
    teller.told(f"memory: {covers} of {len(history)} messages are summarised")
    told = turns.ask(
        lambda: model.invoke(conversation.summary_request(agent, covers), {"callbacks": [teller]})
    )
    teller.answered()
    news = conversation.shortened(told.text)
    if not news:
        # Nothing goes that no summary stands for.
        teller.told("memory: the model wrote no summary, so this goes on with all of them")
        return summary, history
    door.remember(news, covers)
    return news, history[covers:]


def _answer(messages):
    """The text of the last thing that the model said."""
    last = next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
    return last.text if last is not None else ""
