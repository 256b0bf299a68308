"""What is told of an execution where nothing can be redrawn."""

from citadel.cli.showing import Lines
from citadel.cli.steps import View


def test_that_it_waits_for_its_turn_is_told_once() -> None:
    told: list[str] = []
    lines = Lines(told.append)
    for phase, reason in (("Pending", "Accepted"), ("Pending", "ConcurrencyLimit"), ("Running", "Running")):
        for _ in range(2):
            lines.update(View("run", phase, reason, "waits for its turn"))
    assert told == ["run  Pending  ConcurrencyLimit: waits for its turn"]
