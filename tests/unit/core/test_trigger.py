"""What a Trigger does now: due, missed, late, one at a time; with an oracle that looks at every minute."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citadel.api.schedules import parse_schedule
from citadel.api.trigger import TriggerSpec
from citadel.core.history import Run, surplus
from citadel.core.trigger import Decision, Observed, decide_trigger, execution_name

NOW = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
NOON = NOW.replace(second=0)
HOUR = timedelta(hours=1)


def spec(schedule: str = "0 * * * *", **given: Any) -> TriggerSpec:
    own = {key: given.pop(key) for key in ("concurrencyPolicy", "startingDeadlineSeconds") if key in given}
    return TriggerSpec.model_validate(
        {"workflowRef": {"name": "report"}, "cron": {"schedule": schedule, **own}, **given}
    )


def observed(*runs: Run, last: datetime | None = NOON - HOUR, now: datetime = NOW, **given: Any) -> Observed:
    return Observed("nightly", spec(**given), NOW - 48 * HOUR, now, runs, last)


def run(scheduled: datetime, phase: str = "", **given: Any) -> Run:
    name = execution_name("nightly", scheduled)
    finished = scheduled + timedelta(minutes=1) if phase else None
    return Run(name, f"uid-{name}", scheduled, phase, finished, **given)


def reasons(decision: Decision) -> list[str]:
    return [note.reason for note in decision.notes]


def test_the_time_that_has_come_is_started_and_the_next_one_is_known() -> None:
    decision = decide_trigger(observed())
    assert (decision.start, decision.last, decision.next) == (NOON, NOON, NOON + HOUR)
    assert decision.notes == ()


def test_what_was_started_is_not_started_again() -> None:
    decision = decide_trigger(observed(last=NOON))
    assert (decision.start, decision.last) == (None, NOON)


def test_a_start_that_nobody_noted_is_noted_and_not_repeated() -> None:
    for phase in ("", "Succeeded"):
        decision = decide_trigger(observed(run(NOON, phase)))
        assert (decision.start, decision.last) == (None, NOON)


def test_the_time_of_its_creation_is_over() -> None:
    found = replace(observed(last=None), created=NOON)
    assert decide_trigger(found).start is None


def test_of_several_missed_times_the_latest_is_started() -> None:
    decision = decide_trigger(observed(last=NOON - 5 * HOUR))
    assert (decision.start, reasons(decision)) == (NOON, [])


def test_more_than_a_hundred_missed_times_are_told_and_the_latest_is_started() -> None:
    found = observed(schedule="* * * * *", last=NOON - timedelta(minutes=100))
    assert reasons(decide_trigger(found)) == []
    found = replace(found, last=NOON - timedelta(minutes=101))
    decision = decide_trigger(found)
    assert (decision.start, reasons(decision)) == (NOON, ["TooManyMissedTimes"])


def test_the_deadline_bounds_how_many_times_count_as_missed() -> None:
    found = observed(schedule="* * * * *", last=NOON - 30 * HOUR, startingDeadlineSeconds=600)
    decision = decide_trigger(found)
    assert (decision.start, reasons(decision)) == (NOON, [])


def test_what_is_too_late_is_left_out_and_told() -> None:
    decision = decide_trigger(observed(startingDeadlineSeconds=4))
    assert (decision.start, decision.last, reasons(decision)) == (None, NOON - HOUR, ["MissedSchedule"])
    assert "2026-03-01T12:00:00Z" in decision.notes[0].message
    assert decide_trigger(observed(startingDeadlineSeconds=5)).start == NOON


def test_a_suspended_one_starts_nothing_and_makes_up_for_it_afterwards() -> None:
    decision = decide_trigger(observed(suspend=True))
    assert (decision.start, decision.next) == (None, None)
    assert decide_trigger(observed()).start == NOON


@pytest.mark.parametrize(
    ("policy", "starts", "cancelled", "told"),
    [
        ("Allow", True, 0, []),
        ("Forbid", False, 0, ["AlreadyActive"]),
        ("Replace", True, 1, []),
    ],
)
def test_while_an_execution_runs_the_policy_decides(
    policy: str, starts: bool, cancelled: int, told: list[str]
) -> None:
    before = run(NOON - HOUR)
    decision = decide_trigger(observed(before, concurrencyPolicy=policy))
    assert (decision.start is not None, len(decision.cancel), reasons(decision)) == (starts, cancelled, told)
    assert decision.active == (before,)


def test_what_ends_already_is_not_cancelled_again() -> None:
    found = observed(run(NOON - HOUR, stopping=True), concurrencyPolicy="Replace")
    assert (decide_trigger(found).start, decide_trigger(found).cancel) == (NOON, ())


def test_a_time_that_had_to_wait_is_started_when_the_one_before_has_ended() -> None:
    found = observed(run(NOON - HOUR, "Failed"), now=NOW + timedelta(minutes=20), concurrencyPolicy="Forbid")
    assert decide_trigger(found).start == NOON


def test_the_last_success_never_goes_back() -> None:
    later = replace(observed(run(NOON - HOUR, "Succeeded")), last_success=NOON)
    assert decide_trigger(later).last_success == NOON
    earlier = replace(later, last_success=NOON - 9 * HOUR)
    assert decide_trigger(earlier).last_success == NOON - HOUR + timedelta(minutes=1)


def test_beyond_the_limits_the_oldest_that_ended_go_and_nothing_that_runs() -> None:
    runs = [run(NOON - n * HOUR, "Succeeded") for n in range(1, 6)]
    runs += [run(NOON - n * HOUR, phase) for n, phase in ((6, "Failed"), (7, "TimedOut"), (8, "Cancelled"))]
    runs += [run(NOON - n * HOUR) for n in range(20, 30)]
    decision = decide_trigger(observed(*runs))
    assert [gone.created for gone in decision.delete] == [NOON - n * HOUR for n in (5, 4, 8, 7)]
    assert surplus(runs, None, None) == ()
    assert {gone.phase for gone in surplus(runs, 0, 0)} == {"Succeeded", "Failed", "TimedOut", "Cancelled"}


def test_the_name_of_an_execution_is_a_function_of_its_time() -> None:
    assert execution_name("nightly", NOON) == f"nightly-{int(NOON.timestamp()) // 60}"


SCHEDULES = ("* * * * *", "*/7 * * * *", "30 1,2 * * *", "0 */3 * * *", "15 2 29 3 0", "0 0 1 1 *")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SCHEDULES),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    st.integers(0, 20 * 3600),
    st.none() | st.integers(0, 20 * 3600),
    st.sampled_from(["2026-03-29", "2026-10-25", "2026-11-01", "2026-06-01"]),
)
def test_what_is_due_is_the_last_minute_that_fits_since_the_last_start(
    schedule: str, zone: str, seconds: int, deadline: int | None, day: str
) -> None:
    now = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=9, seconds=7)
    last = now - timedelta(seconds=seconds)
    given_ = spec(schedule).model_dump(by_alias=True)
    given_["cron"].update(timeZone=zone, startingDeadlineSeconds=deadline)
    decision = decide_trigger(Observed("t", TriggerSpec.model_validate(given_), last, now, (), last))

    meant = parse_schedule(schedule, zone)
    minute, fitting = now.replace(second=0), []
    while minute > last:
        wall = minute.astimezone(meant.zone)
        month_and_day = wall.month in meant.months and (
            (wall.day in meant.days and wall.isoweekday() % 7 in meant.weekdays)
            if meant.both_days
            else (wall.day in meant.days or wall.isoweekday() % 7 in meant.weekdays)
        )
        if month_and_day and wall.hour in meant.hours and wall.minute in meant.minutes:
            fitting.append(minute)
        minute -= timedelta(minutes=1)
    latest = fitting[0] if fitting else None
    late = latest is not None and deadline is not None and (now - latest).total_seconds() > deadline
    counted = [at for at in fitting if deadline is None or (now - at).total_seconds() < deadline]
    assert decision.start == (None if late else latest)
    told = ["MissedSchedule"] if late else ["TooManyMissedTimes"] if len(counted) > 100 else []
    assert reasons(decision) == told


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.integers(1, 30), st.sampled_from(["Allow", "Forbid", "Replace"]))
def test_however_often_it_is_decided_a_time_is_started_once(lag: int, minutes: int, policy: str) -> None:
    """The controller of the world decides every 20 seconds; what it notes comes back to it late, or never."""
    runs: dict[str, Run] = {}
    noted: list[datetime | None] = [NOON] * (lag + 1)
    for second in range(0, minutes * 60, 20):
        now = NOON + timedelta(seconds=second)
        found = observed(
            *runs.values(), schedule="* * * * *", last=noted[-lag - 1], now=now, concurrencyPolicy=policy,
            successfulExecutionsHistoryLimit=10000,
        )  # fmt: skip
        decision = decide_trigger(found)
        if decision.start is not None:
            name = execution_name("nightly", decision.start)
            assert name not in runs
            runs[name] = run(decision.start)
        noted.append(decision.last)
        if second % 60 == 20:
            runs = {name: replace(one, phase="Succeeded", finished=now) for name, one in runs.items()}
    assert [one.created for one in runs.values()] == [
        NOON + timedelta(minutes=n) for n in range(1, minutes) if n * 60 < minutes * 60
    ]
