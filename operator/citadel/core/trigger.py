"""What a Trigger does now: which time of its schedule is due, which executions end or go. Pure.

The rules are those of a CronJob: of several missed times only the latest is started, a deadline bounds how
late, and what a time means while an execution runs is the concurrency policy. An execution's name is made of
its time, so whoever decides twice starts it once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from citadel.api.reasons import Phase
from citadel.api.schedules import Schedule, parse_schedule
from citadel.api.trigger import TriggerSpec
from citadel.core.history import Run, surplus

#: Missed times above which something is wrong, most likely a clock.
MANY = 100


@dataclass(frozen=True)
class Observed:
    """A Trigger, the executions that it has, and what its status says. Times are aware."""

    name: str
    spec: TriggerSpec
    created: datetime
    now: datetime
    runs: tuple[Run, ...] = ()
    last: datetime | None = None
    """Latest time of the schedule that was started."""
    last_success: datetime | None = None


@dataclass(frozen=True)
class Note:
    """What people are told by an event."""

    reason: str
    message: str
    warning: bool = True


@dataclass(frozen=True)
class Decision:
    """What to do, and what the status says afterwards."""

    start: datetime | None
    """Time of the schedule for which an execution is started."""
    cancel: tuple[Run, ...]
    """Executions that it takes the place of."""
    delete: tuple[Run, ...]
    """Executions that ended, beyond the limits of what is kept."""
    notes: tuple[Note, ...]
    last: datetime | None
    last_success: datetime | None
    next: datetime | None
    active: tuple[Run, ...]
    """Executions that have not ended, oldest first; the one to start is not among them."""


def execution_name(trigger: str, scheduled: datetime) -> str:
    """The one name that the execution of a time can have: the minutes since the epoch, as Jobs have them."""
    return f"{trigger}-{int(scheduled.timestamp()) // 60}"


def decide_trigger(observed: Observed) -> Decision:
    """What follows from what is there."""
    spec, runs = observed.spec, observed.runs
    active = tuple(sorted((run for run in runs if not run.ended), key=lambda run: (run.created, run.name)))
    successes = (run.finished for run in runs if run.phase == Phase.SUCCEEDED and run.finished is not None)
    last: datetime | None = observed.last
    start: datetime | None = None
    cancel: tuple[Run, ...] = ()
    notes: list[Note] = []
    following = None
    if not spec.suspend:
        schedule = parse_schedule(spec.cron.schedule, spec.cron.time_zone)
        following = schedule.after(observed.now)
        due = _due(observed, schedule, notes)
        if due is not None and any(run.name == execution_name(observed.name, due) for run in runs):
            last, due = due, None  # it was started, and whoever did had no time to say so
        if due is not None and active and spec.cron.concurrency_policy == "Forbid":
            message = f"the execution of {_said(due)} waits: {active[-1].name} runs, and the policy is Forbid"
            notes.append(Note("AlreadyActive", message, warning=False))
        elif due is not None:
            start = last = due
            cancel = active if spec.cron.concurrency_policy == "Replace" else ()
    return Decision(
        start=start,
        cancel=tuple(run for run in cancel if not run.stopping),
        delete=surplus(runs, spec.successful_executions_history_limit, spec.failed_executions_history_limit),
        notes=tuple(notes),
        last=last,
        last_success=_latest((observed.last_success, *successes)),
        next=following,
        active=active,
    )


def _due(observed: Observed, schedule: Schedule, notes: list[Note]) -> datetime | None:
    """The latest time that has come and was not started."""
    since, now = observed.last or observed.created, observed.now
    latest = schedule.latest(since, now)
    deadline = observed.spec.cron.starting_deadline_seconds
    if latest is not None and deadline is not None:
        earliest = now - timedelta(seconds=deadline)
        if latest < earliest:
            message = f"the execution of {_said(latest)} was not started within {deadline} s, and is left out"
            notes.append(Note("MissedSchedule", message))
            return None
        since = max(since, earliest)
    if latest is not None and len(list(islice(schedule.times(since, now), MANY + 1))) > MANY:
        message = f"more than {MANY} times were missed, of which only the latest is started: set or lower"
        notes.append(Note("TooManyMissedTimes", f"{message} startingDeadlineSeconds, or check the clocks"))
    return latest


def _latest(times: Iterable[datetime | None]) -> datetime | None:
    return max((at for at in times if at is not None), default=None)


def _said(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
