"""What go and java need beside their tools: made of what we ship, once, and kept on this machine.

It is made as the Dockerfiles of the runtimes make it. Nothing that a user wrote is read but the names of Go
packages that steps import.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from citadel.local.languages import Agents, Go, Java, JavaScript, Language, Python
from citadel.local.tools import Tool, ToolMissing, shipped

_SECONDS = 600.0
#: Not the user's settings: what is built must not depend on them.
_GO = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
_QUOTED = re.compile(r'"([a-z][a-z0-9/]*)"')
_STEP = "citadel.dev/go/step"


class Kits:
    """Kits of compiled languages, below a folder."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """`say` is told what takes its time."""
        self._folder, self._say = folder, say

    def language(self, tool: Tool, sources: Iterable[str] = ()) -> Language:
        """How a language runs, with all that it needs for the `sources` of its steps; raises ToolMissing."""
        match tool.language:
            case "agent":
                return Agents()
            case "javascript":
                return JavaScript(tool)
            case "go":
                return Go(self._go(tool, sources))
            case "java":
                return Java(tool, self._java(tool))
        return Python()

    def _go(self, tool: Tool, sources: Iterable[str]) -> Path:
        """The builder, and in `kit` the compiled packages: those of the standard library that are wanted."""
        source = shipped("go")
        with self._kit(tool, source) as kit:
            environment = _GO | {"PATH": f"{tool.path.parent}:{os.environ.get('PATH', '')}"}
            standard = kit / "standard"
            if not standard.exists():
                _run(["go", "list", "-f", "{{.ImportPath}}", "std"], source, environment, output=standard)
            known = set(standard.read_text().split())
            wanted = {name for text in sources for name in _QUOTED.findall(text)} & known
            listed = kit / "kit" / "importcfg"
            there = listed.read_text() if listed.exists() else ""
            missing = sorted(name for name in {*wanted, _STEP} if f"packagefile {name}=" not in there)
            if missing:
                self._say("go: compiling packages that steps import; this is kept for the next runs")
                _run(["sh", str(source / "precompile"), str(kit / "kit"), *missing], source, environment)
            if not (kit / "build").exists():
                made = ["go", "build", "-trimpath", "-buildvcs=false", "-o", str(kit / "draft"), "./build"]
                _run(made, source, environment)
                (kit / "draft").replace(kit / "build")
        return kit

    def _java(self, tool: Tool) -> Path:
        """The harness, and an archive of the classes that each JVM loads."""
        source = shipped("java")
        with self._kit(tool, source) as kit:
            if (kit / "java.options").exists():
                return kit
            self._say("java: compiling what runs steps; this is kept for the next runs")
            java = tool.path.parent
            with tempfile.TemporaryDirectory() as classes:
                javac = [java / "javac", "-XDstringConcat=inline", "-d", classes]
                _run([*map(str, javac), *sorted(map(str, source.glob("harness/*.java")))], kit)
                jar = [java / "jar", "-c", "-f", "harness.jar", "-m", source / "manifest", "-C", classes, "."]
                _run([*map(str, jar)], kit)
            lines = (source / "java.options").read_text().replace("/citadel/", f"{kit}/").splitlines()
            # Other versions than the image's know other options; what a JVM warns of is no step's log.
            own = ["-XX:+IgnoreUnrecognizedVMOptions", "-Xlog:disable"]
            options = [*own, *(line for line in lines if line[:1] != "#")]
            train = [line for line in options if "SharedArchiveFile" not in line]
            archive = f"-XX:ArchiveClassesAtExit={kit}/harness.jsa"
            rehearse = [str(java / "java"), *train, archive, "-jar", f"{kit}/harness.jar", "rehearse"]
            quiet = ["sh", "-c", '"$@" 3</dev/null 4>/dev/null 5>/dev/null', "sh"]
            _run([*quiet, *rehearse], kit)
            (kit / "java.options").write_text("\n".join(options) + "\n")
        return kit

    @contextmanager
    def _kit(self, tool: Tool, source: Path) -> Iterator[Path]:
        """The folder for what is made of a source with a tool; one process at a time."""
        name = f"{tool.language}-{tool.version}-{_digest(source, tool)}"
        kit = self._folder / name
        try:
            kit.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self._folder / f"{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield kit
        except OSError as error:
            raise ToolMissing(f"what {tool.language} needs cannot be kept in {kit}: {error}") from None


def _digest(source: Path, tool: Tool) -> str:
    """Of all that a kit is made of, and how it is made: this file."""
    found = hashlib.sha256(str(tool.path).encode() + Path(__file__).read_bytes())
    for path in sorted(source.rglob("*")):
        if path.is_file():
            found.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]


def _run(
    command: list[str], where: Path, more: Mapping[str, str] | None = None, output: Path | None = None
) -> None:
    """Runs a tool; raises ToolMissing with the end of what it says."""
    environment = dict(os.environ) | dict(more or {})
    path = shutil.which(command[0], path=environment.get("PATH")) or command[0]
    try:
        done = subprocess.run(  # noqa: S603
            [path, *command[1:]],
            cwd=where,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissing(f"{path} does not run: {error}") from None
    if done.returncode != 0:
        raise ToolMissing(f"{path} failed: {(done.stderr or done.stdout).strip()[-1000:]}")
    if output is not None:
        output.write_text(done.stdout)
