"""What the gateway answers the egress proxy, and nobody else: is this allowed, and take note of it.

It answers for what the sandbox runs now: the token of one whose step has ended opens nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from secrets import compare_digest
from typing import Any

from citadel.core.egress import EgressRules, Verdict, judge, named, to_index
from citadel.core.hashing import hashed
from citadel.core.sessions import current
from citadel.core.state import State
from citadel.gateway.refusals import Refused
from citadel.gateway.registry import Registry
from citadel.gateway.reports import clean
from citadel.gateway.sessions import egress_token, sandbox_of
from citadel.store.calls import Passage, Passages
from citadel.store.connections import ConnectionLog, ConnectionRow
from citadel.store.journal import ExecutionUnknown, Journal
from citadel.store.sql.database import Database

log = logging.getLogger(__name__)

#: What the ExecutionPolicies of a namespace say of egress.
Policies = Callable[[str], Awaitable[Sequence[EgressRules]]]
_LONGEST = 1000
_MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class Caller:
    """A process of ours that asks others for steps."""

    prefix: str
    """What its tokens begin with."""
    name: str
    """What its connections are told as."""
    what: str
    """Of what it makes calls."""
    calls: tuple[Passages, ...]
    """Where those are that it makes now."""


def callers(database: Database) -> tuple[Caller, ...]:
    """All of them."""
    return (
        Caller("model.", "model-gateway", "a model", (database.model_calls, database.model_grants)),
        Caller("tool.", "tools", "a tool", (database.tool_calls, database.tool_checks)),
    )


class EgressDesk:
    """Verdicts and reports."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        connections: ConnectionLog,
        policies: Policies,
        callers: Sequence[Caller],
    ) -> None:
        self._registry, self._journal, self._callers = registry, journal, callers
        self._connections, self._policies = connections, policies

    async def verdict(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the sandbox of a token may open this connection now."""
        token, host, step = (_text(body, name) for name in ("token", "host", "step"))
        port, attempt = (_number(body, name) for name in ("port", "attempt"))
        for caller in self._callers:
            if token.startswith(caller.prefix):
                return await self._of_call(caller, token, step, attempt, host, port)
        name = sandbox_of(token)
        session = await self._registry.known(name)
        if session is None or not compare_digest(egress_token(name, session.secret_hash), token):
            return _told(Verdict(False, "the token is of no sandbox"), "", "")
        try:
            uid = await self._registry.execution_of(session)
            state = await self._journal.read(uid)
        except Refused as refused:
            return _told(Verdict(False, refused.message), "", "")
        except ExecutionUnknown:
            return _told(Verdict(False, "the execution is not known any more"), "", "")
        verdict = await self._of(state, name, step, attempt, host, port)
        return _told(verdict, uid, name)

    async def _of(self, state: State, sandbox: str, step: str, attempt: int, host: str, port: int) -> Verdict:
        running = current(state, sandbox)
        if state.finished is not None or running != step or state.steps[step].attempt != attempt:
            return Verdict(False, f"step {step} attempt {attempt} is not under way in this sandbox")
        assert state.plan is not None
        assert state.created is not None
        place = state.plan.placement(step)
        if place.index == f"{host}:{port}":
            return to_index()
        if not named(place.egress, host, port):
            return Verdict(False, f"{host}:{port} is not in network.egress of step {step}")
        namespace = state.created.namespace
        return judge(await self._policies(namespace), namespace, host, port)

    async def _of_call(
        self, caller: Caller, token: str, step: str, attempt: int, host: str, port: int
    ) -> dict[str, Any]:
        """Whether a process of ours may ask there, for the call that a token stands for while it is made."""
        token_hash = hashed(token)
        passage: Passage | None = None
        for calls in caller.calls:
            passage = passage or await calls.passage(token_hash)
        if passage is None or (passage.step, passage.attempt) != (step, attempt):
            return _told(Verdict(False, f"the token is of no call of {caller.what}"), "", "")
        if f"{host}:{port}" not in passage.hosts:
            verdict = Verdict(False, f"{host}:{port} is not where {caller.what} is that step {step} calls")
        else:
            verdict = judge(await self._policies(passage.namespace), passage.namespace, host, port)
        return _told(verdict, passage.uid, caller.name)

    async def connections(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Takes note of connections, which the proxy tells."""
        items = body.get("connections")
        if not isinstance(items, list) or len(items) > _MOST_AT_ONCE:
            raise Refused(400, "BadRequest", f"connections: expected a list of at most {_MOST_AT_ONCE}")
        await self._connections.record([_row(item) for item in items])
        return {}


def _told(verdict: Verdict, uid: str, sandbox: str) -> dict[str, Any]:
    return {
        "allowed": verdict.allowed,
        "reason": verdict.reason,
        "privateAllowed": list(verdict.private),
        "uid": uid,
        "sandbox": sandbox,
    }


def _row(item: Any) -> ConnectionRow:
    """A connection as told; raises Refused."""
    if not isinstance(item, dict):
        raise Refused(400, "BadRequest", "connections: expected objects")
    seconds = item.get("seconds")
    if not (seconds is None or isinstance(seconds, int | float)) or not isinstance(
        item.get("at"), int | float
    ):
        raise Refused(400, "BadRequest", "at, seconds: expected numbers")
    read: dict[str, Any] = {"at": float(item["at"]), "seconds": None if seconds is None else float(seconds)}
    for field in fields(ConnectionRow):
        if field.name not in read:
            read[field.name] = (_number if field.type is int else _text)(item, field.name)
    return ConnectionRow(**read)


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name)
    if not isinstance(found, str):
        raise Refused(400, "BadRequest", f"{name}: expected text")
    return clean(found)[:_LONGEST]


def _number(body: Mapping[str, Any], name: str) -> int:
    found = body.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**62:
        raise Refused(400, "BadRequest", f"{name}: expected a whole number")
    return found
