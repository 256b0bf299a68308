"""Whether a sandbox may reach a destination: what its step names, bounded by what every policy says. Pure.

Egress defaults to none: without a policy that allows it, whatever a step names is refused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from citadel.api.egress import covers


@dataclass(frozen=True)
class EgressRules:
    """What one ExecutionPolicy says of egress."""

    policy: str
    """Its name, for messages."""
    allow: tuple[str, ...] | None
    """Destinations that may be reached; None when it does not speak of egress."""
    deny: tuple[str, ...] = ()
    """Destinations that may not be reached, whoever allows them."""
    private: tuple[str, ...] | None = None
    """Networks with a port, as `10.0.0.0/8:5432`, that allowed names may resolve to although private; None
    when it does not speak of them."""


@dataclass(frozen=True)
class Verdict:
    """Whether a connection is allowed, and why not."""

    allowed: bool
    reason: str = ""
    private: tuple[str, ...] = ()
    """Networks that the name may resolve to although they are private."""


#: What the name of a package index may resolve to: its host is the admin's choice, our own code asks.
_OF_INDEXES = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


def to_index() -> Verdict:
    """The verdict on an index of the installation, for what installs packages from there."""
    return Verdict(True, private=_OF_INDEXES)


def named(egress: Iterable[str], host: str, port: int) -> bool:
    """Whether a step's destinations hold this one."""
    return any(covers(destination, host, port) for destination in egress)


def judge(policies: Sequence[EgressRules], namespace: str, host: str, port: int) -> Verdict:
    """What the policies of a namespace say of a destination: one that denies wins, and every one that speaks
    of egress must allow it. `host` may be a wildcard: then all names below it are meant."""
    for policy in policies:
        # A wildcard is denied as well where a part of it is.
        if any(covers(rule, host, port) or covers(f"{host}:{port}", *_parts(rule)) for rule in policy.deny):
            return Verdict(False, f"ExecutionPolicy {policy.policy} denies {host}:{port}")
    speaking = [policy for policy in policies if policy.allow is not None]
    if not speaking:
        return Verdict(False, f"no ExecutionPolicy of namespace {namespace} allows egress")
    for policy in speaking:
        if not named(policy.allow or (), host, port):
            return Verdict(False, f"ExecutionPolicy {policy.policy} does not allow {host}:{port}")
    return Verdict(True, private=_private(policies, port))


def _parts(rule: str) -> tuple[str, int]:
    host, _, port = rule.rpartition(":")
    return host, int(port)


def _private(policies: Sequence[EgressRules], port: int) -> tuple[str, ...]:
    """The networks that every policy permits which speaks of private destinations."""
    permitted: list[IPv4Network | IPv6Network] | None = None
    for policy in policies:
        if policy.private is None:
            continue
        these = [ip_network(network) for network, at in map(_parts, policy.private) if at == port]
        permitted = these if permitted is None else list(_common(permitted, these))
    return tuple(map(str, permitted or ()))


def _common(
    ones: Sequence[IPv4Network | IPv6Network], others: Sequence[IPv4Network | IPv6Network]
) -> Iterable[IPv4Network | IPv6Network]:
    # Two networks that overlap are one inside the other.
    for one in ones:
        for other in others:
            if one.version == other.version and one.overlaps(other):
                yield max(one, other, key=lambda network: network.prefixlen)
