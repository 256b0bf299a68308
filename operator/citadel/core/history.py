"""Which of the executions that ended are kept as objects, by limits like a CronJob's. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from citadel.api.reasons import Phase


@dataclass(frozen=True)
class Run:
    """An Execution as limits see it. Times are aware."""

    name: str
    uid: str
    created: datetime
    phase: str = ""
    """How it ended; empty as long as it has not."""
    finished: datetime | None = None
    stopping: bool = False
    """Whether it is being ended already."""

    @property
    def ended(self) -> bool:
        return self.phase != ""


def surplus(runs: Iterable[Run], successful: int | None, failed: int | None) -> tuple[Run, ...]:
    """The executions beyond the limits, oldest first; None is no limit. What has not ended is never one."""
    ended = sorted(
        (run for run in runs if run.ended),
        key=lambda run: (run.finished or run.created, run.created, run.name),
    )
    succeeded = [run for run in ended if run.phase == Phase.SUCCEEDED]
    others = [run for run in ended if run.phase != Phase.SUCCEEDED]
    return (*_oldest(succeeded, successful), *_oldest(others, failed))


def _oldest(runs: list[Run], limit: int | None) -> list[Run]:
    return [] if limit is None else runs[: max(0, len(runs) - limit)]
