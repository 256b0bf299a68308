"""Packages of a Runtime: what the lines of each ecosystem look like: one exact version, with its hash.

Pure text: nothing here knows where packages come from, or whether they exist.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from citadel.api.meta import Model

#: The list of `packages` that a Runtime of a language may have.
ECOSYSTEMS: Mapping[str, str] = MappingProxyType(
    {"python": "pip", "javascript": "npm", "go": "go", "java": "maven"}
)


@dataclass(frozen=True)
class Package:
    """One line, taken apart."""

    name: str
    version: str
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class _Grammar:
    line: re.Pattern[str]
    example: str


_GRAMMARS: Mapping[str, _Grammar] = MappingProxyType(
    {
        "pip": _Grammar(
            re.compile(
                r"(?P<name>[A-Za-z0-9](?:[-A-Za-z0-9._]*[A-Za-z0-9])?)==(?P<version>[0-9][A-Za-z0-9.!+_-]*)"
                r"(?P<hashes>(?: +--hash=sha256:[0-9a-f]{64})+)"
            ),
            "name==1.2.3 --hash=sha256:<64 hexadecimal digits>, as `pip-compile --generate-hashes` writes it",
        ),
        "npm": _Grammar(
            re.compile(
                r"(?P<name>(?:@[a-z0-9][-a-z0-9._]*/)?[A-Za-z0-9][-A-Za-z0-9._]*)"
                r"@(?P<version>[0-9]+\.[0-9]+\.[0-9]+[-+A-Za-z0-9.]*) +(?P<hashes>sha512-[A-Za-z0-9+/]{86}==)"
            ),
            "name@1.2.3 sha512-<base64>, the `integrity` of a package-lock.json",
        ),
        "go": _Grammar(
            re.compile(
                r"(?P<name>[a-z0-9][-a-z0-9.]*\.[a-z]+(?:/[-A-Za-z0-9._~]+)*)"
                r"@(?P<version>v[0-9]+\.[0-9]+\.[0-9]+[-+A-Za-z0-9.]*) +(?P<hashes>h1:[A-Za-z0-9+/]{43}=)"
            ),
            "module@v1.2.3 h1:<base64>, the sum of its zip in a go.sum",
        ),
        "maven": _Grammar(
            re.compile(
                r"(?P<name>[A-Za-z0-9_][-A-Za-z0-9_.]*:[A-Za-z0-9_][-A-Za-z0-9_.]*)"
                r":(?P<version>[A-Za-z0-9][-A-Za-z0-9_.+]*) +(?P<hashes>sha256:[0-9a-f]{64})"
            ),
            "group:artifact:1.2.3 sha256:<64 hexadecimal digits> of its jar",
        ),
    }
)


def read(ecosystem: str, line: str) -> Package:
    """One line of an ecosystem's list; raises ValueError that says what it should look like."""
    grammar = _GRAMMARS[ecosystem]
    match = grammar.line.fullmatch(line)
    # A path that climbs, or a version that is a range, has no place in any of them.
    if match is None or ".." in line.split(" ")[0] or match["version"].endswith("-SNAPSHOT"):
        shown = line if len(line) <= 80 else f"{line[:79]}…"
        raise ValueError(f"found {shown!r}, expected one exact version with its hash: {grammar.example}")
    hashes = tuple(item.removeprefix("--hash=") for item in match["hashes"].split())
    return Package(match["name"], match["version"], hashes)


def _checked(ecosystem: str) -> Callable[[str], str]:
    def check(line: str) -> str:
        read(ecosystem, line)
        return line

    return check


_Pip = Annotated[str, StringConstraints(max_length=16384), AfterValidator(_checked("pip"))]
_Npm = Annotated[str, StringConstraints(max_length=512), AfterValidator(_checked("npm"))]
_Go = Annotated[str, StringConstraints(max_length=512), AfterValidator(_checked("go"))]
_Maven = Annotated[str, StringConstraints(max_length=512), AfterValidator(_checked("maven"))]


class Packages(Model):
    """Packages by ecosystem, all of them: one that another needs and that is not listed is an error."""

    pip: Annotated[tuple[_Pip, ...], Field(max_length=256)] = ()
    """Wheels for Python, such as name==1.2 --hash=sha256:…; never built from source."""
    npm: Annotated[tuple[_Npm, ...], Field(max_length=512)] = ()
    """Packages for JavaScript, such as name@1.2.3 sha512-…; their install scripts never run."""
    go: Annotated[tuple[_Go, ...], Field(max_length=256)] = ()
    """Modules for Go, such as module@v1.2.3 h1:…"""
    maven: Annotated[tuple[_Maven, ...], Field(max_length=256)] = ()
    """Jars for Java, such as group:artifact:1.2 sha256:…"""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for ecosystem, lines in self.listed():
            seen: dict[str, str] = {}
            for package in (read(ecosystem, line) for line in lines):
                name = canonical_name(ecosystem, package.name)
                if name in seen:
                    raise ValueError(
                        f"{ecosystem}: found {package.name} {package.version} beside {package.name} "
                        f"{seen[name]}, expected each package once"
                    )
                seen[name] = package.version
        return self

    def listed(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The ecosystems that have packages, and their lines."""
        for ecosystem in ECOSYSTEMS.values():
            if lines := getattr(self, ecosystem):
                yield ecosystem, lines


def canonical_name(ecosystem: str, name: str) -> str:
    """By what an ecosystem tells packages apart."""
    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "pip" else name
