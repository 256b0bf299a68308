"""Values by reference: read where the execution is, sealed to one runner, kept nowhere."""

import asyncio
import base64
import json
from typing import Any

import psycopg
import pytest
from nacl.public import PrivateKey, SealedBox

from build import python_step
from citadel.store.sandboxes import Delivery
from component.controller.cluster import Cluster

KEY = PrivateKey.generate()
PUBLIC = base64.b64encode(bytes(KEY.public_key)).decode()
CORE = "/api/v1/namespaces/team"
SESAME = "open sesame é"


def reference(kind: str = "secretKeyRef", name: str = "db", key: str = "password") -> dict[str, Any]:
    return {"valueFrom": {kind: {"name": name, "key": key}}}


async def store(cluster: Cluster, resource: str, name: str, **data: str) -> None:
    metadata = {"name": name, "namespace": "team"}
    await cluster.api.change("ADDED", f"{CORE}/{resource}/{name}", {"metadata": metadata, "data": data})


async def assigned(cluster: Cluster, key: str = PUBLIC, **arguments: Any) -> str:
    """An execution whose step refers to `arguments`, assigned to its sandbox; returns its uid."""
    await cluster.lead()
    await cluster.define(python_step("a", arguments=arguments))
    uid = await cluster.submit()
    await cluster.register(uid, key)
    return uid


async def sealed(cluster: Cluster, uid: str) -> Delivery:
    row = await cluster.sandbox(uid)
    async with asyncio.timeout(8):
        while True:
            found = await cluster.database.sandboxes.delivery(row.name)
            if found is not None and found.sealed is not None:
                return found
            await asyncio.sleep(0.01)


def opened(box: Any) -> Any:
    return json.loads(SealedBox(KEY).decrypt(base64.b64decode(box["box"])))


async def test_secrets_and_config_maps_are_sealed_to_the_runner(cluster: Cluster) -> None:
    await store(cluster, "secrets", "db", password=base64.b64encode(SESAME.encode()).decode())
    await store(cluster, "configmaps", "sales", csv="a,b\n1,2\n")
    uid = await assigned(cluster, p=reference(), c=reference("configMapKeyRef", "sales", "csv"), n=1)
    found = (await sealed(cluster, uid)).sealed
    assert found is not None
    assert {name: (opened(box), box["secret"]) for name, box in found.items()} == {
        "p": (SESAME, True),
        "c": ("a,b\n1,2\n", False),
    }


async def test_files_are_sealed_as_arguments_are_under_their_paths(cluster: Cluster) -> None:
    await store(cluster, "secrets", "db", password=base64.b64encode(SESAME.encode()).decode())
    await cluster.lead()
    await cluster.define(python_step("a", files={"conf/token": reference(), "plain": "text"}))
    uid = await cluster.submit()
    await cluster.register(uid, PUBLIC)
    found = (await sealed(cluster, uid)).sealed
    assert found is not None
    boxes = {name: (opened(box), box["secret"]) for name, box in found.items()}
    assert boxes == {"/work/conf/token": (SESAME, True)}


async def test_nothing_but_the_box_is_kept(cluster: Cluster, postgres_url: str) -> None:
    encoded = base64.b64encode(SESAME.encode()).decode()
    await store(cluster, "secrets", "db", password=encoded)
    uid = await assigned(cluster, p=reference())
    await sealed(cluster, uid)
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        tables = ("events", "executions", "steps", "sandboxes", "deliveries", "logs", "definitions")
        for table in tables:
            rows = await (await connection.execute(f"SELECT CAST(t AS text) FROM {table} t")).fetchall()
            assert not any(secret in str(rows) for secret in (SESAME, encoded, "sesame"))
        values = await (await connection.execute('SELECT body FROM "values"')).fetchall()
        assert b"sesame" not in b"".join(bytes(body) for (body,) in values)


@pytest.mark.parametrize(
    ("argument", "reason", "says"),
    [
        (reference(name="none"), "SecretNotFound", "Secret none does not exist in namespace team"),
        (reference(key="none"), "SecretNotFound", "Secret db of namespace team has no key none"),
        (reference(key="binary"), "SecretNotFound", "holds binary data"),
        (reference("configMapKeyRef", "none"), "ConfigMapNotFound", "ConfigMap none does not exist"),
        (reference(name="locked"), "SecretForbidden", "--verb=get --resource=secrets --resource-name=locked"),
    ],
)
async def test_what_cannot_be_read_fails_the_attempt_and_says_what_to_do(
    cluster: Cluster, argument: dict[str, Any], reason: str, says: str
) -> None:
    binary = base64.b64encode(b"\xff\xfe").decode()
    await store(cluster, "secrets", "db", password="eA==", binary=binary)
    cluster.api.forbidden.add(f"{CORE}/secrets/locked")
    await assigned(cluster, p=argument)
    status = await cluster.phase("Failed")
    assert status["reason"] == reason
    assert says in status["failure"]["message"]
    assert "with.p" in status["failure"]["message"]


@pytest.mark.parametrize("key", ["no key", base64.b64encode(b"short").decode(), "é"])
async def test_a_runner_without_a_key_gets_nothing(cluster: Cluster, key: str) -> None:
    await store(cluster, "secrets", "db", password="eA==")
    uid = await assigned(cluster, key, p=reference())
    state = await cluster.state(uid, lambda state: any(item.ended for item in state.sandboxes.values()))
    assert state.steps["a"].delivered_at is None


async def test_a_secret_of_another_namespace_is_out_of_reach(cluster: Cluster) -> None:
    other = {"metadata": {"name": "db", "namespace": "other"}, "data": {"password": "eA=="}}
    await cluster.api.change("ADDED", "/api/v1/namespaces/other/secrets/db", other)
    await assigned(cluster, p=reference())
    assert (await cluster.phase("Failed"))["reason"] == "SecretNotFound"
    assert not any("/namespaces/other/" in path for _, path, _ in cluster.api.requests)
