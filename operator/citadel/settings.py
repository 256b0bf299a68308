"""Configuration of Citadel's processes, all of it from the environment; the chart sets every variable."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from citadel.api.egress import is_host
from citadel.api.packages import ECOSYSTEMS
from citadel.render.packages import Indexes


class InvalidSettings(ValueError):
    """A variable is missing or malformed; the message names it."""


def _get(env: Mapping[str, str], name: str, default: str | None = None) -> str:
    value = env.get(name, default)
    if value is None:
        raise InvalidSettings(f"environment variable {name} is not set")
    return value


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    found = env.get(name, str(default))
    if not found.isdigit():
        raise InvalidSettings(f"environment variable {name}: found {found!r}, expected a whole number")
    return int(found)


def _object(env: Mapping[str, str], name: str) -> dict[str, Any]:
    found = env.get(name) or "{}"
    try:
        value = json.loads(found)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidSettings(f"environment variable {name}: found {found!r}, expected a JSON object")
    return value


def _text(env: Mapping[str, str], name: str) -> str:
    path = env.get(name)
    return Path(path).read_text() if path else ""


def _indexes(env: Mapping[str, str]) -> Indexes:
    urls = {}
    for ecosystem in ECOSYSTEMS.values():
        name = f"CITADEL_PACKAGE_INDEX_{ecosystem.upper()}"
        if url := env.get(name):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not is_host(parts.hostname or "") or parts.username:
                raise InvalidSettings(
                    f"environment variable {name}: found {url!r}, expected http or https, and the full name "
                    "of a host: addresses and credentials cannot stand there"
                )
            urls[ecosystem] = url
    return Indexes(urls, env.get("CITADEL_PACKAGE_CA", ""))


def database_url(env: Mapping[str, str]) -> str:
    """CITADEL_DATABASE_URL, with the password of CITADEL_DATABASE_PASSWORD_FILE if that is set."""
    url = _get(env, "CITADEL_DATABASE_URL")
    password_file = env.get("CITADEL_DATABASE_PASSWORD_FILE")
    if not password_file:
        return url
    parts = urlsplit(url)
    password = quote(Path(password_file).read_text().strip(), safe="")
    location = f"{parts.username}:{password}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=location))


@dataclass(frozen=True)
class S3Settings:
    """S3-compatible storage: where it is, and by which credentials it is used."""

    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str


def _s3(env: Mapping[str, str]) -> S3Settings | None:
    """CITADEL_S3_ENDPOINT and what belongs to it; the credentials are files of CITADEL_S3_CREDENTIALS_DIR."""
    endpoint = env.get("CITADEL_S3_ENDPOINT")
    if not endpoint:
        return None
    folder = Path(_get(env, "CITADEL_S3_CREDENTIALS_DIR"))
    keys = []
    for name in ("accessKeyId", "secretAccessKey"):
        file = folder / name
        if not file.is_file():
            raise InvalidSettings(f"{file}: expected the {name} of the credentials for {endpoint}")
        keys.append(file.read_text().strip())
    bucket, region = _get(env, "CITADEL_S3_BUCKET"), _get(env, "CITADEL_S3_REGION", "us-east-1")
    return S3Settings(endpoint, bucket, region, *keys)


@dataclass(frozen=True)
class EgressSettings:
    """What the egress proxy needs to know: it has neither a database nor the cluster."""

    tls_dir: Path
    """Folder with tls.crt, tls.key and ca.crt, for its server and towards the gateway."""
    port: int
    health_port: int
    gateway: str
    """Base URL of what the gateway answers the proxy alone."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "EgressSettings":
        """Reads the environment; raises InvalidSettings."""
        return cls(
            tls_dir=Path(_get(env, "CITADEL_TLS_DIR", "/var/run/citadel/tls")),
            port=_integer(env, "CITADEL_PORT", 8443),
            health_port=_integer(env, "CITADEL_HEALTH_PORT", 8080),
            gateway=_get(env, "CITADEL_GATEWAY_INTERNAL").removesuffix("/"),
        )


@dataclass(frozen=True)
class RedisSettings:
    """Where answers of models are kept."""

    host: str
    port: int
    password_file: Path


def _trust(env: Mapping[str, str]) -> Path | None:
    return Path(env["CITADEL_TRUST_FILE"]) if env.get("CITADEL_TRUST_FILE") else None


def _redis(env: Mapping[str, str]) -> RedisSettings | None:
    if not env.get("CITADEL_REDIS_HOST"):
        return None
    file = Path(_get(env, "CITADEL_REDIS_PASSWORD_FILE"))
    return RedisSettings(_get(env, "CITADEL_REDIS_HOST"), _integer(env, "CITADEL_REDIS_PORT", 6379), file)


@dataclass(frozen=True)
class CallerSettings:
    """What a process needs to know that asks servers beyond: it has the database and the egress proxy, and
    nothing else."""

    database_url: str
    key_file: Path
    """File with the private key to which credentials are sealed, as base64."""
    ca_file: Path
    """PEM of the CA that signed the egress proxy's certificate."""
    egress_host: str
    egress_port: int
    health_port: int
    trust_file: Path | None
    """PEM of authorities of one's own, which certificates of servers may be signed by; it may be absent."""

    @staticmethod
    def common(env: Mapping[str, str], key: str) -> dict[str, Any]:
        """What all of them read, `key` naming the variable of the key's file; raises InvalidSettings."""
        return {
            "database_url": database_url(env),
            "key_file": Path(_get(env, key)),
            "ca_file": Path(_get(env, "CITADEL_CA_FILE")),
            "egress_host": _get(env, "CITADEL_EGRESS_HOST"),
            "egress_port": _integer(env, "CITADEL_EGRESS_PORT", 443),
            "health_port": _integer(env, "CITADEL_HEALTH_PORT", 8080),
            "trust_file": _trust(env),
        }


@dataclass(frozen=True)
class ModelSettings(CallerSettings):
    """Those of the model gateway."""

    tls_dir: Path
    """Folder with tls.crt and tls.key of its door."""
    port: int
    """Port of its door, where agents ask."""
    redis: RedisSettings | None = None
    """Where answers are kept; None without any such place."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "ModelSettings":
        """Reads the environment; raises InvalidSettings."""
        return cls(
            **cls.common(env, "CITADEL_MODELS_KEY_FILE"),
            tls_dir=Path(_get(env, "CITADEL_TLS_DIR", "/var/run/citadel/tls")),
            port=_integer(env, "CITADEL_PORT", 8444),
            redis=_redis(env),
        )


@dataclass(frozen=True)
class ToolSettings(CallerSettings):
    """Those of the process `tools`."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "ToolSettings":
        """Reads the environment; raises InvalidSettings."""
        return cls(**cls.common(env, "CITADEL_TOOLS_KEY_FILE"))


@dataclass(frozen=True)
class Settings:
    """What a process needs to know. Durations are seconds."""

    database_url: str
    namespace: str
    """Namespace of the release."""
    sandbox_namespace: str
    """Namespace of the sandbox pods."""
    pod_name: str
    pod_uid: str
    tls_dir: Path
    """Folder with tls.crt, tls.key and ca.crt of this process (gateway, api)."""
    tripwire_port: int
    """Port of the gateway that sandboxes try, and must not reach."""
    port: int
    """Port of the process's own service."""
    health_port: int
    """Plain HTTP: /healthz, /readyz, /metrics."""
    gateway_service: str
    """Name of the gateway's Service."""
    internal_port: int
    """Port at which the gateway answers the egress proxy, and nobody else."""
    egress_service: str
    """Name of the egress proxy's Service."""
    models_service: str
    """Name of the model gateway's Service."""
    runner_image: str
    max_sandboxes: int
    """Live sandbox pods in the whole cluster at most."""
    max_sandboxes_per_namespace: int
    """Of those, for the executions of one namespace at most."""
    unschedulable_seconds: int
    """Seconds after which an attempt fails whose sandbox no node takes."""
    retention_days: int
    """Days for which the journal keeps executions that have ended."""
    service_account: str
    """ServiceAccount of this process."""
    ca: str
    """PEM of the CA that signed the gateway's certificate; empty where the process does not need it."""
    runtime_images: Mapping[str, str]
    """Images of the default Runtimes, by name."""
    runtime_pools: Mapping[str, Any]
    """Warm pools of the default Runtimes, by name."""
    runtime_resources: Mapping[str, Any]
    """What their sandboxes ask for, by name."""
    artifact_bytes: int
    """Bytes of one artifact that the database keeps; larger ones go to object storage."""
    s3: S3Settings | None
    """Object storage for larger ones; None without any."""
    name: str = "citadel"
    """What names of the installation's objects begin with."""
    indexes: Indexes = field(default_factory=Indexes)
    """Where packages of Runtimes come from."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Reads the environment; raises InvalidSettings."""
        prefix = "CITADEL_RUNTIME_IMAGE_"
        return cls(
            database_url=database_url(env),
            namespace=_get(env, "CITADEL_NAMESPACE", "citadel-system"),
            sandbox_namespace=_get(env, "CITADEL_SANDBOX_NAMESPACE", "citadel-sandboxes"),
            pod_name=_get(env, "CITADEL_POD_NAME", "local"),
            pod_uid=_get(env, "CITADEL_POD_UID", "local"),
            tls_dir=Path(_get(env, "CITADEL_TLS_DIR", "/var/run/citadel/tls")),
            tripwire_port=_integer(env, "CITADEL_TRIPWIRE_PORT", 8444),
            port=_integer(env, "CITADEL_PORT", 8443),
            health_port=_integer(env, "CITADEL_HEALTH_PORT", 8080),
            gateway_service=_get(env, "CITADEL_GATEWAY_SERVICE", "citadel-gateway"),
            internal_port=_integer(env, "CITADEL_INTERNAL_PORT", 8445),
            egress_service=_get(env, "CITADEL_EGRESS_SERVICE", "citadel-egress"),
            models_service=_get(env, "CITADEL_MODELS_SERVICE", "citadel-models"),
            runner_image=_get(env, "CITADEL_RUNNER_IMAGE", ""),
            max_sandboxes=_integer(env, "CITADEL_MAX_SANDBOXES", 40),
            max_sandboxes_per_namespace=_integer(env, "CITADEL_MAX_SANDBOXES_PER_NAMESPACE", 30),
            unschedulable_seconds=_integer(env, "CITADEL_UNSCHEDULABLE_SECONDS", 600),
            retention_days=_integer(env, "CITADEL_RETENTION_DAYS", 30),
            service_account=_get(env, "CITADEL_SERVICE_ACCOUNT", "citadel-controller"),
            ca=_text(env, "CITADEL_CA_FILE"),
            artifact_bytes=_integer(env, "CITADEL_ARTIFACT_BYTES", 16 * 2**20),
            s3=_s3(env),
            name=_get(env, "CITADEL_NAME", "citadel"),
            indexes=_indexes(env),
            runtime_pools=_object(env, "CITADEL_RUNTIME_POOLS"),
            runtime_resources=_object(env, "CITADEL_RUNTIME_RESOURCES"),
            runtime_images={
                name.removeprefix(prefix).lower(): image
                for name, image in env.items()
                if name.startswith(prefix) and image
            },
        )
