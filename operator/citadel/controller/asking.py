"""Calls of models that steps want: what they need of the cluster is gathered, sealed, and left for the model
gateway, which has no way to the cluster.

Observe (the journal, the cache), decide (`core/models.py`, `core/spending.py`, pure), act. A call that is
placed twice, after a crash, is placed once.
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from nacl.public import PublicKey, SealedBox

from citadel.api.reasons import Reason
from citadel.controller.checking import Unusable
from citadel.controller.credentials import Credential
from citadel.controller.models import Found, Models, PoliciesOf
from citadel.core.children import MAX_DEPTH, child_of
from citadel.core.models import Wanted, failed, wanted
from citadel.core.spending import Account, account_of, day_accounts
from citadel.core.state import State
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import NotFound
from citadel.kube.resources import EXECUTIONS, SECRETS, Object
from citadel.render.child import is_of, origin_of
from citadel.store.calls import Calls, PlacedCall
from citadel.store.journal import CorruptJournal, ExecutionUnknown, Journal

#: Seconds after which a Model is looked for again that a step asks and that is not there yet.
_AGAIN = 1.0


class Asking:
    """Places calls. `secret` names the Secret with the model gateways' key, as namespace and name."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        journal: Journal,
        calls: Calls,
        models: Models,
        policies: PoliciesOf,
        secret: tuple[str, str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._kube, self._cache, self._journal, self._calls = kube, cache, journal, calls
        self._models, self._policies, self._secret, self._now = models, policies, secret, now
        self._box: SealedBox[Any] | None = None
        self._placed: dict[str, set[tuple[str, int]]] = {}
        """What was placed of each execution that goes on."""

    def gone(self, uid: str) -> None:
        """An execution is over, or its object is gone."""
        self._placed.pop(uid, None)

    async def follow(self, obj: Object, state: State) -> tuple[State, float | None]:
        """Places what steps of an Execution want; its state then, and seconds after which to look again."""
        uid, again = obj["metadata"]["uid"], None
        if state.finished is not None:
            self.gone(uid)
            return state, None
        for call in list(wanted(state)):
            placed = self._placed.setdefault(uid, set())
            if (call.step, call.attempt) in placed:
                continue
            try:
                if state.stopping:
                    raise Unusable(Reason.CANCELLED, "not started", waits=False)
                await self._calls.place(await self._made(obj, state, call))
            except Unusable as problem:
                if problem.waits and self._now() - call.since < _grace(problem):
                    again = _AGAIN
                    continue
                told = f"step {call.step}: {problem.message}"
                fact = failed(call, problem.reason, told)
                state = (await self._journal.advance(uid, [fact])).state
            except ExecutionUnknown:
                return state, None
            placed.add((call.step, call.attempt))
        return state, again

    async def _made(self, obj: Object, state: State, call: Wanted) -> PlacedCall:
        """A call with all that it needs; raises Unusable."""
        namespace, uid = obj["metadata"]["namespace"], obj["metadata"]["uid"]
        asked = self._models.chain(namespace, call.llm.model)
        sealed, models = {}, []
        for model in asked:
            if (found := await self._models.credential(model)) is not None:
                sealed[model.key] = await self._seal(model, found.key)
            models.append(_placed(model, found))
        body: dict[str, Any] = {
            "models": models,
            "accounts": [asdict(account) for account in await self._accounts(obj, state)],
        }
        hosts = {model.spec.destination for model in asked} - {None}
        return PlacedCall(
            uid, call.step, call.attempt, namespace, body, tuple(sorted(map(str, hosts))), sealed or None
        )

    async def _accounts(self, obj: Object, state: State) -> list[Account]:
        """What pays: the execution, those it is within, and the namespace's day."""
        namespace = obj["metadata"]["namespace"]
        found = list(day_accounts(await self._policies(namespace), namespace))
        here, uid, name = state, obj["metadata"]["uid"], obj["metadata"]["name"]
        for _ in range(MAX_DEPTH):
            assert here.plan is not None
            workflow = here.created.workflow if here.created is not None else ""
            title = f"the budget of Workflow {workflow} for Execution {name}"
            found.append(account_of(here.plan.workflow.spec.budget, uid, title))
            above = await self._around(obj)
            if above is None:
                break
            obj, here = above
            uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
        return found

    async def _around(self, obj: Object) -> tuple[Object, State] | None:
        """The Execution that a step of which wanted this one; labels alone prove nothing."""
        origin, namespace = origin_of(obj), obj["metadata"]["namespace"]
        if origin is None:
            return None
        try:
            state = await self._journal.read(origin.uid)
        except (ExecutionUnknown, CorruptJournal):
            return None
        child = child_of(state, origin.step)
        if child is None or state.created is None or not is_of(obj, origin.uid, child):
            return None
        name = state.created.name
        try:
            found = self._cache.get(EXECUTIONS, namespace, name) or await self._kube.get(
                EXECUTIONS, name, namespace
            )
        except NotFound:
            return None
        return (found, state) if found["metadata"]["uid"] == origin.uid else None

    async def _seal(self, model: Found, key: str) -> str:
        """A credential as the model gateways alone can read it, with the one place where it may be sent."""
        if self._box is None:
            namespace, name = self._secret
            secret = await self._kube.get(SECRETS, name, namespace)
            public = base64.b64decode((secret.get("data") or {}).get("public", ""))
            self._box = SealedBox(PublicKey(base64.b64decode(public)))
        content = json.dumps({"key": key, "host": model.spec.destination}).encode()
        return base64.b64encode(self._box.encrypt(content)).decode()


def _grace(problem: Unusable) -> float:
    """Definitions arrive in any order; what nobody has granted is told at once."""
    return problem.grace if problem.reason is Reason.MODEL_NOT_FOUND else 0.0


def _placed(model: Found, credential: Credential | None) -> dict[str, Any]:
    """A Model as the model gateway gets it; by the versions of both it knows which answers are still its."""
    spec = model.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    version = "" if credential is None else credential.version
    return {"name": model.name, "key": model.key, "spec": spec, "uid": model.uid, "version": version}
