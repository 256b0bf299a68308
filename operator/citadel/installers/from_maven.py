"""Downloads jars of a Maven repository, each by the digest that was pinned. Nothing of them runs."""

import os
import re
import zipfile
from typing import Any
from xml.etree import ElementTree

from citadel.installers.fetching import (
    ROOT,
    fail,
    fetch,
)

_TARGET = os.path.join(ROOT, "jars")


def main(packages: list[str], index: str, ca: str = "") -> Any:
    """Installs packages below ROOT."""
    os.makedirs(_TARGET)
    needed: dict[str, str] = {}
    names = set()
    for line in packages:
        package, expected = line.split()
        group, artifact, version = package.split(":")
        names.add(f"{group}:{artifact}")
        file_name = f"{artifact}-{version}.jar"
        base = f"{index.rstrip('/')}/{group.replace('.', '/')}/{artifact}/{version}"
        found, digest = fetch(f"{base}/{file_name}", package, ca)
        if f"sha256:{digest.hex()}" != expected:
            fail(f"{package}: found a jar with the digest sha256:{digest.hex()}, expected {expected}")
        for other in _dependencies(found, package):
            needed.setdefault(other, package)
        with open(found, "rb") as source, open(os.path.join(_TARGET, f"{group}-{file_name}"), "wb") as target:
            while block := source.read(1 << 20):
                target.write(block)
        os.unlink(found)
    for other, by in sorted(needed.items()):
        if other not in names:
            fail(f"{by} needs {other}, which is not listed in packages.maven")
    return {"packages": len(packages)}


def _dependencies(jar: str, package: str) -> list[str]:
    """What the POM inside a jar says it needs at run time, where there is one and it names it plainly."""
    group, artifact, _ = package.split(":")
    try:
        with zipfile.ZipFile(jar) as archive:
            name = f"META-INF/maven/{group}/{artifact}/pom.xml"
            if name not in archive.namelist() or archive.getinfo(name).file_size > 1 << 20:
                return []
            text = archive.read(name).decode("utf-8", "replace")
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        fail(f"{package}: the jar cannot be read: {error}")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return []
    try:
        pom = ElementTree.fromstring(re.sub(r'\sxmlns="[^"]*"', "", text, count=1))  # noqa: S314
    except ElementTree.ParseError:
        return []
    found = []
    for item in pom.findall("./dependencies/dependency"):
        said = {part.tag: (part.text or "").strip() for part in item}
        if said.get("optional") == "true" or said.get("scope", "compile") not in ("compile", "runtime"):
            continue
        other = said.get("groupId", "").replace("${project.groupId}", group)
        if said.get("artifactId") and "${" not in other + said["artifactId"]:
            found.append(f"{other}:{said['artifactId']}")
    return found
