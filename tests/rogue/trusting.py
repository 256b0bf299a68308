"""Servers of the test are believed by the processes that call out, for as long as they are asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from citadel.controller.certificates import CA_LIFETIME, Identity, issue, new_authority
from live import SYSTEM, kubectl

#: What calls out with keys.
PROCESSES = ("tools", "models")
#: How long a process believes the test's authority that is left running.
HOURS = 3


def certificate(names: Sequence[str]) -> tuple[str, str]:
    """An authority of the test's own, and key with certificate of a server; all PEM."""
    now = datetime.now(UTC)
    authority = new_authority("rogue", now - CA_LIFETIME + timedelta(hours=HOURS))
    pair = issue(authority, Identity(list(names)), now)
    return authority.certificate.decode(), (pair.key + pair.certificate).decode()


@asynccontextmanager
async def trusted(authority: str) -> AsyncIterator[None]:
    """The installation believes this authority too, beside those that it has; afterwards it is as it was."""
    volume = '{.spec.template.spec.volumes[?(@.name=="trust")].configMap.name}'
    name = kubectl("get", "deployment", "citadel-tools", "-n", SYSTEM, "-o", f"jsonpath={volume}")
    found = kubectl("get", "configmap", name, "-n", SYSTEM, "-o", "json", "--ignore-not-found")
    before = json.loads(found) if found else None
    data = dict(before["data"]) if before else {}
    data["ca.crt"] = data.get("ca.crt", "") + authority
    await asyncio.to_thread(_write, name, {**(before or {}), "data": data})
    try:
        # A file that was not there comes within minutes, to a process that has begun; to a new one at once.
        await asyncio.to_thread(_begin_anew)
        yield
    finally:
        await asyncio.to_thread(_write, name, before)


def _write(name: str, found: dict[str, Any] | None) -> None:
    kubectl("delete", "configmap", name, "-n", SYSTEM, "--ignore-not-found")
    if found is not None:
        kept = found.get("metadata", {})
        metadata = {"name": name, **{key: kept[key] for key in ("labels", "annotations") if key in kept}}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": found["data"]}
        kubectl("create", "-n", SYSTEM, "-f", "-", stdin=json.dumps(body))


def _begin_anew() -> None:
    kubectl("delete", "pod", "-n", SYSTEM, "-l", f"app.kubernetes.io/component in ({','.join(PROCESSES)})")
    for name in PROCESSES:
        kubectl("rollout", "status", f"deployment/citadel-{name}", "-n", SYSTEM, "--timeout=90s")
