"""Who may lead: the decision on what a candidate sees."""

import pytest

from citadel.kube.election import (
    Create,
    LeaseRecord,
    Observed,
    Take,
    Wait,
    decide_lease,
    identity_of,
    parse_lease,
    pod_is_gone,
)
from citadel.kube.resources import Object


def seen(holder: str, since: float = 0.0, gone: bool = False, duration: float = 6.0) -> Observed:
    return Observed("me_1", LeaseRecord(holder, duration, 4, "mark", "77"), since, gone)


@pytest.mark.parametrize(
    ("observed", "now", "action"),
    [
        pytest.param(Observed("me_1", None, 0.0), 0.0, Create(), id="no Lease is made"),
        pytest.param(seen("", since=10), 10.0, Take("77", 5), id="a released Lease is taken at once"),
        pytest.param(seen("other_2", since=10), 10.0, Wait(6.0), id="a Lease seen first counts as fresh"),
        pytest.param(seen("other_2", since=10), 15.5, Wait(0.5), id="a silent holder has its time"),
        pytest.param(seen("other_2", since=10), 16.0, Take("77", 5), id="then the Lease is taken"),
        pytest.param(
            seen("other_2", since=10, gone=True), 10.0, Take("77", 5), id="a holder without pod is none"
        ),
        pytest.param(seen("me_1", since=10), 10.0, Take("77", 4), id="our own Lease survives our restart"),
        pytest.param(seen("other_2", duration=0), 0.0, Take("77", 5), id="a Lease without duration is free"),
    ],
)
def test_a_candidate_decides(observed: Observed, now: float, action: Create | Take | Wait) -> None:
    assert decide_lease(observed, now) == action


@pytest.mark.parametrize(
    ("pod", "gone"),
    [
        (None, True),
        ({"metadata": {"uid": "other"}}, True),
        ({"metadata": {"uid": "u"}, "status": {"phase": "Failed"}}, True),
        ({"metadata": {"uid": "u"}, "status": {"phase": "Succeeded"}}, True),
        ({"metadata": {"uid": "u"}, "status": {"phase": "Running"}}, False),
        ({"metadata": {"uid": "u", "deletionTimestamp": "t"}, "status": {"phase": "Running"}}, False),
        ({"metadata": {"uid": "u"}}, False),
    ],
)
def test_a_pod_is_gone_when_it_can_no_longer_run(pod: Object | None, gone: bool) -> None:
    assert pod_is_gone(pod, "u") is gone


def test_a_lease_object_is_read_leniently() -> None:
    spec = {"holderIdentity": identity_of("p", "u"), "leaseDurationSeconds": 6, "renewTime": "t1"}
    record = parse_lease({"metadata": {"resourceVersion": "5"}, "spec": spec})
    assert (record.holder, record.duration, record.transitions, record.version) == ("p_u", 6.0, 0, "5")
    renewed = parse_lease({"metadata": {}, "spec": {**spec, "renewTime": "t2"}})
    labelled = parse_lease({"metadata": {"resourceVersion": "6", "labels": {"a": "b"}}, "spec": spec})
    assert renewed.mark != record.mark
    assert labelled.mark == record.mark
    assert parse_lease({"metadata": {}}).holder == ""
