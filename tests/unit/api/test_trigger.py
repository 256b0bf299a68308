"""Triggers: what of them is refused in words, and what their inputs may name."""

from typing import Any

import pytest

from citadel.api.loader import load
from citadel.api.trigger import TriggerSpec, substitute
from citadel.api.validate import parse, problems, problems_with_positions

TEXT = """\
apiVersion: citadel.dev/v1alpha1
kind: Trigger
metadata:
  name: nightly
spec:
  workflowRef: {name: report}
  inputs:
    at: ${trigger.scheduledTime}
  cron:
    schedule: 0 25 * * *
    timeZone: Europe/Berln
"""


def trigger(name: str = "nightly", **spec: Any) -> dict[str, Any]:
    given = {"workflowRef": {"name": "report"}, "cron": {"schedule": "@daily"}, **spec}
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "Trigger"}
    return {**kind, "metadata": {"name": name}, "spec": given}


def test_defaults_are_those_of_a_cronjob() -> None:
    spec = parse("Trigger", trigger())
    assert isinstance(spec, TriggerSpec)
    assert (spec.suspend, spec.cron.concurrency_policy, spec.cron.starting_deadline_seconds) == (
        False,
        "Allow",
        None,
    )
    limits = spec.successful_executions_history_limit, spec.failed_executions_history_limit
    assert (*limits, spec.cron.time_zone) == (3, 1, "UTC")


def test_a_wrong_schedule_and_time_zone_are_found_where_they_stand() -> None:
    (document,) = load(TEXT)
    found = problems_with_positions(document, problems("Trigger", document.value))
    assert [problem.located for problem in found] == [
        "10:5: spec.cron.schedule: found '25' as hour, expected numbers from 0 to 23",
        "11:5: spec.cron.timeZone: found 'Europe/Berln', expected a time zone of the IANA database such as"
        " Europe/Berlin, did you mean Europe/Berlin?",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (trigger("n" * 53), "metadata.name: found 53 characters, expected at most 52"),
        (
            trigger(cron={"schedule": "@daily", "suspend": True}),
            "spec.cron.suspend: unknown field, expected one of schedule",
        ),
        (trigger(schedule="@daily"), "spec.schedule: unknown field"),
        (trigger(cron={"schedule": "@daily", "concurrencyPolicy": "forbid"}), "did you mean Forbid?"),
        (trigger(inputs={"a": ["${inputs.b}"]}), "spec.inputs: found ${inputs.b}, expected ${trigger.sched"),
        (trigger(inputs={"a": "${trigger.time}"}), "spec.inputs: found ${trigger.time}, expected"),
        (trigger(inputs={"a": "${trigger.name"}), "spec.inputs: found ${trigger.name, expected"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(given: dict[str, Any], message: str) -> None:
    (problem,) = problems("Trigger", given)
    assert message in problem.text


def test_inputs_name_the_trigger_and_its_time_and_nothing_that_was_substituted() -> None:
    known = {"name": "${trigger.name}", "scheduledTime": "2026-01-01T00:00:00Z"}
    given = {
        "at": "${trigger.scheduledTime}",
        "all": ["${ trigger.name }", {"text": "at ${trigger.scheduledTime}, $${x} for $5"}, 3, None, True],
        "${kept}": "",
    }
    assert substitute(given, known) == {
        "at": "2026-01-01T00:00:00Z",
        "all": ["${trigger.name}", {"text": "at 2026-01-01T00:00:00Z, ${x} for $5"}, 3, None, True],
        "${kept}": "",
    }
