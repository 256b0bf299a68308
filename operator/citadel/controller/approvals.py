"""Approvals: the objects that ask people, kept as the journal wants them; their decisions made facts of it.

Observe (row, object), decide (below, pure), act. The journal is the truth: an object that is gone while its
step waits is made again, and one that the controller did not make is not believed.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from citadel.api.approval import ApprovalDecision, ApprovalPhase
from citadel.api.reasons import Reason
from citadel.controller.objects import read_conditions, status_of
from citadel.core import events as ev
from citadel.core.inputs import InvalidInputs, InvalidSchema, compile_inputs
from citadel.core.jsonvalues import InvalidValue, Json, check
from citadel.core.state import State
from citadel.core.values import Stored, Values, decode_value
from citadel.kube.cache import Cache, key_of
from citadel.kube.client import KubeClient
from citadel.kube.errors import AlreadyExists, Conflict, Forbidden, NotFound
from citadel.kube.events import EventPoster, ObjectRef
from citadel.kube.resources import APPROVALS, EXECUTIONS, Object
from citadel.render.approval import Question, approval, approval_status, question_digest
from citadel.render.status import timestamp
from citadel.store.approvals import ApprovalRow
from citadel.store.approvals import Approvals as Rows
from citadel.store.journal import ExecutionUnknown, Journal, json_of

log = logging.getLogger(__name__)

#: Seconds after which an Approval that could not be made is tried again: its namespace may be going.
REFUSED_PAUSE = 30.0


class Unfit(ValueError):
    """A decision that cannot count: it is asked for again."""


class Approvals:
    """Reconciles Approvals."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        journal: Journal,
        rows: Rows,
        events: EventPoster,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._kube, self._cache, self._journal = kube, cache, journal
        self._rows, self._events, self._now = rows, events, now

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One Approval; returns seconds after which to look again."""
        row = await self._rows.get(namespace, name)
        if row is None:
            return None
        obj = self._cache.get(APPROVALS, namespace, name)
        if not row.pending:
            if obj is not None and obj["metadata"]["uid"] == row.object:
                await self._write(obj, ApprovalPhase(row.phase), told(row), row.ended_at or self._now())
            return None
        if obj is None or obj["metadata"]["uid"] != row.object:
            return await self._ask(row)
        if (obj.get("spec") or {}).get("decision") is None:
            if not status_of(obj).get("phase"):
                await self._write(obj, ApprovalPhase.PENDING, "", row.opened_at)
            return None
        return await self._take(row, obj)

    async def unsettled(self) -> set[tuple[str, str]]:
        """Namespaces and names of those that wait, and of those whose object does not tell their end."""
        found = {(row.namespace, row.name) for row in await self._rows.pending()}
        open_ones = (
            obj
            for obj in self._cache.objects(APPROVALS)
            if status_of(obj).get("phase") in (None, ApprovalPhase.PENDING.value)
        )
        return found | {(key.namespace, key.name) for key in map(key_of, open_ones)}

    async def _ask(self, row: ApprovalRow, refused: str = "") -> float | None:
        """Makes the object, in place of one that the controller did not make; `refused` is told by it."""
        try:
            state = await self._journal.read(row.uid)
        except ExecutionUnknown:
            return None
        body = approval(await self._question(state, row))
        try:
            made = await self._kube.create(APPROVALS, body)
        except AlreadyExists:
            existing = await self._existing(row)
            if existing is None:
                return 0.0
            made = existing
        except (Forbidden, NotFound) as error:
            # The namespace is being deleted, and the execution with it.
            log.warning("Approval %s/%s cannot be made: %s", row.namespace, row.name, error)
            return REFUSED_PAUSE
        if made["metadata"]["uid"] != row.object:
            await self._rows.made(row, made["metadata"]["uid"])
            self._tell(state, Reason.WAITING_FOR_APPROVAL, f"step {row.step} waits for Approval {row.name}")
        self._cache.put(APPROVALS, made)
        if not status_of(made).get("phase"):
            await self._write(made, ApprovalPhase.PENDING, refused, self._now())
        return None

    async def _existing(self, row: ApprovalRow) -> Object | None:
        """The object of this name, if it is the one that was made; another one is removed."""
        try:
            found = await self._kube.get(APPROVALS, row.name, row.namespace)
        except NotFound:
            return None
        if found["metadata"]["uid"] == row.object:
            return found
        await self._remove(found)
        return None

    async def _remove(self, obj: Object) -> None:
        metadata = obj["metadata"]
        with suppress(NotFound, Conflict):
            await self._kube.delete(APPROVALS, metadata["name"], metadata["namespace"], uid=metadata["uid"])

    async def _question(self, state: State, row: ApprovalRow) -> Question:
        assert state.created is not None
        assert state.plan is not None
        asks = state.plan.step(row.step).spec.approval
        payload = state.steps[row.step].payload
        assert asks is not None
        assert payload is not None
        content: Any = await json_of(self._journal, row.uid, payload)
        arguments = {name: decode_value(item) for name, item in content["arguments"].items()}
        digests = [item.digest for item in arguments.values() if isinstance(item, Stored)]
        values = Values(dict(await self._journal.values(row.uid, digests)) if digests else {})
        shown = {name: values.get(item) for name, item in arguments.items()}
        created = state.created
        return Question(created.name, row.uid, created.namespace, row.step, asks, shown, row.deadline)

    async def _take(self, row: ApprovalRow, obj: Object) -> float | None:
        """A decision becomes a fact; one that cannot is asked for again, by an object of its own."""
        state = await self._journal.read(row.uid)
        question = await self._question(state, row)
        values = Values()
        try:
            fact = decision_fact(obj["spec"]["decision"], question, values, self._now())
        except Unfit as problem:
            message = f"step {row.step}: the decision cannot be taken, decide again: {problem}"[:1024]
            self._tell(state, Reason.INVALID_FORM, message)
            await self._remove(obj)
            await self._rows.made(row, None)
            return await self._ask(row, message)
        advance = await self._journal.advance(row.uid, [fact], outputs=values.made)
        # What came of it stands in the row now, also where another end was first.
        return 0.0 if advance.events else REFUSED_PAUSE

    async def _write(self, obj: Object, phase: ApprovalPhase, message: str, at: float) -> None:
        """Writes the status where it differs."""
        metadata = obj["metadata"]
        status = approval_status(phase, message, at, read_conditions(obj), metadata.get("generation", 0))
        if status_of(obj) == status:
            return
        with suppress(NotFound, Conflict):
            written = await self._kube.patch_status(
                APPROVALS, metadata["name"], status, metadata["namespace"], uid=metadata["uid"]
            )
            self._cache.put(APPROVALS, written)

    def _tell(self, state: State, reason: str, message: str) -> None:
        """An event about the execution that asks."""
        assert state.created is not None
        created = state.created
        about = ObjectRef(EXECUTIONS.api_version, "Execution", created.name, created.uid, created.namespace)
        post = self._events.normal if reason == Reason.WAITING_FOR_APPROVAL else self._events.warning
        post(about, reason, message)


def decision_fact(
    given: Mapping[str, Any], question: Question, values: Values, now: float
) -> ev.ApprovalDecided:
    """What a decision says, checked as far as the API server could not; raises Unfit."""
    try:
        decision = ApprovalDecision.model_validate(given)
    except ValueError as error:
        raise Unfit(f"it is not of the form that is expected: {error}") from None
    if decision.digest != question_digest(question):
        raise Unfit(f"digest: found {decision.digest}, expected {question_digest(question)}")
    form: Json = decision.form
    if decision.approve and question.asks.form is not None:
        form = filled(question.asks.form, decision.form or {})
    try:
        check(form)
    except InvalidValue as error:
        raise Unfit(f"form: {error}") from None
    return ev.ApprovalDecided(
        step=question.step,
        approved=decision.approve,
        by=decision.by,
        reason=decision.reason,
        form=values.put(form),
        at=now,
    )


def filled(schema: Mapping[str, Json], given: Mapping[str, Json]) -> dict[str, Json]:
    """A form with its defaults; raises Unfit with one sentence for each field that does not fit."""
    try:
        return compile_inputs(schema).apply(given, "form")
    except InvalidInputs as error:
        raise Unfit("; ".join(error.messages)) from None
    except InvalidSchema as error:
        raise Unfit(f"its form is no schema that can be used: {error}") from None


def told(row: ApprovalRow) -> str:
    """How an approval ended, for people."""
    match ApprovalPhase(row.phase):
        case ApprovalPhase.APPROVED | ApprovalPhase.REJECTED:
            told = f"{row.phase.lower()} by {row.decided_by}"
            return f"{told}: {row.reason}" if row.reason else told
        case ApprovalPhase.EXPIRED:
            deadline = "" if row.deadline is None else f" until {timestamp(row.deadline)}"
            return f"nobody decided{deadline}"
    return "the execution went on without it"
