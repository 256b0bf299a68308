"""What a runner holds after its registration, and how a gateway knows it again. No I/O."""

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from citadel.gateway.limits import Allowance

KNOWN_SESSIONS = 10_000


@dataclass
class Session:
    """A registered sandbox, as this gateway knows it."""

    sandbox: str
    uid: str
    secret_hash: str
    allowance: Allowance = field(default_factory=Allowance)
    logged: dict[tuple[str, int], int] = field(default_factory=dict)
    """Bytes of log that came for each attempt."""

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

    def keep(self, sandbox: str, uid: str, secret_hash: str) -> Session:
        """The session of this secret; what it has used of its allowance is not given back."""
        found = self._known.get(sandbox)
        if found is None or found.secret_hash != secret_hash:
            found = self._known[sandbox] = Session(sandbox, uid, secret_hash)
        self._known.move_to_end(sandbox)
        while len(self._known) > KNOWN_SESSIONS:
            self._known.popitem(last=False)
        return found


def session_secret(sandbox: str, token: str, public_key: str) -> str:
    """The secret of a registration, always the same: a runner whose answer was lost gets its session again.

    Only who holds the token can make it, and the token is good for one public key.
    """
    digest = hmac.digest(token.encode(), b"citadel session " + public_key.encode(), "sha256")
    return f"{sandbox}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def sandbox_of(secret: str) -> str:
    """The sandbox that a secret names, which proves nothing yet."""
    return secret.partition(".")[0]


def hashed(secret: str) -> str:
    """What the database keeps of a secret."""
    # Headers may hold bytes that are not UTF-8; they are no session either.
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def is_public_key(found: Any) -> bool:
    """Whether this is the base64 of an X25519 key."""
    try:
        return isinstance(found, str) and len(base64.b64decode(found, validate=True)) == 32
    except ValueError:
        return False
