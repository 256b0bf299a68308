"""What a candidate for a Lease sees and does: pure.

Clocks of two machines are never compared: a candidate takes over when the record has not changed for the
Lease's duration by its own monotonic clock, or at once when the holder's pod is gone.
"""

from dataclasses import dataclass

from citadel.kube.resources import Object


@dataclass(frozen=True, slots=True)
class Term:
    """How long a lead lasts. Times in seconds.

    Every `renew` the holder renews, each try given `answer`; without a success it gives up `margin` before
    `duration` is over. Candidates look every `poll`.
    """

    duration: int = 6
    renew: float = 2.0
    poll: float = 1.0
    margin: float = 1.0
    answer: float = 1.0


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What the Lease says. `mark` changes with every write of its holder; `duration` in seconds."""

    holder: str
    duration: float
    transitions: int
    mark: str
    version: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What one candidate knows.

    The record (None: there is no Lease), since when by its own clock it has been as it is, and whether the
    holder's pod is known to be gone.
    """

    me: str
    record: LeaseRecord | None
    unchanged_since: float
    holder_gone: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """There is no Lease: make it."""


@dataclass(frozen=True, slots=True)
class Take:
    """The Lease is free: write our name into it, as the `transitions`th holder, if still at `version`."""

    version: str
    transitions: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody leads; look again in at most that many seconds."""

    seconds: float


def decide_lease(observed: Observed, now: float) -> Create | Take | Wait:
    """What a candidate does with what it sees; `now` on the clock of `unchanged_since`."""
    record = observed.record
    if record is None:
        return Create()
    if record.holder == observed.me:
        # We, before our container restarted: the former process is dead, since ours has its place.
        return Take(record.version, record.transitions)
    left = observed.unchanged_since + record.duration - now
    if not record.holder or observed.holder_gone or left <= 0:
        return Take(record.version, record.transitions + 1)
    return Wait(left)


def identity_of(pod_name: str, pod_uid: str) -> str:
    """The holder identity of a pod."""
    return f"{pod_name}_{pod_uid}"


def parse_lease(lease: Object) -> LeaseRecord:
    """The record in a Lease object; whatever is missing reads as free."""
    spec = lease.get("spec") or {}
    return LeaseRecord(
        holder=str(spec.get("holderIdentity") or ""),
        duration=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        mark=f"{spec.get('holderIdentity')} {spec.get('renewTime')} {spec.get('leaseTransitions')}",
        version=str(lease["metadata"].get("resourceVersion", "")),
    )


def pod_is_gone(pod: Object | None, uid: str) -> bool:
    """Whether the pod that held the Lease can no longer run: not there, replaced, or ended."""
    if pod is None or pod["metadata"].get("uid") != uid:
        return True
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
