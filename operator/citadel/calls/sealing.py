"""Credentials as the controller sealed them: opened where they are sent from, each for one host alone."""

import base64
import json
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox


class Unopened(Exception):
    """A credential that may not be sent. `elsewhere`: it is for another host."""

    def __init__(self, message: str, *, elsewhere: bool = False) -> None:
        super().__init__(message)
        self.message, self.elsewhere = message, elsewhere


class Opener:
    """Opens what was sealed to this process."""

    def __init__(self, key: PrivateKey) -> None:
        self._box = SealedBox(key)

    @classmethod
    def from_file(cls, path: Path) -> "Opener":
        """By the key in a file, which is base64."""
        return cls(PrivateKey(base64.b64decode(path.read_text())))

    def open(self, sealed: str, destination: str | None) -> str:
        """A credential that is sent to `destination`, as `host:port`; raises Unopened."""
        found = json.loads(self.text(sealed))
        if found["host"] != destination:
            message = f"its credential is for {found['host']}, not for {destination}"
            raise Unopened(message, elsewhere=True)
        return str(found["key"])

    def text(self, sealed: str) -> str:
        """A text as it was before it was sealed; raises Unopened."""
        try:
            return self._box.decrypt(base64.b64decode(sealed)).decode()
        except (CryptoError, ValueError):
            message = "its credential cannot be opened: it was sealed for another installation"
            raise Unopened(message) from None
