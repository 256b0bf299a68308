"""Which Kubernetes events are posted, and how they read."""

from datetime import UTC, datetime

import pytest

from citadel.kube.events import EventFilter, EventRates, ObjectRef, render_event

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
ABOUT = ObjectRef("citadel.dev/v1alpha1", "Execution", "sales-1", "u1", "team")


def test_the_same_message_is_said_once_in_ten_minutes() -> None:
    said = EventFilter(EventRates())
    assert said.judge("u", "Started", "x", 0.0) == ""
    assert said.judge("u", "Started", "x", 599.0) == "repeated"
    assert said.judge("u", "Started", "y", 1.0) == ""
    assert said.judge("v", "Started", "x", 1.0) == ""
    assert said.judge("u", "Started", "x", 600.0) == ""


def test_a_talkative_object_is_limited_and_leaves_the_others_alone() -> None:
    said = EventFilter(EventRates(object_burst=3, object_per_second=0.1))
    told = [said.judge("loud", "Failed", str(number), 0.0) for number in range(5)]
    assert told == ["", "", "", "limited", "limited"]
    assert said.judge("quiet", "Failed", "x", 0.0) == ""
    assert said.judge("loud", "Failed", "3", 10.0) == ""
    assert said.judge("loud", "Failed", "4", 10.0) == "limited"


def test_all_objects_together_are_limited() -> None:
    said = EventFilter(EventRates(burst=4, per_second=2))
    assert [said.judge(str(number), "Started", "x", 0.0) for number in range(6)].count("") == 4
    assert [said.judge(str(number), "Started", "y", 1.0) for number in range(6)].count("") == 2


def test_an_event_names_object_component_and_time() -> None:
    event = render_event(ABOUT, "Warning", "StepFailed", "it broke", "citadel-controller", "pod-1", NOW)
    assert event["involvedObject"] == {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Execution",
        "name": "sales-1",
        "uid": "u1",
        "namespace": "team",
    }
    assert event["metadata"]["namespace"] == "team"
    assert event["source"] == {"component": "citadel-controller", "host": "pod-1"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T12:00:00Z"


def test_events_about_cluster_objects_go_to_the_default_namespace() -> None:
    node = ObjectRef.of({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u"}})
    event = render_event(node, "Normal", "Seen", "x", "c", "i", NOW)
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]


@pytest.mark.parametrize(
    ("reason", "message", "minute", "same"),
    [
        ("Started", "x", 0, True),
        ("Started", "x", 9, True),
        ("Started", "x", 10, False),
        ("Started", "y", 0, False),
        ("Ended", "x", 0, False),
    ],
)
def test_the_same_event_of_another_process_has_the_same_name(
    reason: str, message: str, minute: int, same: bool
) -> None:
    first = render_event(ABOUT, "Normal", "Started", "x", "c", "pod-1", NOW)
    second = render_event(ABOUT, "Normal", reason, message, "c", "pod-2", NOW.replace(minute=minute))
    assert (first["metadata"]["name"] == second["metadata"]["name"]) is same


def test_a_long_object_name_still_makes_a_valid_event_name() -> None:
    about = ObjectRef("v1", "Pod", "p" * 253, "u", "a")
    event = render_event(about, "Normal", "Started", "bad \ud800", "c", "i", NOW)
    assert len(event["metadata"]["name"]) <= 253
