"""Whose pod a token belongs to: checked by keys that tests make themselves."""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest

from citadel.gateway.tokens import (
    REFETCH_SECONDS,
    InvalidToken,
    KeysUnavailable,
    PodIdentity,
    TokenVerifier,
)
from citadel.store.journal import JournalUnavailable
from unit.gateway.issuer import NAMESPACE, Issuer

CX = PodIdentity("cx-1", "uid-1")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def stranger() -> Issuer:
    """An issuer of another cluster that uses the same key id."""
    return Issuer()


class Published:
    """The keys as a database has them, with a clock that only tests move."""

    def __init__(self, body: Mapping[str, Any] | None) -> None:
        self.body, self.fetches, self.now, self.away = body, 0, 1000.0, False

    async def fetch(self) -> Mapping[str, Any] | None:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.away:
            raise JournalUnavailable("away")
        return self.body

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(self.fetch, NAMESPACE, lambda: self.now)


def unsigned(header: dict[str, Any], claims: str) -> str:
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{encoded}.{claims}."


async def test_a_pods_token_names_the_pod(issuer: Issuer) -> None:
    verifier = Published(issuer.published()).verifier()
    assert await verifier.pod(issuer.token("cx-1", "uid-1")) == CX


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        pytest.param({"aud": ["https://kubernetes.default.svc"]}, "Audience", id="for the API server"),
        pytest.param({"aud": None}, "aud", id="without audience"),
        pytest.param({"exp": 1_000_000}, "expired", id="expired"),
        pytest.param({"exp": None}, "exp", id="without expiry"),
        pytest.param({"nbf": int(time.time()) + 3600}, "not yet valid", id="not valid yet"),
        pytest.param({"iss": "https://elsewhere"}, "issuer", id="of another issuer"),
        pytest.param({"kubernetes.io": None}, "not bound to a pod", id="not of Kubernetes"),
        pytest.param({"kubernetes.io": "odd"}, "not bound to a pod", id="with odd claims"),
        pytest.param(
            {"kubernetes.io": {"namespace": NAMESPACE, "serviceaccount": {"name": "sandbox"}}},
            "not bound to a pod",
            id="of a ServiceAccount but no pod",
        ),
        pytest.param(
            {"kubernetes.io": {"namespace": "team", "pod": {"name": "cx-1", "uid": "uid-1"}}},
            "not bound to a pod of namespace citadel-sandboxes",
            id="of a pod and ServiceAccount of another namespace",
        ),
        pytest.param(
            {"kubernetes.io": {"namespace": NAMESPACE, "pod": "cx-1"}}, "not bound", id="of an odd pod"
        ),
    ],
)
async def test_a_token_that_is_not_a_sandbox_pods_is_refused(
    issuer: Issuer, claims: dict[str, Any], says: str
) -> None:
    token = issuer.token("cx-1", "uid-1", **claims)
    with pytest.raises(InvalidToken) as refused:
        await Published(issuer.published()).verifier().pod(token)
    assert says in str(refused.value)
    assert token not in str(refused.value)


async def test_a_token_signed_by_somebody_else_under_our_key_id_is_refused(
    issuer: Issuer, stranger: Issuer
) -> None:
    with pytest.raises(InvalidToken, match="Signature"):
        await Published(issuer.published()).verifier().pod(stranger.token("cx-1", "uid-1"))


async def test_a_token_without_signature_is_refused(issuer: Issuer) -> None:
    claims = issuer.token("cx-1", "uid-1").split(".")[1]
    with pytest.raises(InvalidToken):
        await (
            Published(issuer.published())
            .verifier()
            .pod(unsigned({"alg": "none", "typ": "JWT", "kid": "key-1"}, claims))
        )


async def test_the_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    claims = jwt.decode(issuer.token("cx-1", "uid-1"), options={"verify_signature": False})
    modulus = issuer.published()["jwks"]["keys"][0]["n"]
    forged = jwt.encode(claims, modulus, algorithm="HS256", headers={"kid": "key-1"})
    with pytest.raises(InvalidToken):
        await Published(issuer.published()).verifier().pod(forged)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "\ud800.b.c", "\0", "é" * 2000, "e30.e30.e30", unsigned({"kid": 7}, "e30")],
    ids=ascii,
)
async def test_what_is_no_token_is_refused_and_nothing_else_happens(issuer: Issuer, token: str) -> None:
    with pytest.raises(InvalidToken):
        await Published(issuer.published()).verifier().pod(token)


async def test_a_new_key_is_found_by_itself_but_not_looked_for_all_the_time(issuer: Issuer) -> None:
    old, published = issuer, Published(issuer.published())
    verifier = published.verifier()
    await verifier.pod(old.token("cx-1", "uid-1"))
    new = Issuer(kid="key-2", key=old.key)
    for _ in range(100):
        with pytest.raises(InvalidToken, match="not published"):
            await verifier.pod(new.token("cx-1", "uid-1"))
    assert published.fetches == 1
    published.body = new.published()
    published.now += REFETCH_SECONDS + 0.1
    assert await verifier.pod(new.token("cx-1", "uid-1")) == CX
    assert published.fetches == 2
    with pytest.raises(InvalidToken, match="not published"):
        await verifier.pod(old.token("cx-1", "uid-1"))


async def test_of_many_tokens_at_a_new_gateway_none_is_refused_while_the_keys_are_fetched(
    issuer: Issuer,
) -> None:
    published = Published(issuer.published())
    verifier = published.verifier()
    tokens = [issuer.token(f"cx-{number}", f"uid-{number}") for number in range(10)]
    pods = await asyncio.gather(*(verifier.pod(token) for token in tokens))
    assert [pod.name for pod in pods] == [f"cx-{number}" for number in range(10)]
    assert published.fetches == 1


async def test_keys_that_could_not_be_fetched_make_no_token_invalid(issuer: Issuer) -> None:
    published = Published(issuer.published())
    verifier, token = published.verifier(), issuer.token("cx-1", "uid-1")
    published.away = True
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            await verifier.pod(token)
    published.away = False
    assert await verifier.pod(token) == CX


async def test_before_any_key_is_published_no_token_is_judged(issuer: Issuer) -> None:
    published = Published(None)
    verifier = published.verifier()
    with pytest.raises(KeysUnavailable):
        await verifier.pod(issuer.token("cx-1", "uid-1"))
    published.body = issuer.published()
    assert await verifier.pod(issuer.token("cx-1", "uid-1")) == CX
