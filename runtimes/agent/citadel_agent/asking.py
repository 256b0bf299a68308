"""The model behind the door, as LangChain sees it, and how a call of it is tried again or fails."""

import functools
import http.client
import time

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from citadel_agent.failing import Failure, Refused, ended, passes, pauses
from citadel_agent.protocol import Answer, told


class Model(BaseChatModel):
    """A model that is asked over the door.

    LangChain has a package for the protocol, on OpenAI's own client: to load the two takes longer than half of all
    else that an agent loads, while somebody waits for its first word.
    """

    settings: dict = {}
    _door = PrivateAttr()

    @property
    def _llm_type(self):
        return "citadel"

    def behind(self, door, settings):
        """The same with settings, behind a door."""
        found = self.model_copy(update={"settings": settings})
        found._door = door
        return found

    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        """The same with tools, which are described as the protocol has them."""
        return self.bind(tools=tools, **kwargs)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        # Which model it is the Agent says, and the door knows.
        asked = {"model": "citadel", "stream": True, **self.settings, **kwargs}
        asked["messages"] = [told(message) for message in messages]
        answer = Answer()
        for piece in self._door.answer(asked):
            token = answer.take(piece)
            if token and run_manager:
                run_manager.on_llm_new_token(token)
        return ChatResult(generations=[ChatGeneration(message=answer.message())])


@functools.cache
def ready_model():
    """One for all: it is made while nobody waits."""
    return Model()


def fitted(agent, door):
    """The model with an agent's settings, behind a door."""
    settings = {
        name: agent[field]
        for name, field in (("max_completion_tokens", "maxTokens"), ("temperature", "temperature"))
        if agent.get(field) is not None
    }
    return ready_model().behind(door, settings)


class Turns:
    """Counts the calls of the model, and makes each until it is answered or refused.

    The other side counts as well: what is refused here only ends sooner.
    """

    def __init__(self, limit, sleep=time.sleep):
        self._left, self._limit, self._sleep = limit, limit, sleep

    def ask(self, call):
        """The message that call() gives, with its whole answer; raises Failure."""
        if self._limit is not None:
            if self._left <= 0:
                raise Failure("TurnLimitExceeded", f"limits.turns: the model was asked {self._limit} times")
            self._left -= 1
        for pause in pauses():
            try:
                message = call()
                if message.response_metadata.get("finish_reason") is not None:
                    return message
                # The stream has ended, but the answer has not.
            except Refused as error:
                if not passes(error.status, error.said):
                    raise ended(error.status, error.said) from None
            except (OSError, http.client.HTTPException):
                pass  # the runner's door, or the way behind it, or an answer that broke off
            self._sleep(pause)
        raise AssertionError("unreachable: there is always another try")
