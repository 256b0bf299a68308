"""Where bearer tokens come from: a fixed string, a file that is rotated, or an exec plugin.

Must never log or print a token, and never keep a private key on disk longer than loading it takes.
"""

import asyncio
import json
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from citadel.kube.errors import ConfigError

_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_EXEC_TIMEOUT = 120.0  # seconds: plugins may open a browser
_EXPIRY_MARGIN = timedelta(seconds=30)


class Credentials(Protocol):
    """A source of bearer tokens."""

    async def token(self) -> str | None:
        """The token for the next request; None when the client certificate alone identifies us."""

    def expire(self) -> bool:
        """Forget what is cached, after a 401; True when the next token may be another one."""


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A token written in the configuration, or none at all."""

    value: str | None = field(default=None, repr=False)

    async def token(self) -> str | None:
        return self.value

    def expire(self) -> bool:
        return False


class FileToken:
    """A token in a file that somebody rotates, as the kubelet does; read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    async def token(self) -> str | None:
        try:
            # One stat of a memory file system per request costs microseconds; projected tokens change by
            # symlink, which stat follows.
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                self._token = self._path.read_text().strip()
                self._seen = seen
        except OSError as error:
            raise ConfigError(f"token file {self._path}: {error.strerror or error}") from error
        if not self._token:
            raise ConfigError(f"token file {self._path}: empty, expected a token")
        return self._token

    def expire(self) -> bool:
        known, self._seen = self._seen, None
        return known is not None


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """The `exec` entry of a kubeconfig user: how to start the plugin."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    api_version: str = _EXEC_VERSIONS[0]
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.api_version not in _EXEC_VERSIONS:
            expected = " or ".join(_EXEC_VERSIONS)
            raise ConfigError(
                f"exec plugin {self.command}: apiVersion {self.api_version!r}, expected {expected}"
            )


class ExecToken:
    """Tokens and client certificates from an exec plugin, cached until they expire (less 30 s)."""

    def __init__(
        self,
        plugin: ExecPlugin,
        tls: ssl.SSLContext | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._plugin = plugin
        self._tls = tls
        self._now = now
        self._lock = asyncio.Lock()
        self._fresh = False
        self._token: str | None = None
        self._until: datetime | None = None

    async def token(self) -> str | None:
        async with self._lock:
            if not self._fresh or (self._until is not None and self._now() >= self._until):
                self._take(parse_exec_credential(self._plugin, await self._run()))
            return self._token

    def expire(self) -> bool:
        known, self._fresh = self._fresh, False
        return known

    def _take(self, status: Mapping[str, Any]) -> None:
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        if certificate and key and self._tls is not None:
            load_client_certificate(self._tls, str(certificate), str(key))
        self._token = str(status["token"]) if status.get("token") else None
        expires = status.get("expirationTimestamp")
        self._until = parse_time(str(expires)) - _EXPIRY_MARGIN if expires else None
        self._fresh = True

    async def _run(self) -> bytes:
        plugin = self._plugin
        spec: dict[str, Any] = {"interactive": False}
        if plugin.cluster is not None:
            spec["cluster"] = dict(plugin.cluster)
        info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
        env = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": json.dumps(info)}
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command,
                *plugin.args,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = f" {plugin.install_hint}" if plugin.install_hint else ""
            raise ConfigError(f"exec plugin {plugin.command}: {error.strerror or error}.{hint}") from error
        try:
            async with asyncio.timeout(_EXEC_TIMEOUT):
                out, _ = await process.communicate()
        except TimeoutError as error:
            raise ConfigError(f"exec plugin {plugin.command}: no answer in {_EXEC_TIMEOUT:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise ConfigError(f"exec plugin {plugin.command}: exit code {process.returncode}")
        return out


def parse_exec_credential(plugin: ExecPlugin, out: bytes) -> Mapping[str, Any]:
    """The `status` of the ExecCredential that a plugin printed; a ConfigError never repeats the output."""
    try:
        found = json.loads(out)
    except ValueError as error:
        raise ConfigError(f"exec plugin {plugin.command}: output is not JSON") from error
    if not isinstance(found, dict) or found.get("kind") != "ExecCredential":
        raise ConfigError(f"exec plugin {plugin.command}: expected an ExecCredential object")
    if found.get("apiVersion") != plugin.api_version:
        told = found.get("apiVersion")
        raise ConfigError(
            f"exec plugin {plugin.command}: apiVersion {told!r}, expected {plugin.api_version!r}"
        )
    status = found.get("status")
    if not isinstance(status, dict) or not (status.get("token") or status.get("clientCertificateData")):
        raise ConfigError(
            f"exec plugin {plugin.command}: neither token nor clientCertificateData in its status"
        )
    return status


def parse_time(text: str) -> datetime:
    """A Kubernetes timestamp (RFC 3339) as an aware datetime; raises ConfigError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"not a timestamp: {text!r}, expected RFC 3339") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def load_client_certificate(tls: ssl.SSLContext, certificate: str, key: str) -> None:
    """Put a PEM certificate and key into the context.

    OpenSSL's loader wants files: they exist for the length of this call, readable by us alone.
    """
    with tempfile.TemporaryDirectory(prefix="citadel-") as folder:
        paths = Path(folder, "certificate"), Path(folder, "key")
        for path, text in zip(paths, (certificate, key), strict=True):
            path.touch(mode=0o600)
            path.write_text(text)
        try:
            tls.load_cert_chain(*paths)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"client certificate: {error}") from error
