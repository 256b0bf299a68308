"""A model that says what its script says: deterministic and offline. Who shows an answer says so."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import jsonschema_rs

from citadel.api.durations import seconds
from citadel.api.model import ModelSpec, ScriptedAnswer
from citadel.api.reasons import Reason
from citadel.core.inputs import compile_validator
from citadel.core.jsonvalues import canonical
from citadel.core.schemas import InvalidSchema
from citadel.llm.provider import Answer, CallDelta, Delta, ProviderError, Request, of_status

_BYTES_PER_TOKEN = 4
_WORD = re.compile(r"\S+\s*|\s+")


class InvalidScript(ValueError):
    """A condition of a script that is no regular expression; the message says which."""


class Script:
    """`Provider` of a script. Raises InvalidScript when it is made of one that cannot be understood."""

    def __init__(self, spec: ModelSpec) -> None:
        self._answers = [(answer, _matcher(index, answer.when)) for index, answer in enumerate(spec.script)]

    async def ask(self, request: Request) -> Answer:
        """The first answer whose condition the last message fits."""
        answer = self._found(request)
        if answer.delay is not None:
            await asyncio.sleep(seconds(answer.delay))
        if answer.error is not None:
            raise of_status(answer.error.status, answer.error.message)
        return _given(answer, request)

    async def stream(self, request: Request) -> AsyncIterator[Delta | Answer]:
        """The same word by word, the answer's delay spread between them."""
        answer = self._found(request)
        if answer.error is not None:
            await self.ask(request)
        given = _given(answer, request)
        deltas = list(_deltas(given))
        pause = 0.0 if answer.delay is None else seconds(answer.delay) / max(1, len(deltas))
        for delta in deltas:
            await asyncio.sleep(pause)
            yield delta
        yield given

    def _found(self, request: Request) -> ScriptedAnswer:
        last = request.messages[-1].text
        for answer, matcher in self._answers:
            if matcher is None or matcher.is_valid(last):
                return answer
        raise ProviderError(Reason.MODEL_ERROR, "no answer of the script fits the message", sent=False)


def _deltas(answer: Answer) -> Iterator[Delta]:
    for word in _WORD.findall(answer.text):
        yield Delta(word)
    for index, call in enumerate(answer.tool_calls):
        yield Delta(call=CallDelta(index, call.id, call.name, call.text))


def _given(answer: ScriptedAnswer, request: Request) -> Answer:
    text = answer.text if answer.text is not None else canonical(answer.json_value).decode()
    if answer.usage is not None:
        return Answer(text, answer.usage.input_tokens, answer.usage.output_tokens)
    sent = sum(len(message.text.encode()) for message in request.messages)
    # As of a provider, no answer is longer than what was reserved for it.
    counted = min(request.max_tokens, -(-len(text.encode()) // _BYTES_PER_TOKEN))
    return Answer(text, -(-sent // _BYTES_PER_TOKEN), counted)


def _matcher(index: int, pattern: str | None) -> jsonschema_rs.Validator | None:
    """Linear-time matching: a pattern of somebody else's must not stall this process."""
    if pattern is None:
        return None
    try:
        return compile_validator({"type": "string", "pattern": pattern}, ())
    except InvalidSchema as error:
        raise InvalidScript(f"script[{index}].when: {error.message}") from None
