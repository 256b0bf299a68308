"""Preparing an installation against an API server: once, by two at once, and again after changes."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nacl.public import PrivateKey

from citadel.controller.bootstrap import Installation, Prepared, patiently, prepare
from citadel.controller.certificates import CA_LIFETIME, LEAF_LIFETIME
from citadel.controller.runtimes import apply_default_runtimes
from citadel.kube.client import KubeClient
from citadel.kube.errors import ApiError, NotFound
from citadel.settings import Settings
from component.kube.fakeapi import FakeApi, serve_fake_api

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CORE = "/api/v1/namespaces/citadel-system"
INSTALLATION = Installation(
    name="citadel",
    namespace="citadel-system",
    gateway_service="citadel-gateway",
    api_service="citadel-api",
    egress_service="citadel-egress",
    models_service="citadel-models",
    cluster_domain="cluster.local",
    bundled_database=True,
    folder=Path("/nowhere"),
)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """An API server that holds what the chart brings."""
    async with serve_fake_api() as server:
        tls = ("gateway-tls", "api-tls", "egress-tls", "models-tls")
        for part in ("ca", *tls, "models-key", "tools-key", "database"):
            name = f"citadel-{part}"
            await server.change("ADDED", f"{CORE}/secrets/{name}", {"metadata": {"name": name}})
        await server.change("ADDED", f"{CORE}/configmaps/citadel-ca", {"metadata": {"name": "citadel-ca"}})
        for number, name in enumerate(
            ("citadel-gateway", "citadel-api", "citadel-egress", "citadel-models"), 7
        ):
            await set_address(server, name, f"10.96.0.{number}")
        yield server


async def set_address(api: FakeApi, service: str, address: str) -> None:
    spec = {"clusterIP": address, "clusterIPs": [address]}
    await api.change("MODIFIED", f"{CORE}/services/{service}", {"metadata": {"name": service}, "spec": spec})


def content(api: FakeApi) -> dict[str, dict[str, str]]:
    secrets = {p.rpartition("/")[2]: o.get("data", {}) for p, o in api.objects.items() if "/secrets/" in p}
    return {**secrets, "public": api.objects[f"{CORE}/configmaps/citadel-ca"].get("data", {})}


async def test_all_that_the_chart_left_empty_is_filled(api: FakeApi) -> None:
    async with KubeClient(api.config()) as kube:
        prepared = await prepare(kube, INSTALLATION, NOW)
    found = content(api)
    assert sorted(found["citadel-ca"]) == ["tls.crt", "tls.key"]
    assert (
        sorted(found["citadel-gateway-tls"])
        == sorted(found["citadel-api-tls"])
        == sorted(found["citadel-egress-tls"])
        == sorted(found["citadel-models-tls"])
        == ["ca.crt", "tls.crt", "tls.key"]
    )
    assert sorted(found["citadel-database"]) == [
        "api",
        "controller",
        "gateway",
        "models",
        "postgres",
        "tools",
    ]
    assert len(set(found["citadel-database"].values())) == 6
    pair = {name: b64decode(b64decode(found["citadel-models-key"][name])) for name in ("private", "public")}
    assert bytes(PrivateKey(pair["private"]).public_key) == pair["public"]
    assert found["public"] == {"ca.crt": prepared.ca.decode()}
    assert b64decode(found["citadel-gateway-tls"]["ca.crt"]) == prepared.ca
    assert {k: b64decode(v) for k, v in found["citadel-database"].items()} == prepared.passwords


async def test_a_second_time_changes_nothing(api: FakeApi) -> None:
    async with KubeClient(api.config()) as kube:
        first = await prepare(kube, INSTALLATION, NOW)
        patches = api.count("PATCH")
        assert await prepare(kube, INSTALLATION, NOW) == first
    assert api.count("PATCH") == patches


async def test_two_at_once_end_with_the_same(api: FakeApi) -> None:
    async with KubeClient(api.config()) as one, KubeClient(api.config()) as two:
        first, second = await asyncio.gather(*(prepare(kube, INSTALLATION, NOW) for kube in (one, two)))
        assert first == second == await prepare(one, INSTALLATION, NOW)
    assert b64decode(content(api)["citadel-ca"]["tls.crt"]) == first.ca


async def test_a_database_that_is_not_ours_gets_no_passwords(api: FakeApi) -> None:
    async with KubeClient(api.config()) as kube:
        external = Installation.from_env({"CITADEL_DATABASE_BUNDLED": "false"})
        assert (await prepare(kube, external, NOW)).passwords == {}
    assert content(api)["citadel-database"] == {}


async def test_after_a_reinstallation_the_gateway_gets_a_certificate_for_its_new_address(
    api: FakeApi,
) -> None:
    async with KubeClient(api.config()) as kube:
        await prepare(kube, INSTALLATION, NOW)
        before = content(api)
        await set_address(api, "citadel-gateway", "10.96.0.99")
        await prepare(kube, INSTALLATION, NOW)
    after = content(api)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"citadel-gateway-tls"}


async def test_certificates_are_renewed_before_they_expire_and_passwords_never(api: FakeApi) -> None:
    async with KubeClient(api.config()) as kube:
        await prepare(kube, INSTALLATION, NOW)
        before = content(api)
        await prepare(kube, INSTALLATION, NOW + LEAF_LIFETIME - timedelta(days=10))
        renewed = content(api)
        await prepare(kube, INSTALLATION, NOW + CA_LIFETIME - timedelta(days=10))
    after = content(api)
    assert {name for name in before if renewed[name] != before[name]} == {
        "citadel-gateway-tls",
        "citadel-api-tls",
        "citadel-egress-tls",
        "citadel-models-tls",
    }
    assert {name for name in before if after[name] == before[name]} == {"citadel-database"}
    assert b64decode(after["citadel-api-tls"]["ca.crt"]).decode() == after["public"]["ca.crt"]
    # What was sealed to it can still be opened; whom it trusts is new.
    assert after["citadel-models-key"] == {
        **before["citadel-models-key"],
        "ca.crt": after["citadel-api-tls"]["ca.crt"],
    }


async def test_a_deleted_password_of_one_role_is_made_and_the_others_stay(api: FakeApi) -> None:
    async with KubeClient(api.config()) as kube:
        await prepare(kube, INSTALLATION, NOW)
        before = content(api)["citadel-database"]
        kept = {key: value for key, value in before.items() if key != "api"}
        path = f"{CORE}/secrets/citadel-database"
        await api.change("MODIFIED", path, {"metadata": {"name": "citadel-database"}, "data": kept})
        await prepare(kube, INSTALLATION, NOW)
    after = content(api)["citadel-database"]
    assert {key: after[key] for key in kept} == kept
    assert after["api"]
    assert after["api"] != before["api"]


async def test_what_is_not_there_yet_is_waited_for_and_named_in_the_end(api: FakeApi) -> None:
    del api.objects[f"{CORE}/secrets/citadel-ca"]
    asleep: list[float] = []

    async def sleep(seconds: float) -> None:
        asleep.append(seconds)
        if len(asleep) == 2:
            await api.change("ADDED", f"{CORE}/secrets/citadel-ca", {"metadata": {"name": "citadel-ca"}})

    async with KubeClient(api.config()) as kube:

        async def work() -> Prepared:
            return await prepare(kube, INSTALLATION, NOW)

        with pytest.raises(NotFound, match="secrets/citadel-ca"):
            await patiently(work, [0.5], sleep)
        assert (await patiently(work, [0.5, 0.5], sleep)).ca
    assert asleep == [0.5, 0.5]


async def test_default_runtimes_are_applied_in_the_namespace_of_the_operator(api: FakeApi) -> None:
    env = {"CITADEL_DATABASE_URL": "postgresql://x@y/z", "CITADEL_RUNTIME_IMAGE_PYTHON": "python:1"}
    async with KubeClient(api.config()) as kube:
        await apply_default_runtimes(kube, Settings.from_env(env))
    path = "/apis/citadel.dev/v1alpha1/namespaces/citadel-system/runtimes/python"
    assert api.objects[path]["spec"] == {"language": "python", "image": "python:1"}
    assert api.requests[-1][2]["fieldManager"] == "citadel-controller"


async def test_a_refusal_is_raised_when_patience_is_over(api: FakeApi) -> None:
    api.forbidden.add(f"{CORE}/secrets/citadel-ca")
    async with KubeClient(api.config()) as kube:
        with pytest.raises(ApiError, match=r"secrets/citadel-ca.*403"):
            await patiently(lambda: prepare(kube, INSTALLATION, NOW), [])
