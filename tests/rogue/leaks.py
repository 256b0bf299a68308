"""Looks for keys wherever Citadel writes: its database, its logs, its objects and their events."""

import json
from collections.abc import Iterator

from live import SYSTEM, Cluster, kubectl
from rogue.credentials import HELD, OPEN, forms

#: What stands in an installation for a quarter of an hour is of this test.
SINCE = "15m"
_KINDS = "executions,workflows,agents,tools,models,approvals,events"


def found_in(cluster: Cluster) -> dict[str, list[str]]:
    """The places where each key was found, in whatever form."""
    texts = {"objects": kubectl("get", _KINDS, "-n", cluster.namespace, "-o", "json"), **_logs()}
    found: dict[str, list[str]] = {}
    for key in (HELD, OPEN):
        found[key] = [name for name, text in texts.items() if any(form in text for form in forms(key))]
        found[key] += ["database"] if _stored(key) else []
    return found


def _logs() -> dict[str, str]:
    pods = json.loads(kubectl("get", "pods", "-n", SYSTEM, "-o", "json"))["items"]
    names = [pod["metadata"]["name"] for pod in pods]
    which = ("--all-containers", f"--since={SINCE}")
    return {f"logs of {name}": kubectl("logs", "-n", SYSTEM, name, *which, check=False) for name in names}


def _stored(key: str) -> int:
    """How many lines of the database hold a key."""
    wanted = " ".join(f"-e '{form}'" for form in _written(key))
    script = (
        "PGPASSWORD=$(cat $POSTGRES_PASSWORD_FILE) pg_dump -h /tmp -U postgres citadel"
        f" | grep -c -i -F {wanted} || true"
    )
    return int(
        kubectl("-n", SYSTEM, "exec", "citadel-postgres-0", "--", "bash", "-o", "pipefail", "-c", script)
    )


def _written(key: str) -> Iterator[str]:
    """As text, and as the dump shows bytes."""
    for form in forms(key):
        yield from (form, form.encode().hex())
