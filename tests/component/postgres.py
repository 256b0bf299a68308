"""A private Postgres server for tests: started from the installed binaries, gone with the tests."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql

START_SECONDS = 60.0


def find_binaries() -> Path:
    """The folder of the newest installed server; raises LookupError with what to install."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda file: int(file.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    if on_path:
        return Path(on_path).parent
    raise LookupError("no Postgres server found: install the package postgresql (apt-get install postgresql)")


def unprivileged_user() -> str | None:
    """Whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class PostgresServer:
    """One server with its own data, on a free loopback port. It commits for real: fsync is on."""

    def __init__(self) -> None:
        self._binaries = find_binaries()
        self._user = unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix="citadel-pg-"))
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        arguments = ("-D", "data", "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        initdb = [str(self._binaries / "initdb"), *arguments]
        subprocess.run(initdb, check=True, capture_output=True, **self._as_user())

    def _as_user(self) -> dict[str, object]:
        return {"cwd": self._folder, "user": self._user, "extra_groups": [] if self._user else None}

    def url(self, database: str = "postgres", user: str = "owner", password: str = "") -> str:
        """The URL of a database on this server."""
        login = f"{user}:{password}" if password else user
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str) -> str:
        """The URL of a database for processes in another network: by the server's socket."""
        return f"postgresql://owner@/{database}?host={self._folder}&port={self.port}"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        options = ("-p", str(self.port), "-k", str(self._folder), "-c", "listen_addresses=127.0.0.1")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", "data", *options],
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stops the server; its clients lose their connections at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_SECONDS)
            self._process = None

    def remove(self) -> None:
        """Stops the server and deletes its data."""
        self.stop()
        shutil.rmtree(self._folder)

    def create_database(self, template: str | None = None) -> str:
        """Creates a database, as a copy of `template` if given; returns its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        query = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(query.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        return name

    def drop_database(self, name: str) -> None:
        """Drops a database, whoever is connected."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
