"""Credentials of Models and Tools: read for the one place where each may be sent.

What is read here must not be logged, put into an error, or written anywhere but sealed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from citadel.api.meta import HOSTS_ANNOTATION, KeyRef
from citadel.api.reasons import Reason
from citadel.controller.checking import Unusable
from citadel.controller.referring import References, Unread
from citadel.core.values import ByReference
from citadel.kube.resources import Object


@dataclass(frozen=True)
class Credential:
    """A credential as it is now."""

    key: str = field(repr=False)
    version: str
    """Of the Secret that it is of."""


def not_one_line(text: str) -> str | None:
    """What is wrong with a text that is sent in a header."""
    return None if text and text.isascii() and text.isprintable() else " holds no key"


async def read_credential(
    references: References,
    namespace: str,
    ref: KeyRef,
    whose: str,
    destination: str | None,
    unlisted: tuple[str, ...] = (),
    wrong: Callable[[str], str | None] | None = None,
) -> Credential:
    """The credential that `whose` sends to `destination`; raises Unusable.

    `unlisted` are the hosts of a Secret that says nothing of hosts; `wrong` says what is wrong with a text.
    """
    by = ByReference("Secret", ref.name, ref.key)
    try:
        text, secret = await references.read(namespace, by, f"{whose}, credential")
    except Unread as unread:
        raise Unusable(unread.reason, unread.message, waits=True) from None
    text = text.strip()
    if (problem := (wrong or not_one_line)(text)) is not None:
        message = f"{whose}, credential: key {ref.key} of Secret {ref.name}{problem}"
        raise Unusable(Reason.SECRET_NOT_FOUND, message, waits=True)
    _check_host(secret, namespace, whose, destination, unlisted)
    return Credential(text, str(secret["metadata"].get("resourceVersion", "")))


def _check_host(
    secret: Object, namespace: str, whose: str, destination: str | None, unlisted: tuple[str, ...]
) -> None:
    """A credential goes where its Secret says."""
    listed = (secret["metadata"].get("annotations") or {}).get(HOSTS_ANNOTATION)
    hosts = list(unlisted) if listed is None else [host.strip() for host in listed.split(",") if host.strip()]
    if destination in hosts:
        return
    name, told = secret["metadata"]["name"], ", ".join(hosts) or "nowhere"
    message = (
        f"{whose}, endpoint: Secret {name} may be sent to {told[:200]}, not to {destination}. To allow it: "
        f"kubectl -n {namespace} annotate --overwrite secret {name} {HOSTS_ANNOTATION}={destination}"
    )
    raise Unusable(Reason.HOST_NOT_ALLOWED, message, waits=True)
