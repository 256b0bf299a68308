"""Calls and checks of tools as they are taken, made and answered. Neither arguments nor answers are logged.

What was sent by a process that said no more is sent again only where that does no harm; docs/agent-tools.md
says what holds.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from citadel.api.durations import seconds
from citadel.api.reasons import Reason
from citadel.calls.dialling import Proxied, Ticket
from citadel.calls.exchanges import ToolError
from citadel.calls.working import CallWorker, Worker
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import MAX_BYTES, Json, canonical
from citadel.core.outputs import OutputSchema, compile_output
from citadel.core.outside import NOT_STARTED
from citadel.core.schemas import InvalidSchema
from citadel.core.state import State
from citadel.core.toolcalls import CREDENTIAL, ToolTask, idempotency_key, read_body
from citadel.core.tools import WantedTool, failed, wanted_by
from citadel.core.values import Values
from citadel.store.calls import PlacedCall, ToolCalls
from citadel.store.journal import Journal
from citadel.store.tool_checks import CHECK, Check, ToolChecks
from citadel.tools.asking import Asker

OK = "ok"


@dataclass(frozen=True)
class Told:
    """One call or check, for whoever counts."""

    kind: str
    """http, mcp or check."""
    outcome: str
    seconds: float


Tell = Callable[[Told], None]


class NotOurs(Exception):
    """The call is somebody else's by now."""


class ToolWorker(CallWorker[WantedTool]):
    """Makes calls."""

    topic, prefix = "tool", "tool."

    def __init__(
        self, journal: Journal, calls: ToolCalls, asker: Asker, tell: Tell = lambda told: None
    ) -> None:
        super().__init__(journal, calls)
        self._tool_calls, self._asker, self._tell = calls, asker, tell
        self._ways: dict[tuple[Any, ...], Proxied] = {}
        """To the servers of the calls that are under way."""

    async def serve(self, row: PlacedCall, token: str) -> None:
        """The life of one call. Its server is dialled while it is looked up whether it is wanted still."""
        way = self._ways[row.key] = self._asker.way(Ticket(token, row.step, row.attempt))
        try:
            with suppress(ToolError):
                host, _, port = _task(row).destination.rpartition(":")
                way.dial(host, int(port))
            await super().serve(row, token)
        finally:
            del self._ways[row.key]
            await way.aclose()

    def find(self, state: State, step: str) -> WantedTool | None:
        """The call that a step waits for; None when it waits for none."""
        return wanted_by(state, step)

    def given_up(self, wanted: WantedTool) -> ev.ToolAnswered:
        """The fact that a call was not made."""
        return failed(wanted, Reason.CANCELLED, NOT_STARTED)

    async def answer(
        self, placed: PlacedCall, token: str, wanted: WantedTool
    ) -> tuple[ev.ToolAnswered, Values] | None:
        """The call, within its time and the step's."""
        began, kind, values = time.monotonic(), "http", Values()
        outcome: str = OK
        output, failure = None, None
        try:
            task = _task(placed)
            kind = task.spec.kind
            doing = asyncio.create_task(self._perform(placed, task, wanted))
            if await self.hold(placed, doing):
                output = values.put(doing.result())
            elif await self.renew(placed):
                outcome = Reason.CANCELLED
                failure = Failure.cut(Reason.CANCELLED, "cancelled with its execution")
            else:
                return None
        except NotOurs:
            return None
        except ToolError as error:
            outcome, failure = error.reason, _failure(error)
        self._tell(Told(kind, outcome, time.monotonic() - began))
        return ev.ToolAnswered(placed.step, placed.attempt, output, failure), values

    async def _perform(self, placed: PlacedCall, task: ToolTask, wanted: WantedTool) -> Json:
        if placed.sent and not task.idempotent:
            message = f"{task}: it was sent, but nobody knows what became of it: it may have happened"
            raise ToolError(Reason.TOOL_UNAVAILABLE, message)
        sent = False

        async def sending() -> None:
            nonlocal sent
            # One that does the same once or twice may be sent again: nobody has to know.
            if not task.idempotent and not await self._tool_calls.sending(self.holder, placed):
                raise NotOurs
            sent = True

        limit = seconds(task.spec.timeout)
        left = limit if wanted.until is None else min(limit, max(0.0, wanted.until - time.time()))
        key = idempotency_key(*placed.key)
        sealed = (placed.sealed or {}).get(CREDENTIAL)
        try:
            async with asyncio.timeout(left):
                output = await self._asker.call(task, sealed, self._ways[placed.key], key, sending)
        except TimeoutError:
            message = f"no answer in time (its timeout is {task.spec.timeout})"
            raise _of(task, ToolError(Reason.TOOL_UNAVAILABLE, message, sent=sent)) from None
        except ToolError as error:
            raise _of(task, error) from None
        _check_output(task, output, wanted.schema)
        return output


class CheckWorker(Worker[Check]):
    """Makes checks."""

    topic, prefix = "tool-check", "tool."

    def __init__(self, checks: ToolChecks, asker: Asker, tell: Tell = lambda told: None) -> None:
        super().__init__(checks)
        self._checks, self._asker, self._tell = checks, asker, tell

    async def serve(self, row: Check, token: str) -> None:
        """The life of one check."""
        doing = asyncio.create_task(self._made(row, token))
        if await self.hold(row, doing):
            await self._checks.answer(self.holder, row, doing.result())

    async def _made(self, row: Check, token: str) -> dict[str, Any]:
        began = time.monotonic()
        outcome: str = OK
        try:
            task = _task(row)
            async with asyncio.timeout(seconds(task.spec.timeout)):
                return dict(
                    await self._asker.check(task, (row.sealed or {}).get(CREDENTIAL), Ticket(token, *CHECK))
                )
        except TimeoutError:
            outcome, message = Reason.TOOL_UNAVAILABLE, f"no answer in {task.spec.timeout}"
        except ToolError as error:
            outcome, message = error.reason, error.message
        finally:
            self._tell(Told("check", outcome, time.monotonic() - began))
        return {"reason": str(outcome), "message": message[:1024]}


def _task(row: PlacedCall | Check) -> ToolTask:
    try:
        return read_body(row.body)
    except (ValueError, KeyError, TypeError) as error:
        # Pydantic's own text would repeat what stands there.
        message = f"the Tool cannot be understood: {type(error).__name__}"
        raise ToolError(Reason.TOOL_FAILED, message) from None


def _of(task: ToolTask, error: ToolError) -> ToolError:
    """The same error, as the step's failure has it."""
    message = f"{task}: {error.message}"
    if error.reason is Reason.TOOL_UNAVAILABLE and error.sent and not task.idempotent:
        message += "; it may have happened"
    return ToolError(error.reason, message, sent=error.sent)


def _failure(error: ToolError) -> Failure:
    return Failure.cut(error.reason, error.message)


def _check_output(task: ToolTask, output: Json, of_step: OutputSchema | None) -> None:
    size = len(canonical(output))
    if size > MAX_BYTES:
        message = f"{task}: found {size} bytes of JSON, expected at most {MAX_BYTES}"
        raise ToolError(Reason.OUTPUT_TOO_LARGE, message, sent=True)
    told = of_step.problem(output) if of_step is not None else None
    try:
        if told is None and task.spec.output_schema is not None:
            told = compile_output(task.spec.output_schema).problem(output)
    except InvalidSchema as error:
        told = f"outputSchema: {error}"
    if told is not None:
        raise ToolError(Reason.INVALID_OUTPUT, f"{task}: {told}", sent=True)
