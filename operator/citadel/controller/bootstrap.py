"""What is made once for an installation: CA, certificates, passwords of the bundled database.

The chart brings Secrets and a ConfigMap without content, so that Helm owns them and nothing in a template
is random; this fills them, before the controller starts and from time to time after that. Filling is guarded
by the object's resourceVersion: of two replicas one wins, the other takes what it finds. Must never replace a
password that exists, and never log what it makes.
"""

import asyncio
import logging
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from nacl.public import PrivateKey

from citadel.controller.certificates import (
    Identity,
    KeyPair,
    issue,
    new_authority,
    why_new_authority,
    why_new_certificate,
)
from citadel.kube.client import KubeClient
from citadel.kube.config import in_cluster
from citadel.kube.errors import ApiError, ConfigError, Conflict
from citadel.kube.resources import CONFIGMAPS, SECRETS, SERVICES, Object

log = logging.getLogger(__name__)

#: Roles of the database with a password each; `postgres` is the superuser, used by `migrate` alone.
SUPERUSER = "postgres"
ROLES = ("controller", "gateway", "models", "tools", "api")

#: Seconds between two looks at the certificates.
RENEW_SECONDS = 12 * 3600.0
_PATIENCE = 60.0  # seconds: rights and objects of an installation do not all appear in the same moment
_PAUSE = 0.5


@dataclass(frozen=True)
class Installation:
    """Names of one installation, as the chart gives them."""

    name: str
    """What the names of the chart's objects begin with."""
    namespace: str
    gateway_service: str
    api_service: str
    egress_service: str
    models_service: str
    cluster_domain: str
    bundled_database: bool
    folder: Path
    """Where the controller pod's other containers find what they need."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Installation":
        """Reads the environment that the chart sets; what is missing gets the chart's defaults."""
        name = env.get("CITADEL_NAME", "citadel")
        return cls(
            name=name,
            namespace=env.get("CITADEL_NAMESPACE", "citadel-system"),
            gateway_service=env.get("CITADEL_GATEWAY_SERVICE", f"{name}-gateway"),
            api_service=env.get("CITADEL_API_SERVICE", f"{name}-api"),
            egress_service=env.get("CITADEL_EGRESS_SERVICE", f"{name}-egress"),
            models_service=env.get("CITADEL_MODELS_SERVICE", f"{name}-models"),
            cluster_domain=env.get("CITADEL_CLUSTER_DOMAIN", "cluster.local"),
            bundled_database=env.get("CITADEL_DATABASE_BUNDLED", "false") == "true",
            folder=Path(env.get("CITADEL_BOOTSTRAP_DIR", "/var/run/citadel/bootstrap")),
        )


@dataclass(frozen=True)
class Prepared:
    """What an installation has once it is prepared."""

    ca: bytes
    passwords: Mapping[str, bytes] = field(repr=False)
    """By database role; empty where the database is not ours."""


Fill = Callable[[Mapping[str, bytes]], Mapping[str, bytes] | None]
"""From a Secret's content to what must be set in it, None when it is good."""


async def prepare(kube: KubeClient, installation: Installation, now: datetime) -> Prepared:
    """Makes what is missing or about to expire; returns what there is then. Raises ApiError."""
    name = installation.name

    def authority_data(data: Mapping[str, bytes]) -> Mapping[str, bytes] | None:
        reason = why_new_authority(_pair(data), now) if data else "there is none yet"
        if reason is None:
            return None
        log.info("CA of %s is made: %s", name, reason)
        return _data(new_authority(name, now))

    authority = _pair(await _fill_secret(kube, installation, f"{name}-ca", authority_data))
    await _publish(kube, installation, authority.certificate)
    services = {
        "gateway": installation.gateway_service,
        "api": installation.api_service,
        "egress": installation.egress_service,
        "models": installation.models_service,
    }
    for component, service in services.items():
        identity = await _identity(kube, installation, service)
        # The gateway answers the egress proxy, and knows it by its certificate.
        identity = replace(identity, is_client=component == "egress")
        await _fill_secret(
            kube, installation, f"{name}-{component}-tls", _server_fill(authority, identity, now)
        )
    for component in ("models", "tools"):
        await _fill_secret(kube, installation, f"{name}-{component}-key", _box_fill(authority, component))
    passwords: Mapping[str, bytes] = {}
    if installation.bundled_database:
        passwords = await _fill_secret(kube, installation, f"{name}-database", _password_fill)
    return Prepared(authority.certificate, passwords)


def _server_fill(authority: KeyPair, identity: Identity, now: datetime) -> Fill:
    def fill(data: Mapping[str, bytes]) -> Mapping[str, bytes] | None:
        reason = "there is none yet"
        if data:
            found = why_new_certificate(_pair(data), authority, identity, now)
            if found is None and data.get("ca.crt") == authority.certificate:
                return None
            reason = found or "the CA is another one"
        log.info("certificate of %s is made: %s", identity.subject, reason)
        return {**_data(issue(authority, identity, now)), "ca.crt": authority.certificate}

    return fill


def _box_fill(authority: KeyPair, component: str) -> Fill:
    """The key pair of a process, to which credentials are sealed, and the CA that it trusts."""

    def fill(data: Mapping[str, bytes]) -> Mapping[str, bytes] | None:
        wanted = {"ca.crt": authority.certificate}
        if not data.get("private") or not data.get("public"):
            log.info("the key of %s is made", component)
            key = PrivateKey.generate()
            wanted |= {"private": b64encode(bytes(key)), "public": b64encode(bytes(key.public_key))}
        if component == "models" and not data.get("redis"):
            # Of the place where it keeps answers, where there is one.
            wanted["redis"] = secrets.token_urlsafe(32).encode()
        return wanted if any(data.get(name) != value for name, value in wanted.items()) else None

    return fill


def _password_fill(data: Mapping[str, bytes]) -> Mapping[str, bytes] | None:
    missing = [role for role in (SUPERUSER, *ROLES) if not data.get(role)]
    if not missing:
        return None
    log.info("database passwords are made: %s", ", ".join(missing))
    return {role: secrets.token_urlsafe(32).encode() for role in missing}


async def _identity(kube: KubeClient, installation: Installation, service: str) -> Identity:
    """The names of a Service, and its cluster addresses: sandboxes have no DNS."""
    found = await kube.get(SERVICES, service, installation.namespace)
    spec = found.get("spec") or {}
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    inside = f"{service}.{installation.namespace}.svc"
    names = [
        service,
        f"{service}.{installation.namespace}",
        inside,
        f"{inside}.{installation.cluster_domain}",
        "localhost",
    ]
    return Identity(names, [address for address in addresses if address and address != "None"])


async def _fill_secret(
    kube: KubeClient, installation: Installation, name: str, fill: Fill
) -> Mapping[str, bytes]:
    """Sets what `fill` says, if nobody else changed the Secret meanwhile; returns its content."""
    while True:
        secret = await kube.get(SECRETS, name, installation.namespace)
        data = _decoded(secret.get("data") or {})
        wanted = fill(data)
        if wanted is None:
            return data
        body: Object = {
            "metadata": {"resourceVersion": secret["metadata"]["resourceVersion"]},
            "data": {key: b64encode(value).decode() for key, value in wanted.items()},
        }
        try:
            await kube.patch(SECRETS, name, body, installation.namespace)
        except Conflict:
            continue  # the other replica was first: take what it made
        return {**data, **wanted}


async def _publish(kube: KubeClient, installation: Installation, ca: bytes) -> None:
    """The CA's certificate where people's clients may read it."""
    name = f"{installation.name}-ca"
    here = await kube.get(CONFIGMAPS, name, installation.namespace)
    if (here.get("data") or {}).get("ca.crt") != ca.decode():
        await kube.patch(CONFIGMAPS, name, {"data": {"ca.crt": ca.decode()}}, installation.namespace)


def _decoded(data: Mapping[str, str]) -> dict[str, bytes]:
    return {key: b64decode(value) for key, value in data.items()}


def _pair(data: Mapping[str, bytes]) -> KeyPair:
    return KeyPair(data.get("tls.crt", b""), data.get("tls.key", b""))


def _data(pair: KeyPair) -> dict[str, bytes]:
    return {"tls.crt": pair.certificate, "tls.key": pair.key}


def write_files(prepared: Prepared, folder: Path) -> None:
    """Hands on what the pod's other containers need: `controller/` the controller, `migrate` the whole."""
    files: dict[str, bytes] = {"controller/ca.crt": prepared.ca}
    if prepared.passwords:
        files["superuser"] = prepared.passwords[SUPERUSER]
        files["controller/database-password"] = prepared.passwords["controller"]
        files.update({f"roles/{role}": prepared.passwords[role] for role in ROLES})
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)


async def patiently(
    work: Callable[[], Awaitable[Prepared]],
    pauses: Sequence[float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Prepared:
    """Does `work`, after each failure once more, with these pauses (seconds); raises the last ApiError."""
    for pause in pauses:
        try:
            return await work()
        except ApiError as error:
            log.warning("not yet: %s", error)
        await sleep(pause)
    return await work()


async def keep_prepared(kube: KubeClient, installation: Installation) -> None:
    """One round of renewing certificates before they expire, for the controller that leads."""
    await asyncio.sleep(RENEW_SECONDS)
    await prepare(kube, installation, datetime.now(UTC))


async def _main(installation: Installation) -> None:
    async with KubeClient(in_cluster(), user_agent="citadel-bootstrap") as kube:
        pauses = [_PAUSE] * int(_PATIENCE / _PAUSE)
        prepared = await patiently(lambda: prepare(kube, installation, datetime.now(UTC)), pauses)
    write_files(prepared, installation.folder)
    log.info("prepared %s in namespace %s", installation.name, installation.namespace)


def run() -> None:
    """The process `bootstrap`; ends with a message that names the object in the way."""
    try:
        asyncio.run(_main(Installation.from_env()))
    except (ApiError, ConfigError) as error:
        raise SystemExit(f"bootstrap: {error}") from None
