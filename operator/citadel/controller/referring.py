"""Reading keys of ConfigMaps and Secrets, and saying how to grant what may not be read.

What is read here must not be logged, put into an error, or written anywhere but sealed.
"""

import base64

from citadel.api.reasons import Reason
from citadel.core.failures import Failure
from citadel.core.values import ByReference
from citadel.kube.client import KubeClient
from citadel.kube.errors import Forbidden, NotFound
from citadel.kube.resources import CONFIGMAPS, SECRETS, Object


class Unread(Exception):
    """A reference cannot be resolved; carries the failure of who needs it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message
        self.failure = Failure.cut(reason, message)


class References:
    """Reads. `account` is our ServiceAccount, as `namespace:name`."""

    def __init__(self, kube: KubeClient, account: str) -> None:
        self._kube, self._account = kube, account

    async def read(self, namespace: str, ref: ByReference, where: str) -> tuple[str, Object]:
        """The text behind a reference, and the object that it is of; raises Unread."""
        resource = SECRETS if ref.secret else CONFIGMAPS
        missing = Reason.SECRET_NOT_FOUND if ref.secret else Reason.CONFIG_MAP_NOT_FOUND
        try:
            found = await self._kube.get(resource, ref.name, namespace)
        except NotFound:
            message = f"{where}: {ref.kind} {ref.name} does not exist in namespace {namespace}"
            raise Unread(missing, message) from None
        except Forbidden:
            if not ref.secret:
                message = f"{where}: Citadel may not read ConfigMaps of namespace {namespace}"
                raise Unread(missing, message) from None
            raise Unread(Reason.SECRET_FORBIDDEN, self._grant(namespace, ref, where)) from None
        data = found.get("data") or {}
        if ref.key not in data:
            raise Unread(
                missing, f"{where}: {ref.kind} {ref.name} of namespace {namespace} has no key {ref.key}"
            )
        try:
            text = base64.b64decode(data[ref.key]).decode() if ref.secret else str(data[ref.key])
        except ValueError:
            message = (
                f"{where}: key {ref.key} of {ref.kind} {ref.name} holds binary data, expected UTF-8 text"
            )
            raise Unread(missing, message) from None
        return text, found

    def _grant(self, namespace: str, ref: ByReference, where: str) -> str:
        role = f"citadel-read-{ref.name}"[:253]
        return (
            f"{where}: Citadel may not read {ref.kind} {ref.name} of namespace {namespace}. To grant it: "
            f"kubectl -n {namespace} create role {role} --verb=get --resource=secrets "
            f"--resource-name={ref.name} && "
            f"kubectl -n {namespace} create rolebinding {role} --role={role} "
            f"--serviceaccount={self._account}"
        )
