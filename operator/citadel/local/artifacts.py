"""Files and artifacts of steps on this machine: folders and archives in place of blobs.

It takes and makes the same trees as the shim of a sandbox, within the same bounds, in the step's own working
directory. What a container finds in /data lies beside that.
"""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from citadel.api.reasons import Reason
from citadel.core.compiled import PROGRAM
from citadel.core.dispatch import Dispatch
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.values import Content

MAX_ENTRIES = 20_000
MAX_BYTES = 2**30


class NotATree(ValueError):
    """Something that cannot be an artifact; the message says what."""


class Parcels:
    """What one attempt finds in its working directory, and what it leaves."""

    def __init__(self, archives: Path, given: Dispatch, files: Mapping[str, str]) -> None:
        """`archives` keeps artifacts by digest; `files` are the texts of the attempt by path."""
        self._archives, self._given, self._files = archives, given, files
        self.kept: dict[str, Content] = {}

    def place(self, work: Path) -> None:
        """Puts everything where it belongs; raises NotATree, OSError."""
        for path, content in self._given.taken.items():
            unpack(self._archives / content.digest, located(path, work))
        for path, text in self._files.items():
            target = located(path, work)
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                raise NotATree(f"file {path} cannot be written: something is there")
            target.write_text(text)

    def keep(self, work: Path) -> Failure | None:
        """Keeps what the attempt leaves; why that is impossible."""
        for name, path in self._given.left.items():
            try:
                self.kept[name] = pack(located(path, work), self._archives)
            except (NotATree, OSError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                return Failure.cut(Reason.INVALID_OUTPUT, f"artifact {name}: {path}: {why}")
        return None

    def program(self) -> bytes | None:
        """What was built of the attempt's code; raises OSError."""
        given = self._given.program
        return None if given is None else (self._archives / given.digest).read_bytes()

    def keep_program(self, program: bytes) -> Json:
        """Keeps what the attempt has built; its output."""
        digest = f"sha256:{hashlib.sha256(program).hexdigest()}"
        (self._archives / digest).write_bytes(program)
        self.kept[PROGRAM] = Content(digest, len(program))
        return {"program": digest, "size": len(program)}


def located(path: str, work: Path) -> Path:
    """Where a path of a sandbox is, whose working directory is `work`."""
    if path == "/data" or path.startswith("/data/"):
        return work.parent / path.lstrip("/")
    return work / path.removeprefix("/work").lstrip("/")


def pack(root: Path, archives: Path) -> Content:
    """Keeps a file or tree; raises NotATree, OSError."""
    draft = archives / f"draft-{os.getpid()}"
    with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as archive:
        size = 0
        for number, (path, name) in enumerate(_entries(root, ".")):
            info = _described(path, name)
            size += info.size
            if number >= MAX_ENTRIES or size > MAX_BYTES:
                raise NotATree(f"more than {MAX_ENTRIES} files and directories, or {MAX_BYTES} bytes")
            with path.open("rb") if info.isreg() else io.BytesIO() as content:
                archive.addfile(info, content)
    with draft.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    draft.replace(archives / digest)
    return Content(digest, (archives / digest).stat().st_size)


def _entries(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield path, name
    if path.is_dir() and not path.is_symlink():
        for child in sorted(os.listdir(path)):
            yield from _entries(path / child, os.path.normpath(f"{name}/{child}"))


def _described(path: Path, name: str) -> tarfile.TarInfo:
    """An entry without times and owners: the same files are the same bytes."""
    status = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = 0o755 if status.st_mode & 0o100 else 0o644
    if stat.S_ISDIR(status.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISREG(status.st_mode):
        info.size = status.st_size
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
        to = os.path.normpath(os.path.join(os.path.dirname(name), info.linkname))
        if name == "." or os.path.isabs(info.linkname) or to == ".." or to.startswith("../"):
            raise NotATree(f"{name!r} is a link that leads out of the tree, to {info.linkname!r:.80}")
    else:
        raise NotATree(f"{name!r} is neither a file nor a directory nor a link")
    return info


def unpack(archive: Path, target: Path) -> None:
    """Makes the file or tree of an archive; raises NotATree, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as entries:
        first = entries.next()
        if first is not None and first.isreg():
            content = entries.extractfile(first)
            assert content is not None
            with target.open("xb") as file:
                file.write(content.read())
            target.chmod(first.mode)
            return
        target.mkdir(exist_ok=True)
        try:
            # Python 3.11.2 has no filters yet; what was packed here is within its tree anyway.
            entries.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            entries.extractall(target)  # noqa: S202
        except tarfile.TarError as error:
            raise NotATree(str(error)) from None
