"""A private Redis for tests: the entry point of our image with the installed server, gone with the tests."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ENTRYPOINT = Path(__file__).parents[2] / "images" / "redis" / "entrypoint.sh"
PASSWORD = "pass-word-0123456789"
START_SECONDS = 30.0


class RedisServer:
    """One server on a free loopback port."""

    def __init__(self) -> None:
        if shutil.which("redis-server") is None:
            raise LookupError("no Redis found: install the package redis-server")
        self._folder = Path(tempfile.mkdtemp(prefix="citadel-redis-"))
        (self._folder / "password").write_text(PASSWORD)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        env = {**os.environ, "REDIS_PASSWORD_FILE": str(self._folder / "password"), "REDIS_MEMORY": "16mb"}
        command = [str(ENTRYPOINT), "--port", str(self.port), "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(command, env=env, cwd=self._folder, stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Ends it, and leaves nothing."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
