"""What a runner holds after its registration, and how a gateway knows it again. No I/O."""

import base64
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citadel.core.hashing import hashed
from citadel.gateway.limits import Allowance

KNOWN_SESSIONS = 10_000


@dataclass
class Session:
    """A registered sandbox, as this gateway knows it."""

    sandbox: str
    uid: str | None
    """The execution that it serves; None for a member of a pool until it is claimed."""
    secret_hash: str
    allowance: Allowance = field(default_factory=Allowance)
    isolated: bool | None = None
    """What the sandbox found of the network around it, as far as this gateway knows."""
    namespace: str | None = None
    """Namespace of its execution, once it was looked up."""
    guarded: bool = False
    """Whether its workflow requires that isolation is proven."""
    logged: dict[tuple[str, int], int] = field(default_factory=dict)
    """Bytes of log that came for each attempt."""
    stored: int = 0
    """Bytes of artifacts that came."""
    agent: bool | None = None
    """Whether it runs an agent, as far as this gateway knows."""
    packages: Mapping[str, Any] | None = None
    """Where the packages of its Runtime are: `{"namespace", "digest", "size"}`."""

    def holds(self, secret: str) -> bool:
        """Whether this is the secret of the session."""
        return secrets.compare_digest(self.secret_hash, hashed(secret))


class Sessions:
    """The sessions used last, by sandbox."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Session] = OrderedDict()

    def get(self, sandbox: str) -> Session | None:
        """The session of this sandbox, which is now the one used last."""
        found = self._known.get(sandbox)
        if found is not None:
            self._known.move_to_end(sandbox)
        return found

    def keep(self, sandbox: str, uid: str | None, secret_hash: str) -> Session:
        """The session of this secret; what it has used of its allowance is not given back."""
        found = self._known.get(sandbox)
        if found is None or found.secret_hash != secret_hash:
            found = self._known[sandbox] = Session(sandbox, uid, secret_hash)
        # A member of a pool is claimed once, and for good.
        found.uid = found.uid or uid
        self._known.move_to_end(sandbox)
        while len(self._known) > KNOWN_SESSIONS:
            self._known.popitem(last=False)
        return found


def session_secret(sandbox: str, key: str, public_key: str) -> str:
    """The secret of a registration, always the same: a runner whose answer was lost gets its session again.

    Only who holds the sandbox's key can make it, and the key is good for one public key.
    """
    digest = hmac.digest(key.encode(), b"citadel session " + public_key.encode(), "sha256")
    return f"{sandbox}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def egress_token(sandbox: str, session_hash: str) -> str:
    """What the runner of a session shows the egress proxy, which so never holds a session itself."""
    digest = hmac.digest(session_hash.encode(), b"citadel egress", "sha256")
    return f"{sandbox}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def sandbox_of(secret: str) -> str:
    """The sandbox that a secret names, which proves nothing yet."""
    return secret.partition(".")[0]


def is_public_key(found: Any) -> bool:
    """Whether this is the base64 of an X25519 key."""
    try:
        return isinstance(found, str) and len(base64.b64decode(found, validate=True)) == 32
    except ValueError:
        return False
