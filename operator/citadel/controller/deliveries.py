"""Values by reference: read in the execution's own namespace, sealed to one sandbox, never kept.

What is read here must not be logged, put into an error, or written anywhere but sealed.
"""

import base64
import json
from typing import Any

from nacl.public import PublicKey, SealedBox

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.state import State
from citadel.core.values import ByReference
from citadel.kube.client import KubeClient
from citadel.kube.errors import Forbidden, NotFound
from citadel.kube.resources import CONFIGMAPS, SECRETS
from citadel.store.journal import ExecutionUnknown, Journal
from citadel.store.sandboxes import Delivery, Sandboxes


class _Refused(Exception):
    """A reference cannot be resolved; carries the failure of the attempt."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.failure = ev.Failure.cut(reason, message)


class Deliveries:
    """Seals what assigned attempts refer to. `account` is our ServiceAccount, as `namespace:name`."""

    def __init__(self, kube: KubeClient, journal: Journal, sandboxes: Sandboxes, account: str) -> None:
        self._kube, self._journal, self._sandboxes = kube, journal, sandboxes
        self._account = account

    async def reconcile(self, sandbox: str) -> None:
        """The delivery that waits for this sandbox, if any."""
        delivery = await self._sandboxes.delivery(sandbox)
        row = await self._sandboxes.get(sandbox)
        if delivery is None or delivery.sealed is not None or row is None or not row.public_key:
            return
        try:
            state = await self._journal.read(delivery.uid)
        except ExecutionUnknown:
            return
        try:
            key = PublicKey(base64.b64decode(row.public_key, validate=True))
            sealed = await self._seal(state, delivery, row.namespace, SealedBox(key))
        except _Refused as refused:
            fact = ev.AttemptFailed(delivery.step, delivery.attempt, sandbox, refused.failure)
            await self._journal.advance(delivery.uid, [fact])
            return
        except ValueError:
            failure = ev.Failure(Reason.SANDBOX_LOST, "the runner's public key is not valid")
            await self._journal.advance(delivery.uid, [ev.SandboxEnded(sandbox, failure)])
            return
        await self._sandboxes.delivery(sandbox, sealed, of=delivery)

    async def _seal(self, state: State, delivery: Delivery, namespace: str, box: Any) -> dict[str, Any]:
        assert state.plan is not None
        sealed: dict[str, Any] = {}
        for name, where, argument in state.plan.step(delivery.step).by_reference():
            text = await self._read(namespace, argument, f"step {delivery.step}, {where}")
            encoded = base64.b64encode(box.encrypt(json.dumps(text).encode())).decode()
            sealed[name] = {"box": encoded, "secret": argument.secret}
        return sealed

    async def _read(self, namespace: str, ref: ByReference, where: str) -> str:
        resource = SECRETS if ref.secret else CONFIGMAPS
        missing = Reason.SECRET_NOT_FOUND if ref.secret else Reason.CONFIG_MAP_NOT_FOUND
        try:
            found = await self._kube.get(resource, ref.name, namespace)
        except NotFound:
            message = f"{where}: {ref.kind} {ref.name} does not exist in namespace {namespace}"
            raise _Refused(missing, message) from None
        except Forbidden:
            if not ref.secret:
                message = f"{where}: Citadel may not read ConfigMaps of namespace {namespace}"
                raise _Refused(missing, message) from None
            raise _Refused(Reason.SECRET_FORBIDDEN, self._grant(namespace, ref, where)) from None
        data = found.get("data") or {}
        if ref.key not in data:
            raise _Refused(
                missing, f"{where}: {ref.kind} {ref.name} of namespace {namespace} has no key {ref.key}"
            )
        try:
            return base64.b64decode(data[ref.key]).decode() if ref.secret else str(data[ref.key])
        except ValueError:
            message = (
                f"{where}: key {ref.key} of {ref.kind} {ref.name} holds binary data, expected UTF-8 text"
            )
            raise _Refused(missing, message) from None

    def _grant(self, namespace: str, ref: ByReference, where: str) -> str:
        role = f"citadel-read-{ref.name}"[:253]
        return (
            f"{where}: Citadel may not read {ref.kind} {ref.name} of namespace {namespace}. To grant it: "
            f"kubectl -n {namespace} create role {role} --verb=get --resource=secrets "
            f"--resource-name={ref.name} && "
            f"kubectl -n {namespace} create rolebinding {role} --role={role} "
            f"--serviceaccount={self._account}"
        )
