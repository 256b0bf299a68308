"""The example `nightly-report` on this machine, for days with and without orders, and its Trigger's night."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from citadel.api.schedules import parse_schedule
from citadel.local.documents import read
from component.local.conftest import Citadel

FILE = Path(__file__).parents[3] / "examples" / "nightly-report" / "workflow.yaml"


@pytest.mark.parametrize(
    ("at", "day", "cents"),
    [
        # 17:03 in New York is 23:03 of the same day in Paris, 18:00 is of the next.
        ("2026-03-03T02:30:00+01:00", "2026-03-02", {"amer": 9500, "apac": 31025, "emea": 12500}),
        ("2026-03-04T02:30:00+01:00", "2026-03-03", {"amer": 1200}),
        ("2026-03-06T02:30:00+01:00", "2026-03-05", {}),
    ],
)
def test_a_night_reports_the_day_before_on_its_own_clock(
    citadel: Citadel, at: str, day: str, cents: dict[str, int]
) -> None:
    done = citadel("run", "--local", str(FILE), "-i", f"at={at}")
    assert done.code == 0, done.stderr
    outputs = done.outputs
    assert (outputs["day"], outputs["cents"]) == (day, cents)
    first, *rest = outputs["report"].splitlines()
    assert first == f"Orders of {day}"
    assert [line.split()[0] for line in rest] == (sorted(cents) or ["none"])


def test_its_trigger_comes_every_night_of_the_year_but_the_one_that_has_no_half_past_two() -> None:
    trigger, _ = read(FILE.read_text()).triggers["nightly-report"]
    schedule = parse_schedule(trigger.cron.schedule, trigger.cron.time_zone)
    year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    nights = [at.astimezone(schedule.zone) for at in schedule.times(*year)]
    assert {f"{night:%H:%M}" for night in nights} == {"02:30"}
    days = [night.date().isoformat() for night in nights]
    assert "2026-03-29" not in days
    assert days.count("2026-10-25") == 2
    assert len(days) == 365
