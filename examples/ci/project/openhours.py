"""Is a shop open? Opening hours such as "Mon-Fri 08:00-18:30; Sat 09:00-13:00", on the clock of the shop."""

import re
import sys
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
RULE = re.compile(r"(\w{3})(?:-(\w{3}))? (\d\d:\d\d)-(\d\d:\d\d)")


class Hours:
    """The opening hours of one shop."""

    def __init__(self, text, zone):
        self.zone = ZoneInfo(zone)
        self.rules = [rule for part in text.split(";") for rule in self._rules(part.strip())]

    @staticmethod
    def _rules(text):
        match = RULE.fullmatch(text)
        if match is None:
            raise ValueError(f"found {text!r}, expected days and hours such as 'Mon-Fri 08:00-18:30'")
        first, last, begin, end = match.groups()
        for name in (first, last or first):
            if name not in DAYS:
                raise ValueError(f"found the day {name!r}, expected one of {', '.join(DAYS)}")
        day, until = DAYS.index(first), DAYS.index(last or first)
        while True:
            yield day, time.fromisoformat(begin), time.fromisoformat(end)
            if day == until:
                return
            day = (day + 1) % 7

    def here(self, at):
        """A moment as the clock of the shop shows it."""
        return at.astimezone(self.zone)

    def is_open(self, at):
        """Whether somebody is there at this moment."""
        here = self.here(at)
        return any(day == here.weekday() and begin <= here.time() < end for day, begin, end in self.rules)

    def opens(self, at):
        """The next moment, from this one on, at which the shop opens."""
        here = self.here(at)
        for ahead in range(8):
            date = here.date() + timedelta(days=ahead)
            moments = [
                datetime.combine(date, begin, self.zone)
                for day, begin, _ in self.rules
                if day == date.weekday()
            ]
            later = [moment for moment in moments if moment >= here]
            if later:
                return min(later)
        return None


if __name__ == "__main__":
    shop = Hours(sys.argv[1], sys.argv[2])
    moment = datetime.fromisoformat(sys.argv[3])
    print("open" if shop.is_open(moment) else f"closed until {shop.opens(moment).isoformat()}")
