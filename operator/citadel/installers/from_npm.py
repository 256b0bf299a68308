"""Unpacks packages of npm side by side into node_modules. Nothing of them runs, no script and no build."""

import base64
import json
import os
import tarfile
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from citadel.installers.fetching import (
    ROOT,
    Tree,
    fail,
    fetch,
)

_TARGET = os.path.join(ROOT, "node_modules")


def main(packages: list[str], index: str, ca: str = "") -> Any:
    """Installs packages below ROOT."""
    needed: dict[str, list[str]] = {}
    names = set()
    for line in packages:
        package, integrity = line.split()
        name, _, version = package.rpartition("@")
        names.add(name)
        found, digest = fetch(_address(name, version, index, ca), package, ca, "sha512")
        if f"sha512-{base64.b64encode(digest).decode()}" != integrity:
            said = base64.b64encode(digest).decode()
            fail(f"{package}: found a tarball with integrity sha512-{said}, expected {integrity}")
        _unpack(found, name, package)
        os.unlink(found)
        for other in _dependencies(name, package):
            needed.setdefault(other, []).append(package)
    for other, by in sorted(needed.items()):
        if other not in names:
            fail(f"{by[0]} needs {other}, which is not listed in packages.npm")
    return {"packages": len(packages)}


def _address(name: str, version: str, index: str, ca: str) -> str:
    """Where the tarball is, as the index says; never at another host than the index's own."""
    base = index.rstrip("/")
    found, _ = fetch(f"{base}/{quote(name, safe='@')}", name, ca)
    with open(found, encoding="utf-8") as file:
        try:
            said = json.load(file)["versions"].get(version)
            address = str(said["dist"]["tarball"]) if said is not None else ""
        except (ValueError, KeyError, TypeError, AttributeError):
            fail(f"{name}: the index does not answer as a registry of npm does")
    os.unlink(found)
    if not address:
        fail(f"{name}: the index has no version {version}")
    return urlunsplit((*urlsplit(base)[:2], *urlsplit(address)[2:4], ""))


def _unpack(archive: str, name: str, package: str) -> None:
    tree = Tree(os.path.join(_TARGET, *name.split("/")), package)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.isdir():
                    continue
                content = tar.extractfile(member) if member.isfile() else None
                if content is None:
                    fail(f"{package}: found {member.name!r}, which is no ordinary file")
                # The first part is `package`, or whatever else the author's tool named it.
                tree.write(
                    member.name.removeprefix("./").partition("/")[2], content, bool(member.mode & 0o100)
                )
    except (tarfile.TarError, EOFError, OSError) as error:
        fail(f"{package}: the tarball cannot be unpacked: {error}")


def _dependencies(name: str, package: str) -> list[str]:
    """What must be there beside it: neither what is optional, nor what it brings along."""
    own = os.path.join(_TARGET, *name.split("/"))
    try:
        with open(os.path.join(own, "package.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        required = set(manifest.get("dependencies") or {}) - set(manifest.get("optionalDependencies") or {})
    except (OSError, ValueError, TypeError, AttributeError):
        fail(f"{package}: found no package.json in it that can be read")
    brought = {other for other in required if os.path.isdir(os.path.join(own, "node_modules", other))}
    return sorted(required - brought)
