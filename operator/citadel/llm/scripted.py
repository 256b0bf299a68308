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
from citadel.llm.provider import (
    Answer,
    CallDelta,
    Delta,
    FinishReason,
    ProviderError,
    Request,
    ToolCall,
    of_status,
)

_BYTES_PER_TOKEN = 4
_WORD = re.compile(r"\S+\s*|\s+")


class InvalidScript(ValueError):
    """A condition of a script that is no regular expression; the message says which."""


class Script:
    """`Provider` of a script. Raises InvalidScript when it is made of one that cannot be understood."""

    def __init__(self, spec: ModelSpec) -> None:
        self._entries = [_Entry(index, answer) for index, answer in enumerate(spec.script)]

    def prepare(self, request: Request, *, stream: bool) -> None:
        """Nothing."""

    async def ask(self, request: Request) -> Answer:
        """The first answer whose conditions all hold."""
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
        system = "\n\n".join(message.text for message in request.messages if message.role == "system")
        turn = _turn(request)
        for entry in self._entries:
            if entry.fits(last, system, turn):
                return entry.answer
        told = f"no answer of the script fits the message (turn {turn})"
        raise ProviderError(Reason.MODEL_ERROR, told, sent=False)


class _Entry:
    """One answer with its conditions, ready to be asked."""

    def __init__(self, index: int, answer: ScriptedAnswer) -> None:
        self.answer = answer
        self._when = _matcher(f"script[{index}].when", answer.when)
        self._system = _matcher(f"script[{index}].system", answer.system)

    def fits(self, last: str, system: str, turn: int) -> bool:
        """Whether all that it says holds."""
        return (
            self.answer.turn in (None, turn)
            and (self._when is None or self._when.is_valid(last))
            and (self._system is None or self._system.is_valid(system))
        )


def _turn(request: Request) -> int:
    return sum(message.role == "assistant" for message in request.messages)


def _deltas(answer: Answer) -> Iterator[Delta]:
    for word in _WORD.findall(answer.text):
        yield Delta(word)
    for index, call in enumerate(answer.tool_calls):
        yield Delta(call=CallDelta(index, call.id, call.name, call.text))


def _given(answer: ScriptedAnswer, request: Request) -> Answer:
    text = answer.text or ""
    if answer.json_value is not None:
        text = canonical(answer.json_value).decode()
    turn = _turn(request)
    calls = tuple(
        # What follows from its place is the same each time, and no other call's of the conversation.
        ToolCall(call.id or f"call_{turn}_{number}", call.name, call.arguments)
        for number, call in enumerate(answer.tool_calls)
    )
    end: FinishReason = "tool_calls" if calls else "stop"
    if answer.usage is not None:
        usage = answer.usage
        return Answer(text, usage.input_tokens, usage.output_tokens, tool_calls=calls, finish_reason=end)
    sent = sum(_bytes(message.text, message.tool_calls) for message in request.messages)
    # As of a provider, no answer is longer than what was reserved for it.
    counted = min(request.max_tokens, -(-_bytes(text, calls) // _BYTES_PER_TOKEN))
    return Answer(text, -(-sent // _BYTES_PER_TOKEN), counted, tool_calls=calls, finish_reason=end)


def _bytes(text: str, calls: tuple[ToolCall, ...]) -> int:
    return len(text.encode()) + sum(len((call.name + call.text).encode()) for call in calls)


def _matcher(field: str, pattern: str | None) -> jsonschema_rs.Validator | None:
    """Linear-time matching: a pattern of somebody else's must not stall this process."""
    if pattern is None:
        return None
    try:
        return compile_validator({"type": "string", "pattern": pattern}, ())
    except InvalidSchema as error:
        raise InvalidScript(f"{field}: {error.message}") from None
