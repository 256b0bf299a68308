from datetime import datetime, timezone

import pytest

from openhours import Hours

SHOP = Hours("Mon-Fri 08:00-18:30; Sat 09:00-13:00", "Europe/Berlin")
BAR = Hours("Fri-Mon 18:00-23:30", "Europe/Berlin")


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (utc(2026, 3, 2, 7, 0), True),      # eight o'clock in winter
        (utc(2026, 3, 2, 6, 59), False),
        (utc(2026, 7, 6, 6, 0), True),      # eight o'clock in summer
        (utc(2026, 7, 6, 16, 30), False),   # half past six: closed
        (utc(2026, 3, 7, 11, 59), True),    # Saturday
        (utc(2026, 3, 7, 12, 0), False),
        (utc(2026, 3, 8, 10, 0), False),    # Sunday
    ],
)
def test_a_shop_is_open_on_its_own_clock(at, is_open):
    assert SHOP.is_open(at) is is_open


def test_a_moment_may_be_told_on_any_clock():
    assert SHOP.is_open(datetime.fromisoformat("2026-03-02T16:30:00+09:00"))
    assert not SHOP.is_open(datetime.fromisoformat("2026-03-02T16:30:00-05:00"))


def test_days_go_on_over_the_end_of_the_week():
    assert BAR.is_open(utc(2026, 3, 2, 20, 0))      # Monday
    assert not BAR.is_open(utc(2026, 3, 3, 20, 0))


def test_a_shop_opens_on_the_next_of_its_days():
    assert SHOP.opens(utc(2026, 3, 7, 12, 0)) == utc(2026, 3, 9, 7, 0)
    assert SHOP.opens(utc(2026, 3, 27, 12, 0)) == utc(2026, 3, 28, 8, 0)


def test_summer_time_begins_while_a_shop_is_closed():
    assert SHOP.opens(utc(2026, 3, 28, 14, 0)) == utc(2026, 3, 30, 6, 0)


@pytest.mark.parametrize("text", ["", "Mon 8-12", "Mon-Fry 08:00-12:00", "Mon 08:00-12:00;"])
def test_what_are_no_opening_hours_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        Hours(text, "Europe/Berlin")
