"""What the installers of all ecosystems share: fetching from the index, and nothing that was not pinned.

Runs in a sandbox, with the standard library alone. Whatever it cannot do ends it with one line that says so.
"""

import hashlib
import http.client
import os
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any, NoReturn

#: Where packages are put, in the working directory; the step gives it on as an artifact.
ROOT = "packages"
#: Bytes of one download, and of all files of one archive, at most.
MOST_BYTES = 512 << 20
MOST_FILES = 20_000
_TRIES, _SECONDS = 3, 60.0


def fail(message: str) -> NoReturn:
    """Ends the install."""
    sys.exit(message)


def fetch(url: str, what: str, ca: str, algorithm: str = "sha256") -> tuple[str, bytes]:
    """Downloads to a file in memory: its name, and the digest of its content."""
    context = None
    if url.startswith("https:"):
        context = ssl.create_default_context()
        if ca:
            context.load_verify_locations(cadata=ca)
    target = os.path.join(tempfile.gettempdir(), hashlib.sha256(url.encode()).hexdigest())
    for attempt in range(1, _TRIES + 1):
        try:
            with urllib.request.urlopen(url, timeout=_SECONDS, context=context) as answer:  # noqa: S310
                return target, _written(answer, target, what, algorithm)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                fail(f"{what}: the index answers {error.code} {error.reason} for {url}")
            said = f"the index answers {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            said = f"the index cannot be reached: {getattr(error, 'reason', None) or error}"
        print(f"{what}: {said} ({url}), attempt {attempt} of {_TRIES}")
        if attempt < _TRIES:
            time.sleep(attempt)
    fail(f"{what}: {said}")


def _written(answer: Any, target: str, what: str, algorithm: str) -> bytes:
    hasher, size = hashlib.new(algorithm), 0
    with open(target, "wb") as file:
        while block := answer.read(1 << 20):
            size += len(block)
            if size > MOST_BYTES:
                fail(f"{what}: more than {MOST_BYTES} bytes")
            file.write(block)
            hasher.update(block)
    print(f"{what}: {size} bytes")
    return hasher.digest()


class Tree:
    """Writes files below a directory, and nowhere else."""

    def __init__(self, root: str, what: str) -> None:
        self._root, self._what = root, what
        self._files = self._bytes = 0

    def write(self, name: str, source: Any, executable: bool = False) -> None:
        """One file of an archive, whose name is not trusted."""
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            fail(f"{self._what}: found the file name {name!r}, expected a path inside the package")
        path = os.path.join(self._root, *parts)
        self._files += 1
        if self._files > MOST_FILES:
            fail(f"{self._what}: more than {MOST_FILES} files")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            fail(f"{self._what}: found {name} twice")
        with open(path, "wb") as file:
            while block := source.read(1 << 20):
                self._bytes += len(block)
                if self._bytes > MOST_BYTES:
                    fail(f"{self._what}: more than {MOST_BYTES} bytes when unpacked")
                file.write(block)
        os.chmod(path, 0o755 if executable else 0o644)
