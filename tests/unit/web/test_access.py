"""Who may read what: asked of the cluster, remembered for a while, never guessed."""

from typing import Any, cast

import pytest

from citadel.kube.client import KubeClient
from citadel.kube.errors import Unavailable
from citadel.web.access import FRESH_SECONDS, Access, Denied, Identity, Unauthenticated, of_certificate

ALICE = Identity("alice", ("team",), "u-1", (("scopes", ("a", "b")),))


class Cluster:
    """Answers reviews by tables, and counts them; its clock is moved by tests."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.allowed: set[tuple[str, str, str, str]] = set()
        self.asked: list[dict[str, Any]] = []
        self.away = False
        self.now = 1000.0

    async def create(self, resource: Any, body: dict[str, Any]) -> dict[str, Any]:
        assert body["apiVersion"] == f"{resource.group}/v1"
        self.asked.append(body)
        if self.away:
            raise Unavailable(503, "Unavailable", "away")
        if body["kind"] == "TokenReview":
            user = self.tokens.get(body["spec"]["token"])
            return {**body, "status": {"authenticated": user is not None, "user": user or {}}}
        wanted = body["spec"]["resourceAttributes"]
        key = (body["spec"]["user"], wanted["namespace"], wanted["name"], wanted.get("subresource", ""))
        return {**body, "status": {"allowed": key in self.allowed, "reason": "RBAC says so"}}

    def access(self) -> Access:
        return Access(cast("KubeClient", self), lambda: self.now)


@pytest.fixture
def cluster() -> Cluster:
    found = Cluster()
    found.tokens["good"] = {
        "username": "alice",
        "groups": ["team"],
        "uid": "u-1",
        "extra": {"scopes": ["a", "b"]},
    }
    found.allowed.add(("alice", "team", "run", "log"))
    return found


async def test_a_bearer_token_is_whom_the_cluster_says(cluster: Cluster) -> None:
    assert await cluster.access().identity("Bearer good", None) == ALICE


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer bad", "bearer good", "Basic good", "good"]
)
async def test_everybody_else_is_nobody(cluster: Cluster, authorization: str) -> None:
    with pytest.raises(Unauthenticated):
        await cluster.access().identity(authorization, None)


async def test_a_bad_token_is_not_made_good_by_a_certificate(cluster: Cluster) -> None:
    certificate = {"subject": ((("commonName", "root"),),)}
    with pytest.raises(Unauthenticated):
        await cluster.access().identity("Bearer bad", certificate)
    assert (await cluster.access().identity("", certificate)).name == "root"


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        (None, None),
        ({}, None),
        ({"subject": ()}, None),
        ({"subject": ((("organizationName", "team"),),)}, None),
        ({"subject": ((("commonName", "bob"),),)}, Identity("bob", ("system:authenticated",))),
        (
            {"subject": ((("organizationName", "a"),), (("commonName", "bob"), ("organizationName", "b")))},
            Identity("bob", ("a", "b", "system:authenticated")),
        ),
    ],
)
def test_a_certificate_names_a_user_and_groups(certificate: Any, expected: Identity | None) -> None:
    assert of_certificate(certificate) == expected


async def test_the_cluster_is_asked_with_everything_that_it_knows_of_the_user(cluster: Cluster) -> None:
    await cluster.access().require(ALICE, "get", "log", "team", "run")
    assert cluster.asked[-1]["spec"] == {
        "user": "alice",
        "groups": ["team"],
        "uid": "u-1",
        "extra": {"scopes": ["a", "b"]},
        "resourceAttributes": {
            "group": "citadel.dev",
            "resource": "executions",
            "subresource": "log",
            "verb": "get",
            "namespace": "team",
            "name": "run",
        },
    }


@pytest.mark.parametrize(
    ("who", "subresource", "namespace", "name"),
    [
        (Identity("mallory", ()), "log", "team", "run"),
        (ALICE, "", "team", "run"),
        (ALICE, "log", "other", "run"),
        (ALICE, "log", "team", "other"),
    ],
)
async def test_what_is_not_allowed_is_denied_in_words(
    cluster: Cluster, who: Identity, subresource: str, namespace: str, name: str
) -> None:
    access = cluster.access()
    await access.require(ALICE, "get", "log", "team", "run")  # an answer for one is none for another
    with pytest.raises(Denied) as denied:
        await access.require(who, "get", subresource, namespace, name)
    what = "executions/log" if subresource else "executions"
    assert str(denied.value) == f"user {who.name} may not get {what} in namespace {namespace}: RBAC says so"


async def test_answers_are_believed_for_a_while_and_no_longer(cluster: Cluster) -> None:
    access = cluster.access()
    for _ in range(3):
        await access.require(await access.identity("Bearer good", None), "get", "log", "team", "run")
    assert len(cluster.asked) == 2
    cluster.now += FRESH_SECONDS + 0.1
    cluster.tokens.clear()
    with pytest.raises(Unauthenticated):
        await access.identity("Bearer good", None)
    cluster.allowed.clear()
    with pytest.raises(Denied):
        await access.require(ALICE, "get", "log", "team", "run")


async def test_refusals_are_remembered_too_so_that_guessing_costs_the_cluster_nothing(
    cluster: Cluster,
) -> None:
    access = cluster.access()
    for _ in range(50):
        with pytest.raises(Unauthenticated):
            await access.identity("Bearer bad", None)
        with pytest.raises(Denied):
            await access.require(ALICE, "get", "", "team", "run")
    assert len(cluster.asked) == 2


async def test_no_answer_is_not_a_yes(cluster: Cluster) -> None:
    access = cluster.access()
    cluster.away = True
    with pytest.raises(Unavailable):
        await access.identity("Bearer good", None)
    with pytest.raises(Unavailable):
        await access.require(ALICE, "get", "log", "team", "run")
    cluster.away = False
    assert await access.identity("Bearer good", None) == ALICE


async def test_tokens_are_not_kept(cluster: Cluster) -> None:
    access = cluster.access()
    await access.identity("Bearer good", None)
    assert "good" not in repr(vars(access))
