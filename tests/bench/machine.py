"""What the machine is worth while something is measured: hours of a shared one differ more than versions."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ADDITIONS = 1_000_000
SAMPLES = 5
#: Milliseconds that they take on an idle core of 3 GHz.
USUAL = 50
#: Share of its processors below which a machine has been left alone by its host.
ALONE = 0.02
#: Share of idle time from which a machine is at rest, and seconds that it is waited for at most.
AT_REST, REST_SECONDS = 0.75, 20


@contextmanager
def observed() -> Iterator[None]:
    """Prints afterwards how quick this machine was, before and after, and what its host took away."""
    before, host = pace(), Host()
    yield
    share, after = host.took(), pace()
    print(
        f"the machine: a million additions in {before:.0f} and {after:.0f} ms ({USUAL} on an idle core"
        f" of 3 GHz), {share:.0%} of its processors taken away by its host"
    )


class Host:
    """What the host of a machine takes away of it: by that a slow moment is told from slow work."""

    def __init__(self) -> None:
        self._stolen, self._total = _processors()

    def took(self) -> float:
        """The share of the processors since this was asked last."""
        stolen, total = self._stolen, self._total
        self._stolen, self._total = _processors()
        return (self._stolen - stolen) / max(1, self._total - total)


def pace() -> float:
    """Milliseconds of so many additions, the median of some."""
    return statistics.median(_additions() for _ in range(SAMPLES))


def _additions() -> float:
    began, total = time.perf_counter(), 0
    for number in range(ADDITIONS):
        total += number
    return (time.perf_counter() - began) * 1000


async def at_rest() -> None:
    """Returns when the processors have had little to do for a second: a pod that starts takes both of them.

    A cluster of one node has its own work to do all the time, of about a fifth of two processors.
    """
    for _ in range(REST_SECONDS):
        idle, total = _idle()
        await asyncio.sleep(1)
        idle_by_now, total_by_now = _idle()
        if (idle_by_now - idle) / (total_by_now - total) >= AT_REST:
            return


def _processors() -> tuple[int, int]:
    """Ticks that the host took away, and all."""
    ticks = _ticks()
    return ticks[7], sum(ticks)


def _idle() -> tuple[int, int]:
    ticks = _ticks()
    return ticks[3] + ticks[4], sum(ticks)


def _ticks() -> list[int]:
    """As proc_stat(5) has them."""
    return [int(found) for found in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
