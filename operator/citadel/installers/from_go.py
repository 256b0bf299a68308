"""Makes a vendor folder of Go modules, checked as `go mod verify` does: builds with it need no network."""

import base64
import hashlib
import os
import re
import zipfile
from typing import Any

from citadel.installers.fetching import (
    ROOT,
    Tree,
    fail,
    fetch,
)

_TARGET = os.path.join(ROOT, "vendor")


def main(packages: list[str], index: str, ca: str = "") -> Any:
    """Installs packages below ROOT."""
    modules, requirements = [], []
    for line in sorted(packages):
        module, expected = line.split()
        name, _, version = module.partition("@")
        base = f"{index.rstrip('/')}/{_escaped(name)}/@v/{_escaped(version)}"
        found, _ = fetch(f"{base}.zip", module, ca)
        try:
            with zipfile.ZipFile(found) as archive:
                sum_ = _sum(archive)
                if sum_ != expected:
                    fail(f"{module}: found a zip with the sum {sum_}, expected {expected}")
                modules.append(_unpack(archive, name, version, module))
        except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
            fail(f"{module}: the zip cannot be read: {error}")
        os.unlink(found)
        requirements.append(f"{name} {version}\n")
    for path, texts in ((f"{_TARGET}/modules.txt", modules), (f"{ROOT}/go.require", requirements)):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.writelines(texts)
    return {"packages": len(packages)}


def _escaped(text: str) -> str:
    """As module proxies write paths: an exclamation mark for a capital letter."""
    return re.sub("[A-Z]", lambda match: f"!{match[0].lower()}", text)


def _sum(archive: zipfile.ZipFile) -> str:
    """The `h1:` sum: the digest of the sorted list of all files' digests."""
    lines = []
    for name in sorted(archive.namelist()):
        digest = hashlib.sha256()
        with archive.open(name) as file:
            while block := file.read(1 << 20):
                digest.update(block)
        lines.append(f"{digest.hexdigest()}  {name}\n")
    return f"h1:{base64.b64encode(hashlib.sha256(''.join(lines).encode()).digest()).decode()}"


def _unpack(archive: zipfile.ZipFile, name: str, version: str, module: str) -> str:
    """Writes what builds need; returns the module's part of modules.txt."""
    prefix, tree = f"{name}@{version}/", Tree(os.path.join(_TARGET, *name.split("/")), module)
    folders, language = set(), ""
    for item in archive.namelist():
        if not item.startswith(prefix):
            fail(f"{module}: found the file {item!r} in its zip, expected all of them below {prefix}")
        path = item[len(prefix) :]
        if path.endswith(("/", "_test.go")) or "testdata" in path.split("/"):
            continue
        with archive.open(item) as file:
            tree.write(path, file)
        if path == "go.mod":
            with archive.open(item) as file:
                said = re.search(rb"(?m)^go +([0-9.]+)", file.read())
            language = f"; go {said[1].decode()}" if said else ""
        elif path.endswith(".go"):
            folders.add(os.path.dirname(path))
    paths = sorted(f"{name}/{folder}" if folder else name for folder in folders)
    return "".join([f"# {name} {version}\n", f"## explicit{language}\n", *(f"{path}\n" for path in paths)])
