"""What of this machine runs the languages, and what is wrong with it where it does not. Only looks.

Versions are those that the harnesses need; a cluster's images have versions of their own.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

_SECONDS = 20.0
#: What runs agents, as if it were a language; and the packages that it imports.
AGENT = "agent"
_OF_AGENTS = ("langchain", "httpx2")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")


class ToolMissing(Exception):
    """A language cannot run here; the message says what is missing, and what to do."""


@dataclass(frozen=True)
class Needed:
    """What a language needs of a machine."""

    title: str
    command: str
    asked: tuple[str, ...]
    """Arguments with which the command says its version, and maybe where it really is."""
    least: tuple[int, ...]
    install: str


NEEDED: Mapping[str, Needed] = {
    "javascript": Needed(
        "Node.js",
        "node",
        ("-p", "`${process.version} ${process.execPath}`"),
        (20, 11),
        "nodejs.org, or your system's nodejs",
    ),
    "go": Needed("Go", "go", ("env", "GOVERSION", "GOROOT"), (1, 24), "go.dev/dl"),
    "java": Needed(
        "a JDK", "javac", ("-version",), (17,), "adoptium.net, or your system's default-jdk-headless"
    ),
}


@dataclass(frozen=True)
class Tool:
    """A language of this machine."""

    language: str
    path: Path
    version: str
    prefix: Path
    """The folder of the installation."""

    @property
    def image(self) -> str:
        """What stands for the image of a Runtime here: another version is another one."""
        return f"local/{self.language}:{self.version}"


class Tools:
    """The languages of this machine; each is looked for once."""

    def __init__(self) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        self._found: dict[str, Tool | ToolMissing] = {
            "python": Tool("python", Path(sys.executable), version, Path(sys.prefix))
        }

    def get(self, language: str) -> Tool:
        """What runs a language; raises ToolMissing."""
        if language not in self._found:
            try:
                looked = _look_for_agents(self) if language == AGENT else _look(language, NEEDED[language])
                self._found[language] = looked
            except ToolMissing as missing:
                self._found[language] = missing
        found = self._found[language]
        if isinstance(found, ToolMissing):
            raise found
        return found

    def image(self, language: str) -> str:
        """What stands for the image of a Runtime here, where its language may be missing."""
        try:
            return self.get(language).image
        except ToolMissing:
            return f"local/{language}"


def _look_for_agents(tools: Tools) -> Tool:
    """Python, with what runs agents."""
    missing = [name for name in _OF_AGENTS if find_spec(name) is None]
    if missing:
        raise ToolMissing(
            f"agents run LangChain on this machine, found no {', '.join(missing)}: pip install "
            f"'citadel-workflows[{AGENT}s]'"
        )
    shipped(AGENT)
    return replace(tools.get("python"), language=AGENT)


def _look(language: str, needed: Needed) -> Tool:
    least = ".".join(map(str, needed.least))
    wanted = f"{language} needs {needed.title} {least} or newer on this machine"
    cure = f"install it ({needed.install}), or apply the file and run it without --local"
    path = shutil.which(needed.command)
    if path is None:
        raise ToolMissing(f"{wanted}, found no {needed.command} on PATH; {cure}")
    try:
        asked = subprocess.run(  # noqa: S603
            [path, *needed.asked],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=os.environ | {"GOTOOLCHAIN": "local"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissing(f"{wanted}, but {path} does not run: {error}; {cure}") from None
    said = asked.stdout.strip() or asked.stderr.strip()
    number = _NUMBER.search(said)
    if asked.returncode != 0 or number is None:
        raise ToolMissing(f"{wanted}, but {path} says {said!r:.120} instead of its version; {cure}")
    version = number.group()
    if tuple(map(int, version.split("."))) < needed.least:
        raise ToolMissing(f"{wanted}, found {version} ({path}); {cure}")
    # What is on PATH may be a link, or a program that chooses a version.
    real = Path(said[number.end() :].strip())
    if not real.is_absolute():
        real = Path(path).resolve()
    if real.is_dir():
        return Tool(language, Path(path).resolve(), version, real)
    return Tool(language, real, version, real.parent.parent)


def shipped(language: str) -> Path:
    """The folder of a language's harness: package data in an installation, a neighbour in a checkout."""
    installed = Path(str(resources.files("citadel.local"))) / "runtimes" / language
    checkout = Path(__file__).resolve().parents[3] / "runtimes" / language
    for folder in (installed, checkout):
        if folder.is_dir():
            return folder
    raise ToolMissing(
        f"the harness of {language} is neither at {installed} nor at {checkout}: install citadel again"
    )


def cache_folder() -> Path:
    """Where is kept what would be made anew on each run."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).expanduser().resolve() / "citadel"
