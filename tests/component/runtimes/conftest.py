"""Real runners and shims, built once, started as in a pod: the shim is process 1 of its own namespaces, has
no rights, and its writable places are memory. Nothing of them outlives a test."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from citadel.render.pod import HARNESS, SHIM_DIR
from component.runtimes.compiled import Builds, prepare
from component.runtimes.gateway import Gateway, self_signed

RUNTIMES = Path(__file__).parents[3] / "runtimes"
HARNESSES = [RUNTIMES / "python" / "harness.py", *RUNTIMES.glob("javascript/*.mjs")]


@pytest.fixture(scope="session")
def binaries() -> Iterator[Path]:
    """A directory that every user may read, with runner, shim and harnesses."""
    directory = Path(tempfile.mkdtemp(prefix="citadel-runtimes-"))
    directory.chmod(0o755)
    build = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", f"{directory}/"]
    environment = os.environ | {"CGO_ENABLED": "0"}
    subprocess.run([*build, "./runner", "./shim"], cwd=RUNTIMES, env=environment, check=True)
    forking = RUNTIMES / "javascript" / "fork.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", directory / "fork.node", forking], check=True)
    for harness in HARNESSES:
        shutil.copy(harness, directory)
    shutil.copytree(RUNTIMES / "python" / "citadel_harness", directory / "citadel_harness")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def interpreter() -> str:
    """A Python that a user without rights can run."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        path = Path(candidate).resolve()
        if all(parent.stat().st_mode & 0o005 == 0o005 for parent in path.parents):
            return str(path)
    raise FileNotFoundError("no Python that other users may run")


@dataclass
class Sandbox:
    """The two containers of a pod."""

    runner: asyncio.subprocess.Process
    main: asyncio.subprocess.Process

    def runner_peak(self) -> int:
        """The most memory that the runner has held, in bytes; a pod gives it 64 MiB."""
        status = Path(f"/proc/{self.runner.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def kill_shim(self) -> None:
        """End the container main as the kernel does when it is out of memory."""
        for child in Path(f"/proc/{self.main.pid}/task/{self.main.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)


class Site:
    """A gateway's double that can go away and come back at its address, and sandboxes that know it."""

    def __init__(self, binaries: Path, tls: tuple[ssl.SSLContext, str]) -> None:
        self.binaries, self.tls = binaries, tls
        self.gateway = Gateway()
        self.sandboxes: list[Sandbox] = []
        self.started: web.AppRunner | None = None
        self.agents = free_port()

    async def open(self) -> None:
        """Serve, at the same port as before."""
        self.started = web.AppRunner(self.gateway.app(), handler_cancellation=True, shutdown_timeout=0.1)
        await self.started.setup()
        place = web.TCPSite(self.started, "127.0.0.1", self.gateway.port, ssl_context=self.tls[0])
        await place.start()
        self.gateway.port = self.started.addresses[0][1]

    async def close(self) -> None:
        """Be away: connections break, new ones are refused."""
        if self.started:
            await self.started.cleanup()
            self.started = None

    async def start(self, *command: str, key: str = "the-key", scratch: str = "") -> Sandbox:
        """Start a sandbox; command is the harness's, none for a container step's. `scratch`: options of the
        memory in which all its files are, as in a pod of a language runtime."""
        port = free_port()
        environment = {"PATH": os.environ["PATH"], "CITADEL_SHIM_ADDRESS": f"127.0.0.1:{port}"}
        runner = await asyncio.create_subprocess_exec(
            self.binaries / "runner",
            env=environment
            | {
                "CITADEL_GATEWAY": f"https://127.0.0.1:{self.gateway.port}",
                "CITADEL_CA": self.tls[1],
                "CITADEL_SANDBOX": "cx-0",
                "CITADEL_KEY": key,
                "CITADEL_MODELS_URL": f"https://127.0.0.1:{self.gateway.port}",
                "CITADEL_AGENT_ADDRESS": f"127.0.0.1:{self.agents}",
                # Refused is answered: of that a member of a pool has something to report.
                "CITADEL_FORBIDDEN": f"apiserver=127.0.0.1:{free_port()}" if self.gateway.member else "",
            },
        )
        work, tmp = self.binaries / "work", self.binaries / "tmp"
        data = self.binaries / "data"
        places = {"CITADEL_WORK_DIR": str(work), "CITADEL_TMP_DIR": str(tmp), "CITADEL_DATA_DIR": str(data)}
        places["FROM_IMAGE"] = "yes"
        work.mkdir(exist_ok=True)
        tmp.mkdir(exist_ok=True)
        data.mkdir(exist_ok=True)
        mounts = "; ".join(
            f"mount -t tmpfs -o mode=1777 none {place}" for place in (work, tmp, data, "/dev/shm")
        )
        if scratch:
            mounts += f"; mount -t tmpfs -o mode=1777,{scratch} none /dev/shm"
            places = {"CITADEL_SCRATCH": "/dev/shm", "FROM_IMAGE": "yes"}
        mounts += "; if [ -d /dev/mqueue ]; then mount -t tmpfs -o mode=1777 none /dev/mqueue; fi"
        drop, user = "", ["--user", "--map-root-user"]
        if os.geteuid() == 0:
            drop = "setpriv --reuid=65533 --regid=65533 --clear-groups --no-new-privs --bounding-set=-all"
            user = []
        main = await asyncio.create_subprocess_exec(
            *["unshare", *user, "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--ipc"],
            *["sh", "-ec", f'{mounts}; exec {drop} "$@"', "sh", str(self.binaries / "shim"), *command],
            env=environment | places,
        )
        sandbox = Sandbox(runner, main)
        self.sandboxes.append(sandbox)
        return sandbox

    async def language(self, name: str, scratch: str = "") -> Sandbox:
        """A sandbox of a language's runtime, as a pod of it starts; `container` has none."""
        await asyncio.to_thread(prepare, name, self.binaries)
        return await self.start(*self.command(name), scratch=scratch)

    def command(self, name: str) -> list[str]:
        """The command of a harness as it is on this machine."""
        words = [word.replace(f"{SHIM_DIR}/", f"{self.binaries}/") for word in HARNESS.get(name, ())]
        return [interpreter() if word == "python3" else word for word in words]

    async def python(self) -> Sandbox:
        """A sandbox of the runtime python."""
        return await self.language("python")

    async def end(self) -> None:
        for sandbox in self.sandboxes:
            with contextlib.suppress(OSError):
                sandbox.kill_shim()
            for process in (sandbox.runner, sandbox.main):
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await self.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def opened(binaries: Path, tls: tuple[ssl.SSLContext, str]) -> AsyncIterator[Site]:
    """A site while it is needed."""
    made = Site(binaries, tls)
    await made.open()
    try:
        yield made
    finally:
        await made.end()


@pytest.fixture(scope="session")
def builds(binaries: Path, tls: tuple[ssl.SSLContext, str]) -> Builds:
    """Programs of compiled languages, each built once."""
    return Builds(lambda: opened(binaries, tls))


@pytest.fixture
async def site(binaries: Path, tls: tuple[ssl.SSLContext, str], builds: Builds) -> AsyncIterator[Site]:
    async with opened(binaries, tls) as made:
        made.gateway.build = builds.build
        yield made


@pytest.fixture
async def python(site: Site) -> Gateway:
    """The gateway of one sandbox of the runtime python."""
    await site.language("python")
    return site.gateway


@pytest.fixture
async def javascript(site: Site) -> Gateway:
    """The gateway of one sandbox of the runtime javascript."""
    await site.language("javascript")
    return site.gateway


@pytest.fixture
async def container(site: Site) -> Gateway:
    """The gateway of one sandbox for container steps."""
    await site.language("container")
    return site.gateway
