"""Cron schedules: the times that Kubernetes' CronJob means, on every clock; and what is no schedule."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citadel.api.schedules import parse_schedule


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def told(times: Iterator[datetime]) -> str:
    return ", ".join(time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M") for time in times)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "times"),
    # As robfig/cron 3.0.1 has them, which is what CronJobs run by.
    [
        ("*/15 * * * *", "UTC", "2026-01-31T23:50", "2026-02-01T00:00, 2026-02-01T00:15, 2026-02-01T00:30"),
        ("0 0 * * *", "America/New_York", "2026-03-07T12:00", "2026-03-08T05:00, 2026-03-09T04:00"),
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00", "2026-03-09T06:30, 2026-03-10T06:30"),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", "2026-11-01T05:30, 2026-11-01T06:30"),
        ("*/30 1 * * *", "Europe/Berlin", "2026-10-24T22:00", "2026-10-24T23:00, 2026-10-24T23:30"),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T00:00, 2026-10-25T00:30"),
        ("15 * * * *", "Europe/Berlin", "2026-03-29T00:30", "2026-03-29T01:15, 2026-03-29T02:15"),
        ("0 0 13 * 5", "UTC", "2026-02-01T00:00", "2026-02-06T00:00, 2026-02-13T00:00"),
        ("0 0 * * 5", "UTC", "2026-02-01T00:00", "2026-02-06T00:00, 2026-02-13T00:00"),
        ("0 0 13 * ?", "UTC", "2026-02-01T00:00", "2026-02-13T00:00, 2026-03-13T00:00"),
        ("0 0 */10 * 1", "UTC", "2026-02-01T00:00", "2026-02-02T00:00, 2026-02-09T00:00"),
        ("0 0 1-31 * 1", "UTC", "2026-02-01T00:00", "2026-02-02T00:00, 2026-02-03T00:00"),
        ("0 0 5,* * 1", "UTC", "2026-02-01T00:00", "2026-02-02T00:00, 2026-02-09T00:00"),
        ("0 9 * * mon-fri", "Asia/Kolkata", "2026-02-06T12:00", "2026-02-09T03:30, 2026-02-10T03:30"),
        ("5/20 8-17/4 * JAN,jul *", "UTC", "2026-02-01T00:00", "2026-07-01T08:05, 2026-07-01T08:25"),
        ("0 12 29 2 *", "UTC", "2026-02-01T00:00", "2028-02-29T12:00, 2032-02-29T12:00"),
        ("0 0 31 * *", "UTC", "2026-02-01T00:00", "2026-03-31T00:00, 2026-05-31T00:00"),
        ("0 0 * * 1/3", "UTC", "2026-02-01T00:00", "2026-02-02T00:00, 2026-02-05T00:00"),
        ("@hourly", "UTC", "2026-02-01T00:00", "2026-02-01T01:00, 2026-02-01T02:00"),
        ("@weekly", "UTC", "2026-02-01T00:00", "2026-02-08T00:00, 2026-02-15T00:00"),
        ("@monthly", "Pacific/Auckland", "2026-02-01T00:00", "2026-02-28T11:00, 2026-03-31T11:00"),
        ("@yearly", "UTC", "2026-02-01T00:00", "2027-01-01T00:00, 2028-01-01T00:00"),
        ("@daily", "Pacific/Apia", "2011-12-29T00:00", "2011-12-29T10:00, 2011-12-30T10:00"),
    ],
)
def test_a_schedule_comes_when_a_cronjobs_would(schedule: str, zone: str, after: str, times: str) -> None:
    found = parse_schedule(schedule, zone)
    wanted = times.count(",") + 1
    years = timedelta(days=366 * 12)
    assert told(islice(found.times(at(after), at(after) + years), wanted)) == times
    assert told(iter([found.after(at(after)) or at(after)])) == times.split(", ")[0]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("", "found 0 fields in '', expected five: minute, hour, day of month, month, day of week"),
        ("* * * *", "found 4 fields"),
        ("0 * * * * *", "found 6 fields"),
        ("60 * * * *", "found '60' as minute, expected numbers from 0 to 59"),
        ("* 24 * * *", "found '24' as hour, expected numbers from 0 to 23"),
        ("* * 0 * *", "found '0' as day of month, expected numbers from 1 to 31"),
        ("* * * 13 *", "found '13' as month, expected numbers from 1 to 12 (jan to dec)"),
        ("* * * * 7", "found '7' as day of week, expected numbers from 0 to 6 (sun to sat)"),
        ("* * * * fr", "found 'fr' as day of week"),
        ("* * * * 5-2", "found '5-2' as day of week, expected no range backwards"),
        ("*/0 * * * *", "found '*/0' as minute, expected steps of at least 1"),
        ("1,,2 * * * *", "found '' as minute"),
        ("-5 * * * *", "found '-5' as minute"),
        ("\u0663 * * * *", "found '\u0663' as minute"),
        ("0 0 L * *", "found 'L' as day of month"),
        ("0 0 * * 5#2", "found '5#2' as day of week"),
        ("0 0 31 2,4 *", "which never comes: no such month has a day 31"),
        ("@every 5m", "found '@every 5m', expected one of @yearly, @annually"),
        ("TZ=UTC 0 * * * *", "expected a schedule without a time zone, which goes into timeZone"),
        ("CRON_TZ=UTC 0 * * * *", "expected a schedule without a time zone"),
    ],
)
def test_what_is_no_schedule_is_told_in_words(schedule: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_schedule(schedule)
    assert message in str(error.value)


@pytest.mark.parametrize("zone", ["Local", "Europe/Berln", "+02:00", "../../etc/passwd", "Europe", "\0"])
def test_a_time_zone_is_one_of_the_iana_database(zone: str) -> None:
    with pytest.raises(ValueError, match="expected a time zone of the IANA database"):
        parse_schedule("@daily", zone)


ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Kathmandu",
)
#: Days on which one of these clocks is changed, and one on which none is.
DAYS = ("2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01", "2026-02-28")


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    def term() -> str:
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, 40))
        return draw(
            st.sampled_from(["*", "?", f"{first}", f"{first}-{last}", f"*/{step}", f"{first}-{last}/{step}"])
        )

    return ",".join(term() for _ in range(draw(st.integers(1, 2))))


def fits(field: str, low: int, high: int, number: int) -> bool:
    """A second reading of a field, for one number."""
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        start, end = (low, high) if first in "*?" else (int(first), int(last or first))
        if start <= number <= end and (number - start) % int(step or 1) == 0:
            return True
    return False


def is_star(field: str) -> bool:
    return any(term.partition("/")[0] in "*?" and term[2:] in ("", "1") for term in field.split(","))


def oracle(schedule: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """Every minute is asked what the clock on the wall shows."""
    minute, hour, day, month, weekday = schedule.split()
    found = []
    at = after.replace(second=0, microsecond=0)
    while at <= until:
        wall = at.astimezone(ZoneInfo(zone))
        days = fits(day, 1, 31, wall.day), fits(weekday, 0, 6, wall.isoweekday() % 7)
        right_day = all(days) if is_star(day) or is_star(weekday) else any(days)
        if (
            at > after
            and right_day
            and fits(month, 1, 12, wall.month)
            and fits(hour, 0, 23, wall.hour)
            and fits(minute, 0, 59, wall.minute)
        ):
            found.append(at)
        at += timedelta(minutes=1)
    return found


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 6)).map(" ".join),
    st.sampled_from(ZONES),
    st.sampled_from(DAYS),
    st.integers(0, 6 * 3600),
)
def test_whatever_the_schedule_the_times_are_the_minutes_whose_wall_clock_fits(
    schedule: str, zone: str, day: str, offset: int
) -> None:
    after = at(day) - timedelta(hours=6) + timedelta(seconds=offset)
    until = after + timedelta(hours=30)
    try:
        found = parse_schedule(schedule, zone)
    except ValueError as error:
        assert "never comes" in str(error)  # noqa: PT017
        return
    expected = oracle(schedule, zone, after, until)
    assert list(found.times(after, until)) == expected
    assert found.latest(after, until) == (expected[-1] if expected else None)
    following = found.after(after)
    assert following == expected[0] if expected else following is None or following > until
