"""Programs of compiled languages, kept on this machine by what they were made of.

The same source under the same tools is the same program, so it is compiled once. Only what this machine has
compiled itself is ever found here.
"""

import os
import tempfile
import time
from pathlib import Path

from citadel.core.builds import FLAGS
from citadel.core.jsonvalues import canonical, digest
from citadel.local.languages import Language

#: Seconds after its last use at which a program is forgotten.
UNUSED_SECONDS = 30 * 24 * 3600.0
MAX_BYTES = 64 * 2**20


class Programs:
    """The programs in a folder, which need not be there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, language: Language, code: str) -> bytes | None:
        """What was built of this source; None if nothing was."""
        path = self._path(language, code)
        try:
            found = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return found

    def keep(self, language: Language, code: str, program: bytes) -> None:
        """Remembers what was built, and forgets what nobody uses. That this fails costs time alone."""
        path = self._path(language, code)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as draft:
                draft.write(program)
            Path(draft.name).replace(path)
            for other in self._folder.iterdir():
                if other.stat().st_mtime < time.time() - UNUSED_SECONDS:
                    other.unlink()
        except OSError:
            return

    def _path(self, language: Language, code: str) -> Path:
        made_of = [language.name, language.builds, *FLAGS[language.name], code]
        return self._folder / digest(canonical(list(made_of))).removeprefix("sha256:")
