"""`make explore`: a million states and more, with progress."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from explore.machine import Explorer
from explore.workflows import SIGNALS, WORKFLOWS

BUDGET = 300_000


def main() -> None:
    states = moves = 0
    for name, plan in WORKFLOWS.items():
        begin = time.monotonic()
        found = Explorer(plan, BUDGET, SIGNALS).run()
        states += len(found.seen)
        moves += found.moves
        took = time.monotonic() - begin
        print(
            f"{name}: {len(found.seen)} states, {found.moves} moves, {took:.0f} s, no violation", flush=True
        )
    print(f"{states} states, {moves} moves in all, no violation")


if __name__ == "__main__":
    main()
