"""The model behind the door, as LangChain sees it, and how a call of it is tried again or fails."""

import functools
import http.client
import time

import httpx2
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr

from citadel_agent.failing import Failure, Refused, ended, passes, pauses

#: Where an answer has its calls of tools as the model said them.
CALLS = "citadel_calls"


class Model(ChatOpenAI):
    """OpenAI's protocol as LangChain writes and reads it, over the door and no client of OpenAI's.

    That one looks at each word of a request and at each type of an answer, which takes longer than the way. What
    was said of each call of a tool is kept: LangChain closes what broke off, as if it had been meant so.
    """

    _door = PrivateAttr()

    def behind(self, door, settings):
        """The same with settings, behind a door."""
        found = self.model_copy(update=settings)
        found._door = door
        return found

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        asked = self._get_request_payload(
            messages, stop=stop, stream=True, stream_options={"include_usage": True}, **kwargs
        )
        for piece in self._door.answer(asked):
            chunk = self._convert_chunk_to_generation_chunk(piece, AIMessageChunk, None)
            if chunk is None:
                continue
            pieces = getattr(chunk.message, "tool_call_chunks", ())
            if pieces:
                # Texts of the same place are put together as pieces come.
                chunk.message.additional_kwargs[CALLS] = {
                    str(piece["index"]): {
                        "tool": piece["name"] or "",
                        "own": piece["id"] or "",
                        "said": piece["args"] or "",
                    }
                    for piece in pieces
                }
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


@functools.cache
def ready_model():
    """One for all: it is made while nobody waits."""
    # Clients of HTTP are demanded, and never used; one that is made unasked would read every authority of the web.
    plain = {"verify": False, "trust_env": False}
    return Model(
        model="citadel",  # which one it is the Agent says, and the door knows
        base_url="http://door",
        api_key="-",  # there is none here
        streaming=True,
        max_retries=0,
        output_version="v0",
        use_responses_api=False,
        http_client=httpx2.Client(**plain),
        http_async_client=httpx2.AsyncClient(**plain),
    )


def fitted(agent, door):
    """The model with an agent's settings, behind a door."""
    settings = {
        name: agent[field]
        for name, field in (("max_tokens", "maxTokens"), ("temperature", "temperature"))
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
