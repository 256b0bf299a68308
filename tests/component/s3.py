"""An S3 server of its own for tests: versitygw over a folder. `hack/cluster/build versitygw` builds it."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from citadel.settings import S3Settings

BUCKET = "citadel"


def server() -> Path:
    """The program; `make unit` builds it."""
    place = os.environ.get("CITADEL_CLUSTER_DIR", "~/.cache/citadel/cluster")
    found = Path(place).expanduser() / "bin" / "versitygw"
    assert found.exists(), f"{found} is not there: run hack/cluster/build versitygw"
    return found


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Settings]:
    """A server with one bucket, whose objects lie in the folder `objects`."""
    for name in ("objects", f"objects/{BUCKET}", "metadata"):
        (folder / name).mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    settings = S3Settings(f"http://127.0.0.1:{port}", BUCKET, "us-east-1", "user", "secret-secret")
    command = [server(), "--port", f"127.0.0.1:{port}", "--quiet", "posix", "--sidecar", folder / "metadata"]
    keys = {"ROOT_ACCESS_KEY": settings.access_key, "ROOT_SECRET_KEY": settings.secret_key}
    running = subprocess.Popen([*command, folder / "objects"], env=os.environ | keys)
    try:
        _await(port, running)
        yield settings
    finally:
        running.kill()
        running.wait()


def _await(port: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert running.poll() is None, f"the S3 server ended with {running.returncode}"
            assert time.monotonic() < deadline, "the S3 server does not listen"
            time.sleep(0.02)
        else:
            return
