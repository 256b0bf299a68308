"""Cron schedules as people write them, as instants: the language and the clock of Kubernetes' CronJob.

Own code, as the libraries there are mean something else: whether a `*/2` restricts days, `?` in lists, 7 as
Sunday, and times that a change of the clock skips or repeats. A schedule comes at every minute whose reading
on the zone's clock fits: what is skipped does not come, what is repeated comes twice. Knows no present time.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo, available_timezones

from citadel.api.problems import suggestion

#: Years in which a schedule is looked for: 29 February may be eight years away.
_YEARS = 9
_MACROS = MappingProxyType(
    {
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
        "@monthly": "0 0 1 * *",
        "@weekly": "0 0 * * 0",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@hourly": "0 * * * *",
    }
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_TERM = re.compile(r"(?:(\*|\?)|(\w+)(?:-(\w+))?)(?:/(\d{1,4}))?")


@dataclass(frozen=True)
class _Field:
    """One of the five: its name, its bounds, and names of its numbers from the lowest on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def read(self, text: str) -> tuple[frozenset[int], bool]:
        """The numbers that are meant, and whether a star is among them; raises ValueError."""
        numbers: set[int] = set()
        star = False
        for term in text.split(","):
            match = _TERM.fullmatch(term)
            if match is None:
                raise ValueError(f"found {term!r} as {self.name}, expected {self._expected}")
            wild, first, last, step = match.groups()
            start = self.low if wild else self._number(first)
            end = self.high if wild or (step and not last) else self._number(last or first)
            pace = int(step or 1)
            if start > end:
                raise ValueError(f"found {term!r} as {self.name}, expected no range backwards")
            if pace == 0:
                raise ValueError(f"found {term!r} as {self.name}, expected steps of at least 1")
            numbers.update(range(start, end + 1, pace))
            star = star or (wild is not None and pace == 1)
        return frozenset(numbers), star

    def _number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.low
        if not text.isascii() or not text.isdigit() or not self.low <= int(text) <= self.high:
            raise ValueError(f"found {text!r} as {self.name}, expected {self._expected}")
        return int(text)

    @property
    def _expected(self) -> str:
        named = f" ({self.names[0]} to {self.names[-1]})" if self.names else ""
        return f"numbers from {self.low} to {self.high}{named}"


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


@dataclass(frozen=True)
class Schedule:
    """When something comes: fields of the clock of a time zone. All instants are aware, and whole minutes."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool
    """Whether day of month and day of week must both fit; else one is enough."""
    zone: ZoneInfo

    def after(self, at: datetime) -> datetime | None:
        """The first time later than `at`; None if there is none for years."""
        return next(self.times(at, at + timedelta(days=366 * _YEARS)), None)

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last time that is later than `after` and not later than `until`."""
        day, first = until.astimezone(self.zone).date(), after.astimezone(self.zone).date()
        while day >= first:
            found = [at for at in self._of_day(day) if after < at <= until] if self._fits(day) else []
            if found:
                return found[-1]
            day -= timedelta(days=1)
        return None

    def times(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """All times later than `after` and not later than `until`, in their order."""
        day, last = after.astimezone(self.zone).date(), until.astimezone(self.zone).date()
        while day <= last:
            if day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._fits(day):
                yield from (at for at in self._of_day(day) if after < at <= until)
            day += timedelta(days=1)

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        fits = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return all(fits) if self.both_days else any(fits)

    def _of_day(self, day: date) -> tuple[datetime, ...]:
        return _instants(day, self.hours, self.minutes, self.zone)


@lru_cache(maxsize=64)
def _instants(
    day: date, hours: tuple[int, ...], minutes: tuple[int, ...], zone: ZoneInfo
) -> tuple[datetime, ...]:
    """The instants of one day of a zone at which its clock shows one of these hours and minutes."""
    start = datetime.combine(day, time(), zone)
    walls = [datetime.combine(day, time(hour, minute)) for hour in hours for minute in minutes]
    if start.utcoffset() == (start + timedelta(days=1)).replace(fold=1).utcoffset():
        offset = start.utcoffset() or timedelta()
        return tuple((wall - offset).replace(tzinfo=UTC) for wall in walls)
    # The clock is changed on this day: what it skips does not read back as what was asked for.
    found = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for wall in walls for fold in (0, 1)}
    asked = set(walls)
    return tuple(sorted(at for at in found if at.astimezone(zone).replace(tzinfo=None, fold=0) in asked))


def parse_schedule(text: str, zone: str | None = None) -> Schedule:
    """The schedule that a text means in a time zone (UTC without one); raises ValueError in words."""
    if "TZ" in text:
        raise ValueError(f"found {text!r}, expected a schedule without a time zone, which goes into timeZone")
    if text.startswith("@") and text not in _MACROS:
        raise ValueError(f"found {text!r}, expected one of {', '.join(_MACROS)}, or five fields")
    parts = _MACROS.get(text, text).split()
    if len(parts) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        raise ValueError(f"found {len(parts)} fields in {text!r}, expected five: {names}")
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = (
        field.read(part) for field, part in zip(_FIELDS, parts, strict=True)
    )
    both = any_day or any_weekday
    # 2000 had a 29 February.
    if both and min(days) > max(monthrange(2000, month)[1] for month in months):
        raise ValueError(f"found {text!r}, which never comes: no such month has a day {min(days)}")
    return Schedule(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        weekdays,
        both,
        parse_zone(zone or "UTC"),
    )


def parse_zone(name: str) -> ZoneInfo:
    """The time zone of a name of the IANA database; raises ValueError in words."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        near = suggestion(name, available_timezones())
        raise ValueError(
            f"found {name!r}, expected a time zone of the IANA database such as Europe/Berlin{near}"
        ) from None
