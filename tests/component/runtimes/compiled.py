"""What compiled languages need beside runner and shim, made as their Dockerfiles do, and builds of steps."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUNTIMES = Path(__file__).parents[3] / "runtimes"
COMPILED = ("go", "java")
#: What steps in Go import here: the whole standard library would take a minute.
PACKAGES = """
bufio bytes context embed encoding/json errors fmt io math math/big os os/exec os/signal path/filepath
runtime runtime/debug slices sort strconv strings sync syscall time unsafe
"""

Json = Any
Build = Callable[[str, str, str], Awaitable[Json]]
"""Of language, step and code: the program, or a failure."""


def prepare(language: str, directory: Path) -> None:
    """Make what the command of this language starts."""
    if language == "go" and not (directory / "kit").exists():
        _prepare_go(directory)
    if language == "java" and not (directory / "harness.jar").exists():
        _prepare_java(directory)


def _prepare_go(directory: Path) -> None:
    source = RUNTIMES / "go"
    environment = os.environ | {"CGO_ENABLED": "0"}
    kit = directory / "kit"
    subprocess.run(
        [source / "precompile", kit, *PACKAGES.split(), "./step"], cwd=source, env=environment, check=True
    )
    build = ["go", "build", "-trimpath", "-buildvcs=false", "-o", directory / "build", "./build"]
    subprocess.run(build, cwd=source, env=environment, check=True)


def _prepare_java(directory: Path) -> None:
    source, classes = RUNTIMES / "java", directory / "classes"
    javac = ["javac", "-XDstringConcat=inline", "-d", classes, *sorted(source.glob("harness/*.java"))]
    subprocess.run(javac, check=True, capture_output=True)
    jar = directory / "harness.jar"
    subprocess.run(["jar", "-c", "-f", jar, "-m", source / "manifest", "-C", classes, "."], check=True)
    shutil.rmtree(classes)
    options = (source / "java.options").read_text().replace("/citadel/", f"{directory}/")
    # The memory of a sandbox, which this machine is not.
    options = options.replace("-XX:MaxRAMPercentage=60", "-Xmx300m")
    assert "-Xmx" in options
    lines = [line for line in options.splitlines() if not line.startswith("#")]
    own = [line for line in lines if "SharedArchiveFile" not in line]
    archive = f"-XX:ArchiveClassesAtExit={directory}/harness.jsa"
    train = ["java", *own, archive, "-jar", jar, "rehearse"]
    quiet = ["bash", "-c", '"$@" 3</dev/null 4>/dev/null 5>/dev/null', "bash"]
    subprocess.run([*quiet, *train], check=True, capture_output=True)
    (directory / "harness.jsa").chmod(0o444)
    (directory / "java.options").write_text(options)


@dataclass
class Builds:
    """Builds each source once, in a sandbox of its own; what cannot be built fails anew each time."""

    site: Callable[[], contextlib.AbstractAsyncContextManager[Any]]
    known: dict[tuple[str, str], bytes] = field(default_factory=dict)

    async def build(self, language: str, step: str, code: str) -> Json:
        """The program, or the failure."""
        if (language, code) in self.known:
            return self.known[language, code]
        async with self.site() as site:
            await site.language(language)
            await site.gateway.assign(step, action="build", language=language, code=code)
            result = await site.gateway.result(step, seconds=60)
            if result.outcome == "Failed":
                return result.body
            made = site.gateway.artifacts[step, "program"]
            assert result.output == {"program": made["digest"], "size": made["size"]}
            program: bytes = site.gateway.blobs[made["digest"]]
            self.known[language, code] = program
            return program
