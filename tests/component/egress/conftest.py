"""One world for all tests here; commands go to it one after another."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from component.postgres import PostgresServer


class Remote:
    """The world, which is another process in another network."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, name: str, *arguments: Any, **fields: Any) -> Any:
        """Does something there; see `World`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, arguments, fields]) + "\n")
        self._process.stdin.flush()
        return self.answer()["answer"]

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the world has ended"
        told: dict[str, Any] = json.loads(line)
        assert "error" not in told, told
        return told


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, migrated: str
) -> Iterator[Remote]:
    """A network of its own with a gateway, a proxy, and the internet."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    folder = tmp_path_factory.mktemp("world")
    database = postgres_server.create_database(migrated)
    url = postgres_server.socket_url(database)
    tests = str(Path(__file__).parents[2])
    path = os.pathsep.join(entry for entry in (tests, os.environ.get("PYTHONPATH", "")) if entry)
    with subprocess.Popen(
        [
            "unshare",
            *user,
            "--net",
            "--mount",
            sys.executable,
            "-m",
            "component.egress.world",
            str(folder),
            url,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    ) as process:
        made = Remote(process)
        made.answer()
        yield made
        process.stdin.close()  # type: ignore[union-attr]
        process.wait(20)
    postgres_server.drop_database(database)
