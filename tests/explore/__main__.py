"""`make explore`: a million states and more, a process for each processor."""

import sys
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from explore.machine import Explorer
from explore.workflows import WORLDS

#: States of each workflow.
BUDGET = 120_000


def explore(name: str, budget: int) -> tuple[str, int, str]:
    """Explores one workflow; its name, the number of its states, and what there is to say."""
    world, begin = WORLDS[name], time.monotonic()
    found = Explorer(world.plan, budget, world.signals, world.pool).run()
    told = f"{found.moves} moves, {found.ended} ends, {found.reruns} reruns, {time.monotonic() - begin:.0f} s"
    return name, len(found.seen), told


def main() -> None:
    budget = int(sys.argv[1]) if len(sys.argv) > 1 else BUDGET
    begin, states = time.monotonic(), 0
    # Each in a process of its own: what one workflow took is given back before the next.
    with get_context("fork").Pool(maxtasksperchild=1) as workers:
        for name, count, told in workers.imap_unordered(partial(explore, budget=budget), WORLDS):
            states += count
            print(f"{name}: {count} states, {told}, no violation", flush=True)
    print(f"{states} states in {time.monotonic() - begin:.0f} s, no violation")


if __name__ == "__main__":
    main()
