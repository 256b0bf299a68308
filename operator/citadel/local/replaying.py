"""An agent that runs again by what was recorded of it: no model is asked, and no tool is called.

What it does is compared with what it did: the first call that differs is named, and how it differs.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from citadel.api.cassette import ModelCall, RecordedAttempt, ToolCall
from citadel.api.problems import counted, shortened
from citadel.api.reasons import Reason
from citadel.core.dispatch import Dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.llm import chat
from citadel.llm.asking import PassOn
from citadel.local.artifacts import Parcels
from citadel.local.capture import Output
from citadel.local.door import Given, Refused
from citadel.local.judging import differing
from citadel.local.machine import Machine
from citadel.local.sandboxes import SandboxEnded

#: Differences that are told of one call.
_MOST = 3
#: Ends to which an agent comes by itself; to any other it was brought, and never got its next answer.
_OWN_ENDS = frozenset((Reason.ERROR, Reason.INVALID_OUTPUT, Reason.OUTPUT_TOO_LARGE, Reason.REPLAY_MISMATCH))
_HOW_TO_RECORD = "prompts were not recorded: an ExecutionPolicy with recordPrompts has them kept"


class Replay:
    """Answers one attempt from its recording."""

    def __init__(self, recorded: RecordedAttempt) -> None:
        self._recorded = recorded
        self._models, self._tools = list(recorded.models), list(recorded.tools)
        self._asked = self._called = 0
        self._cut_off = False
        self.mismatch: str | None = None
        """The first thing that it did otherwise."""

    async def ask(self, asked: chat.Asked, body: Json, pass_on: PassOn) -> Given:
        """The recorded answer to this question; raises Refused."""
        self._asked += 1
        found = next((call for call in self._models if call.digest == asked.digest), None)
        if found is None and not self._models and self._was_cut_off():
            self._cut_off = True
            raise Refused(Reason.MODEL_UNAVAILABLE, f"here the recording ends: {self._recorded.reason}")
        if found is None:
            raise self._differs(f"model call {self._asked}: {self._other_question(body)}")
        self._models.remove(found)
        return Given(found.answer, found.model, (found.input_tokens, found.output_tokens))

    async def call(self, name: str, arguments: Json, id_: str) -> dict[str, Json]:
        """What the recorded call came to; raises Refused."""
        self._called += 1
        same = (call for call in self._tools if (call.tool, call.arguments) == (name, arguments))
        found = next(same, None)
        if found is None:
            told = f"tool call {self._called}: {name} {shortened(arguments)}"
            raise self._differs(f"{told}: {self._other_call(name, arguments)}")
        self._tools.remove(found)
        if found.status == "Succeeded":
            return {"status": "Succeeded", "output": found.output}
        return {"status": "Failed", "reason": found.reason, "message": found.message}

    async def remember(self, summary: str, covers: int) -> None:
        """Nothing is remembered of a replay."""

    def ended(self, result: "Json | Failure") -> None:
        """Compares the end of the attempt, unless something differed before."""
        if self.mismatch is None:
            self.mismatch = next(self._unlike(result), None)

    def _was_cut_off(self) -> bool:
        return self._recorded.status == "Failed" and self._recorded.reason not in _OWN_ENDS

    def _differs(self, message: str) -> Refused:
        self.mismatch = self.mismatch or message
        return Refused(Reason.REPLAY_MISMATCH, message)

    def _other_question(self, body: Any) -> str:
        """How a question differs from the one that is next."""
        if not self._models:
            count = counted(len(self._recorded.models), "model call")
            return f"not in the recording, whose agent made {count} and then ended"
        expected = self._models[0]
        if expected.request is None:
            return f"asks something else than the recorded one, {expected.digest[:19]}; {_HOW_TO_RECORD}"
        found = differing(chat.question_of(body), chat.question_of(expected.request), ())
        return "asks something else than the recorded one: " + "; ".join(islice(found, _MOST))

    def _other_call(self, name: str, arguments: Json) -> str:
        """How a call differs from the recorded one of that tool, else from the one that is next."""
        same = next((call for call in self._tools if call.tool == name), None)
        if same is not None:
            return "; ".join(islice(differing(arguments, same.arguments, ("arguments",)), _MOST))
        if not self._tools:
            return f"not in the recording, which has {counted(len(self._recorded.tools), 'tool call')}"
        return f"expected {self._tools[0].tool} {shortened(self._tools[0].arguments)}"

    def _unlike(self, result: "Json | Failure") -> Iterator[str]:
        for model in self._models[:1]:
            yield f"model call {_number(self._recorded.models, model)} of the recording was not made"
        for tool in self._tools[:1]:
            told = f"{tool.tool} {shortened(tool.arguments)}"
            yield f"tool call {_number(self._recorded.tools, tool)} of the recording was not made: {told}"
        recorded = self._recorded
        if self._cut_off and isinstance(result, Failure):
            return
        if isinstance(result, Failure):
            if (recorded.status, recorded.reason) != ("Failed", result.reason):
                expected = recorded.reason if recorded.status == "Failed" else "success"
                yield f"it failed: {result.reason}: {result.message}; expected {expected}"
        elif recorded.status == "Failed":
            yield f"it succeeded, expected a failure: {recorded.reason}: {recorded.message}"
        else:
            yield from differing(result, recorded.output, ("output",))


def _number(calls: tuple[ModelCall, ...] | tuple[ToolCall, ...], call: ModelCall | ToolCall) -> int:
    return next(number for number, one in enumerate(calls, 1) if one is call)


async def replay(recorded: RecordedAttempt, machine: Machine, output: Output) -> str | None:
    """Runs an attempt again; the first thing that it does otherwise, None if it does the same."""
    answering = Replay(recorded)
    name = recorded.step.rpartition("/")[2]
    given = Dispatch(name, recorded.attempt, 0, None, {"agent": recorded.agent}, {}, {}, None)
    sandbox = machine.for_agents()
    with TemporaryDirectory(prefix="citadel-replay-") as folder:
        try:
            await sandbox.start()
            parcels = Parcels(Path(folder), given, {})
            answering.ended(await sandbox.run(given, given.arguments, parcels, output, answering))
        except SandboxEnded as error:
            answering.ended(Failure.cut(Reason.ERROR, str(error)))
        finally:
            sandbox.close()
    return answering.mismatch
