"""Whose certificates are believed of servers outside: those of the web's authorities, and of one's own."""

import logging
import ssl
from pathlib import Path

log = logging.getLogger(__name__)


class Trust:
    """What checks servers outside. `file` has authorities besides those that the image trusts, as PEM; it may
    come, and change, later: `renew` looks."""

    def __init__(self, file: Path | None) -> None:
        self.context = ssl.create_default_context()
        self._file, self._read = file, b""
        self.renew()

    def renew(self) -> None:
        """Believes what is new in the file. What was believed before stays so until the process ends."""
        try:
            content = b"" if self._file is None else self._file.read_bytes()
        except FileNotFoundError:
            return
        if content == self._read:
            return
        self._read = content
        try:
            self.context.load_verify_locations(cadata=content.decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            log.warning("%s: expected certificates of authorities as PEM: %s", self._file, error)
