"""What the status of Runtimes says of their pools, and when it is worth a write. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from citadel.controller.checking import Unusable
from citadel.controller.pools import Size

#: Seconds between two reports of a pool's size.
REPORT_SECONDS = 30.0
#: Seconds for which a size must have lasted: each claim changes it for a moment, and is no news.
LASTING_SECONDS = 5.0
#: Seconds after which a size is reported though it never lasts.
STALE_SECONDS = 300.0

Key = tuple[str, str]


@dataclass(frozen=True)
class Report:
    """What the status of a Runtime says of its pool."""

    size: Size | None = None
    problem: Unusable | None = None

    @property
    def said(self) -> str | None:
        """What is wrong with the pool."""
        return self.problem.message if self.problem is not None else None


@dataclass
class Board:
    """The reports that are due to be read, by namespace and name of the Runtime."""

    reports: dict[Key, Report] = field(default_factory=dict)
    complete: bool = False
    """Whether all pools are in it: a controller that has just begun to lead knows of none."""
    _posted: dict[Key, float] = field(default_factory=dict)
    _seen: dict[Key, tuple[Size | None, float]] = field(default_factory=dict)

    def post(self, fresh: Mapping[Key, Report], now: float) -> list[Key]:
        """Takes what is true of all pools now; returns the Runtimes whose status is to be written."""
        self.complete = True
        news = []
        for key in fresh.keys() | self.reports.keys():
            old, new = self.reports.get(key), fresh.get(key)
            if new is None:
                del self.reports[key]
                self._posted.pop(key, None)
                self._seen.pop(key, None)
                news.append(key)
            elif self._is_due(key, new, now) or old is None or old.said != new.said:
                self.reports[key] = new
                self._posted[key] = now
                news.append(key)
        return news

    def _is_due(self, key: Key, new: Report, now: float) -> bool:
        seen, since = self._seen.get(key, (None, now))
        if seen != new.size:
            since = now
            self._seen[key] = new.size, now
        old = self.reports.get(key)
        if old is None or old.size == new.size:
            return False
        quiet = now - self._posted.get(key, float("-inf"))
        return quiet >= (REPORT_SECONDS if now - since >= LASTING_SECONDS else STALE_SECONDS)
