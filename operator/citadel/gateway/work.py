"""Attempts on their way to sandboxes, and what becomes of them on their way back."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.builds import SUFFIX
from citadel.core.decide import wake_at
from citadel.core.failures import Failure
from citadel.core.instances import definition
from citadel.core.state import State
from citadel.gateway import reports
from citadel.gateway.assignments import assignment
from citadel.gateway.memory import Memory
from citadel.gateway.parcels import Parcels
from citadel.gateway.policies import LivePolicies
from citadel.gateway.refusals import Refused
from citadel.gateway.registry import Registry, unknown
from citadel.gateway.sessions import Session
from citadel.store.journal import Advance, ExecutionUnknown, Journal
from citadel.store.ledger import Ledger, taken
from citadel.store.sandboxes import Sandboxes
from citadel.store.waking import Waker

POLL_SECONDS = 20.0
#: Longest wait for a notice; behind a lost one stands another look.
LOOK_SECONDS = 1.0


class Work:
    """Hands out attempts, and records their results."""

    def __init__(
        self,
        journal: Journal,
        sandboxes: Sandboxes,
        registry: Registry,
        policies: LivePolicies,
        parcels: Parcels,
        waker: Waker,
        ended: Callable[[str], None],
        told: Callable[[float], None],
        memory: Memory,
        ledger: Ledger | None = None,
    ) -> None:
        self._memory, self._ledger = memory, ledger
        self._journal, self._sandboxes, self._registry = journal, sandboxes, registry
        self._policies, self._parcels, self._waker = policies, parcels, waker
        self._ended, self._told = ended, told

    async def first(self, session: Session) -> dict[str, Any] | None:
        """What a sandbox has to do that registers just now."""
        if session.uid is None:
            return None
        claim = await self._may_work(session)
        advance = await self._advance(session, [ev.SandboxRegistered(session.sandbox)], claim=claim)
        return await self._assignment(session, advance)

    async def poll(self, session: Session) -> dict[str, Any]:
        """The next assignment, waiting for one as long as a poll may be held."""
        deadline = time.monotonic() + POLL_SECONDS
        while True:
            topics = (f"execution {session.uid}", f"sealed {session.sandbox}", f"sandbox {session.sandbox}")
            expected = self._waker.expect(*topics)
            try:
                if session.uid is None:
                    left = deadline - time.monotonic()
                    if not await self._registry.claimed(session):
                        if left <= 0:
                            return {"assignment": None}
                        await expected.met(min(LOOK_SECONDS, left))
                    continue
                advance = await self._advance(session, (), claim=await self._may_work(session))
                _still_wanted(advance.state, session.sandbox)
                told = await self._assignment(session, advance)
                left = deadline - time.monotonic()
                if told is not None or left <= 0:
                    return {"assignment": told}
                expected.known = advance.state.seq
                await expected.met(min(LOOK_SECONDS, left, _until_due(advance.state)))
            finally:
                expected.close()

    async def result(
        self,
        session: Session,
        step: str,
        attempt: int,
        outcome: str,
        body: bytes,
        *,
        claim: bool,
        artifacts: bool = False,
    ) -> dict[str, Any]:
        """Records the result of an attempt, which may have left `artifacts`, and gives the next one."""
        try:
            fact, values = reports.result(step, attempt, session.sandbox, outcome, body)
        except reports.BadReport as error:
            raise Refused(400, "BadRequest", str(error)) from None
        # Only then it costs another look: a warm step is one commit.
        if isinstance(fact, ev.AttemptFailed) and fact.failure.reason in reports.AGENT_REASONS:
            _check_reason(await self._registry.read(session), step, fact.failure.reason)
        if isinstance(fact, ev.AttemptSucceeded) and (artifacts or step.endswith(SUFFIX)):
            fact = await self._parcels.complete(await self._registry.read(session), fact)
        if self._ledger is not None and await self._runs_agent(session, step):
            uid = await self._registry.execution_of(session)
            fact = replace(fact, usage=await taken(self._ledger, uid, step, attempt))
        claim = claim and await self._may_work(session)
        advance = await self._advance(session, [fact], claim=claim, outputs=values)
        recorded = advance.accepted[0]
        if recorded:
            self._ended("Succeeded" if isinstance(fact, ev.AttemptSucceeded) else fact.failure.reason)
        else:
            _refuse_outdated(advance.state, session.sandbox, step, attempt)
        return {"recorded": recorded, "assignment": await self._assignment(session, advance)}

    async def _runs_agent(self, session: Session, step: str) -> bool:
        """Whether its attempts are of an agent, which has a sandbox to itself."""
        if session.agent is None:
            plan = (await self._registry.read(session)).plan
            found = None if plan is None else plan.steps.get(definition(step))
            session.agent = found is not None and found.agent is not None
        return session.agent

    async def _may_work(self, session: Session) -> bool:
        """Whether the sandbox may have an attempt: where isolation is required, only once it is proven."""
        if session.isolated:
            return True
        if session.namespace is None:
            state = await self._registry.read(session)
            assert state.created is not None
            session.namespace = state.created.namespace
            session.guarded = state.plan is not None and state.plan.workflow.spec.isolation.required
        if not (session.guarded or await self._policies.isolation_required(session.namespace)):
            return True
        row = await self._sandboxes.get(session.sandbox)
        session.isolated = None if row is None else row.isolated
        return session.isolated is True

    async def _assignment(self, session: Session, advance: Advance) -> dict[str, Any] | None:
        """The JSON of what the sandbox has now; None while its sealed arguments are awaited."""
        name = advance.step
        if name is None:
            return None
        step = advance.state.steps[name]
        assert advance.state.plan is not None
        denial = await self._policies.denial(advance.state, name)
        if denial is not None:
            failure = Failure.cut(Reason.POLICY_DENIED, denial)
            fact = ev.AttemptFailed(name, step.attempt, session.sandbox, failure)
            return await self._assignment(session, await self._advance(session, [fact], claim=True))
        if not await self._may_work(session):
            return None  # it came with the sandbox's claim; the controller ends what is never proven
        if not advance.state.plan.step(name).has_references:
            told = assignment(advance, None)
            session.agent = "agent" in told
            return await self._memory.reminded(advance, told)
        delivery = await self._sandboxes.delivery(session.sandbox)
        if (
            delivery is None
            or delivery.sealed is None
            or (delivery.step, delivery.attempt) != (name, step.attempt)
        ):
            return None
        if step.delivered_at is None:
            delivered = ev.Delivered(name, step.attempt, step.placing)
            advance = await self._advance(session, [delivered], claim=True)
            if advance.step != name:
                return None
        return await self._memory.reminded(advance, assignment(advance, delivery.sealed))

    async def _advance(
        self,
        session: Session,
        facts: Any,
        *,
        claim: bool,
        outputs: Mapping[str, bytes] | None = None,
    ) -> Advance:
        uid = await self._registry.execution_of(session)
        try:
            advance = await self._journal.advance(
                uid, facts, claim=session.sandbox if claim else None, outputs=outputs
            )
        except ExecutionUnknown:
            raise unknown() from None
        self._count_claim(advance, session.sandbox)
        return advance

    def _count_claim(self, advance: Advance, sandbox: str) -> None:
        """How long it took from a claim until its sandbox was told, on the database's clock."""
        mine = advance.state.sandboxes.get(sandbox)
        if mine is None or not mine.claimed or len(mine.given) > 1:
            return
        for event in advance.events:
            if isinstance(event, ev.Delivered):
                at = advance.state.steps[event.step].delivered_at
                self._told((at or mine.wanted_at) - mine.wanted_at)


def _check_reason(state: State, step: str, reason: str) -> None:
    """Raises Refused for the reason of an agent that a step claims which is none."""
    if state.plan is None or step not in state.steps or state.plan.step(step).agent is None:
        raise Refused(400, "BadRequest", f"reason: found {reason}, which only agents give")


def _until_due(state: State) -> float:
    """Seconds until time alone may bring work, as when a backoff is over: nobody announces that."""
    now = time.time()
    at = wake_at(state, now)
    return LOOK_SECONDS if at is None else at - now + 0.005


def _still_wanted(state: State, sandbox: str) -> None:
    found = state.sandboxes.get(sandbox)
    if state.finished is not None or found is None or not found.usable:
        raise Refused(410, "NotWanted", f"sandbox {sandbox} has no more work")


def _refuse_outdated(state: State, sandbox: str, step: str, attempt: int) -> None:
    """A repeated result is fine; one of an attempt that is not this sandbox's any more is refused."""
    found, mine = state.steps.get(step), state.sandboxes.get(sandbox)
    given = mine is not None and f"{step}/{attempt}" in mine.given
    if given and found is not None and found.attempt == attempt and found.sandbox == sandbox:
        return
    _still_wanted(state, sandbox)
    raise Refused(409, "Superseded", f"step {step} attempt {attempt} is not under way in this sandbox")
