"""The model behind the door, as LangChain sees it, and how a call of it is tried again or fails."""

import functools
import time

import httpx2
import openai
from langchain_openai import ChatOpenAI

from citadel_agent.door import address
from citadel_agent.failing import Failure, ended, passes, pauses

#: Where an answer has its calls of tools as the model said them.
CALLS = "citadel_calls"


class Model(ChatOpenAI):
    """One that keeps what was said of each call: LangChain closes what broke off, as if it had been meant so."""

    def _get_request_payload(self, *args, **kwargs):
        payload = super()._get_request_payload(*args, **kwargs)
        # What goes beside the parameters is sent as it is; of those the client looks at every word, for names
        # that other interfaces of its spell differently.
        plain = {name: payload.pop(name) for name in ("messages", "tools") if name in payload}
        return {**payload, "messages": [], "extra_body": plain}

    def _stream(self, *args, **kwargs):
        for chunk in super()._stream(*args, **kwargs):
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
            yield chunk


@functools.cache
def ready_model():
    """One for all: it is made while nobody waits. It opens no connection yet."""
    return model_at(httpx2.HTTPTransport(verify=False))


def model_at(transport, url=None):
    """A model behind a transport, on loopback without TLS."""
    # Of an asynchronous client nothing is used; but one that is made unasked would read every authority of the web.
    plain = {"timeout": None, "trust_env": False}
    return Model(
        model="citadel",  # which one it is the Agent says, and the door knows
        base_url=url or address(),
        api_key="-",  # there is none here
        streaming=True,
        stream_usage=True,
        max_retries=0,
        output_version="v0",
        use_responses_api=False,
        http_client=httpx2.Client(transport=transport, **plain),
        http_async_client=httpx2.AsyncClient(verify=False, **plain),
    )


def fitted(model, agent):
    """The model with an agent's settings."""
    settings = {
        name: agent[field]
        for name, field in (("max_tokens", "maxTokens"), ("temperature", "temperature"))
        if agent.get(field) is not None
    }
    return model.model_copy(update=settings)


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
            except openai.APIStatusError as error:
                if not passes(error.status_code, error.body):
                    raise ended(error.status_code, error.body) from None
            except openai.APIConnectionError:
                pass  # the runner's door, or the way behind it
            except httpx2.TransportError:
                pass  # an answer that broke off
            except openai.APIError as error:  # said amid an answer
                if not passes(0, error.body):
                    raise ended(0, error.body) from None
            self._sleep(pause)
        raise AssertionError("unreachable: there is always another try")
