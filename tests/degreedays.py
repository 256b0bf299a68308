"""What the example `degree-days` must find, computed in another way: exact fractions, calendar dates."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "degree-days"
CSV = EXAMPLE / "seattle-temps.csv"


@dataclass(frozen=True)
class Year:
    """The hours of a year in °C, by day."""

    hours: dict[date, list[Fraction]]

    @property
    def means(self) -> dict[date, Fraction]:
        """The mean of each day."""
        return {day: sum(degrees, Fraction()) / len(degrees) for day, degrees in self.hours.items()}

    def demand(self, base: Fraction | int) -> dict[date, Fraction]:
        """Heating degree days of each day that is colder than `base`."""
        return {day: base - mean for day, mean in self.means.items() if mean < base}

    def monthly_demand(self, base: Fraction | int) -> dict[str, Fraction]:
        """The same by month, `2010-01`."""
        months: dict[str, Fraction] = defaultdict(Fraction)
        for day, degrees in self.demand(base).items():
            months[day.strftime("%Y-%m")] += degrees
        return dict(months)

    def hotter_than(self, comfort: Fraction | int) -> set[date]:
        """Days with an hour above `comfort`."""
        return {day for day, degrees in self.hours.items() if max(degrees) > comfort}


def read(path: Path = CSV) -> Year:
    """The file of the example."""
    hours: dict[date, list[Fraction]] = defaultdict(list)
    header, *rows = path.read_text().splitlines()
    assert header == "date,temp"
    for row in rows:
        moment, fahrenheit = row.split(",")
        day = datetime.strptime(moment, "%Y/%m/%d %H:%M").date()
        hours[day].append((Fraction(fahrenheit) - 32) * Fraction(5, 9))
    return Year(dict(hours))
