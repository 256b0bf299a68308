"""What keeps steps on this machine from its user's files, its processes and its network, and what says so."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commandline import python_step

Write = Callable[..., str]
Citadel = Callable[..., Any]

LOOKS = """
import os, pathlib, socket
def main(secret, home, pid, port):
    found = {"secret": os.path.exists(secret), "home": len(os.listdir(home)) if os.path.isdir(home) else 0}
    found["processes"] = os.path.exists(f"/proc/{pid}")
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        found["network"] = True
    except OSError:
        found["network"] = False
    for place in ("/usr/local/mine", "/etc/mine", "/mine"):
        try:
            pathlib.Path(place).write_text("x")
            found[place] = True
        except OSError:
            pass
    pathlib.Path("here").write_text("x")
    pathlib.Path(os.environ["TMPDIR"], "there").write_text("x")
    return found
"""
HELD = {"secret": False, "home": 0, "processes": False, "network": False}


@pytest.fixture
def port() -> Iterator[int]:
    """Something of this machine that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=[server], daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket) -> None:
    try:
        while True:
            server.accept()[0].close()
    except OSError:
        return


@pytest.fixture
def looks(citadel: Citadel, workflow: Write, tmp_path: Path, port: int) -> Callable[..., Any]:
    """Runs a step that looks at all that it can reach."""
    secret, home = tmp_path / "secret", tmp_path / "home"
    secret.write_text("x")
    (home / ".ssh").mkdir(parents=True)

    def run(kept: str, *more: str, **env: str) -> Any:
        given = {"secret": str(secret), "home": str(home), "pid": os.getpid(), "port": port}
        file = workflow(python_step("a", LOOKS, *more, **given), spec='outputs: {found: "${steps.a.output}"}')
        return citadel("run", "--local", "--isolation", kept, file, **{"HOME": str(home), **env})

    return run


def test_a_step_sees_neither_files_nor_processes_nor_network(looks: Callable[..., Any]) -> None:
    for kept in ("bubblewrap", "auto"):
        done = looks(kept)
        assert (done.code, done.outputs["found"]) == (0, HELD), done.stderr
        told = "isolation: bubblewrap (own files and processes, no network); memory and processor are not "
        assert done.stderr.splitlines()[0] == f"{told}limited"


def test_without_isolation_it_sees_all_of_that(looks: Callable[..., Any]) -> None:
    done = looks("none")
    assert done.code == 0, done.stderr
    assert (
        done.outputs["found"].items()
        >= {"secret": True, "home": 1, "processes": True, "network": True}.items()
    )
    assert done.stderr.startswith(
        "isolation: none: --isolation none; steps run as you, and can do what you can\n"
    )


def test_a_step_with_egress_has_the_network_and_the_run_says_so(looks: Callable[..., Any]) -> None:
    done = looks("bubblewrap", 'network: {egress: ["example.com:443"]}')
    assert (done.code, done.outputs["found"]) == (0, {**HELD, "network": True}), done.stderr
    assert (
        "no network but for steps with network.egress, which reach all of it" in done.stderr.splitlines()[0]
    )


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (None, "bubblewrap is not installed"),
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "No permissions to create"),
    ],
)
def test_where_bubblewrap_does_not_work_that_is_said_or_refused(
    looks: Callable[..., Any], tmp_path: Path, script: str | None, why: str
) -> None:
    (tmp_path / "bin").mkdir()
    if script is not None:
        (tmp_path / "bin/bwrap").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin/bwrap").chmod(0o755)
    done = looks("auto", PATH=str(tmp_path / "bin"))
    assert done.code == 0, done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith("isolation: none: ")
    assert why in first
    done = looks("bubblewrap", PATH=str(tmp_path / "bin"))
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("citadel: --isolation bubblewrap: ")
    assert why in done.stderr
    assert done.stderr.rstrip().endswith("or choose --isolation none")


def test_what_isolates_runs_here_is_no_matter_of_a_cluster(citadel: Citadel, workflow: Write) -> None:
    done = citadel("run", "--isolation", "none", workflow(python_step("a", "main = dict")))
    assert done.code == 2
    assert "--isolation goes with --local" in done.stderr
