"""Who is asking, and may they: both are the cluster's answers (TokenReview, SubjectAccessReview).

A client certificate is accepted as the API server accepts one: signed by the cluster's client CA, its common
name the user and its organisations the groups.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from citadel.core.hashing import hashed
from citadel.kube.client import KubeClient
from citadel.kube.resources import CITADEL_GROUP, SUBJECTACCESSREVIEWS, TOKENREVIEWS

#: Seconds for which an answer of the cluster is believed.
FRESH_SECONDS = 10.0
_REMEMBERED = 10_000


class Unauthenticated(Exception):
    """Nobody the cluster knows."""


class Denied(Exception):
    """Somebody who may not do this; the message says what."""


@dataclass(frozen=True)
class Identity:
    """A user as the cluster knows them."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Access:
    """Authentication and authorisation of requests."""

    def __init__(self, kube: KubeClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube, self._clock = kube, clock
        self._identities: dict[str, tuple[float, Identity | None]] = {}
        self._answers: dict[tuple[Any, ...], tuple[float, bool, str]] = {}

    async def identity(self, authorization: str, certificate: Mapping[str, Any] | None) -> Identity:
        """Who a bearer token or client certificate belongs to; raises Unauthenticated."""
        scheme, _, token = authorization.partition(" ")
        if scheme == "Bearer" and token:
            found = await self._reviewed(token)
        else:
            found = of_certificate(certificate)
        if found is None:
            raise Unauthenticated("expected a bearer token or client certificate that the cluster accepts")
        return found

    async def require(
        self,
        who: Identity,
        verb: str,
        subresource: str,
        namespace: str,
        name: str,
        *,
        resource: str = "executions",
    ) -> None:
        """Returns when `who` may do this with an Execution, or another resource; raises Denied."""
        key = (who, verb, resource, subresource, namespace, name)
        at, allowed, why = self._answers.get(key, (float("-inf"), False, ""))
        if self._clock() - at > FRESH_SECONDS:
            attributes = {
                "group": CITADEL_GROUP,
                "resource": resource,
                "subresource": subresource,
                "verb": verb,
                "namespace": namespace,
                "name": name,
            }
            spec = {
                "user": who.name,
                "groups": list(who.groups),
                "uid": who.uid,
                "extra": {key: list(values) for key, values in who.extra},
                "resourceAttributes": {key: value for key, value in attributes.items() if value},
            }
            review = await self._kube.create(
                SUBJECTACCESSREVIEWS, _review("SubjectAccessReview", spec, "authorization")
            )
            status = review.get("status") or {}
            allowed, why = bool(status.get("allowed")), str(status.get("reason", ""))
            _remember(self._answers, key, (self._clock(), allowed, why))
        if not allowed:
            what = f"{resource}/{subresource}" if subresource else resource
            raise Denied(
                f"user {who.name} may not {verb} {what} in namespace {namespace}"
                + (f": {why}" if why else "")
            )

    async def _reviewed(self, token: str) -> Identity | None:
        key = hashed(token)
        at, found = self._identities.get(key, (float("-inf"), None))
        if self._clock() - at <= FRESH_SECONDS:
            return found
        review = await self._kube.create(
            TOKENREVIEWS, _review("TokenReview", {"token": token}, "authentication")
        )
        status = review.get("status") or {}
        user = status.get("user") or {}
        found = None
        if status.get("authenticated"):
            extra = tuple((name, tuple(values)) for name, values in sorted((user.get("extra") or {}).items()))
            found = Identity(
                user.get("username", ""), tuple(user.get("groups") or ()), user.get("uid", ""), extra
            )
        _remember(self._identities, key, (self._clock(), found))
        return found


def of_certificate(certificate: Mapping[str, Any] | None) -> Identity | None:
    """The user that a verified client certificate names."""
    subject = [pair for part in (certificate or {}).get("subject", ()) for pair in part]
    names = [value for key, value in subject if key == "commonName"]
    if not names:
        return None
    groups = tuple(value for key, value in subject if key == "organizationName")
    return Identity(names[0], (*groups, "system:authenticated"))


def _review(kind: str, spec: dict[str, Any], group: str) -> dict[str, Any]:
    return {"apiVersion": f"{group}.k8s.io/v1", "kind": kind, "metadata": {}, "spec": spec}


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = value
