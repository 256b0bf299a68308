"""Values by reference: read in the execution's own namespace, sealed to one sandbox, never kept.

What is read here must not be logged, put into an error, or written anywhere but sealed.
"""

import base64
import json
from typing import Any

from nacl.public import PublicKey, SealedBox

from citadel.api.reasons import Reason
from citadel.controller.referring import References, Unread
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.state import State
from citadel.kube.client import KubeClient
from citadel.store.journal import ExecutionUnknown, Journal
from citadel.store.sandboxes import Delivery, Sandboxes


class Deliveries:
    """Seals what assigned attempts refer to. `account` is our ServiceAccount, as `namespace:name`."""

    def __init__(self, kube: KubeClient, journal: Journal, sandboxes: Sandboxes, account: str) -> None:
        self._journal, self._sandboxes = journal, sandboxes
        self._references = References(kube, account)

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
        except Unread as refused:
            fact = ev.AttemptFailed(delivery.step, delivery.attempt, sandbox, refused.failure)
            await self._journal.advance(delivery.uid, [fact])
            return
        except ValueError:
            failure = Failure(Reason.SANDBOX_LOST, "the runner's public key is not valid")
            await self._journal.advance(delivery.uid, [ev.SandboxEnded(sandbox, failure)])
            return
        await self._sandboxes.delivery(sandbox, sealed, of=delivery)

    async def _seal(self, state: State, delivery: Delivery, namespace: str, box: Any) -> dict[str, Any]:
        assert state.plan is not None
        sealed: dict[str, Any] = {}
        for name, where, argument in state.plan.step(delivery.step).by_reference():
            at = f"step {delivery.step}, {where}"
            text, _ = await self._references.read(namespace, argument, at)
            encoded = base64.b64encode(box.encrypt(json.dumps(text).encode())).decode()
            sealed[name] = {"box": encoded, "secret": argument.secret}
        return sealed
