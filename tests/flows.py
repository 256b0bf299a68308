"""Examples of control flow, and what each has to give: the same on this machine and on a cluster."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Flow:
    """One run of an example."""

    example: str
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] | None = None
    """None where it has to fail."""
    printed: tuple[str, ...] = ()
    """What its steps print, in this order."""

    @property
    def workflow(self) -> Path:
        return EXAMPLES / self.example / "workflow.yaml"


def _report(stations: int, broken: list[int], warmest: int | None) -> dict[str, Any]:
    return {"report": {"stations": stations - len(broken), "left out": broken, "warmest": warmest}}


FLOWS = (
    Flow(
        "travel",
        {"nights": 2},
        {"price": 460, "bookings": ["H-2", "C-2", "F-2"]},
        ("journey has been booked",),
    ),
    Flow("travel", {"seats": 0}, None, ("given back: C-3", "given back: H-3", "journey has not been booked")),
    Flow("etl", {"stations": 9, "broken": [0, 4]}, _report(9, [0, 4], 8)),
    Flow("etl", {"stations": 0, "broken": []}, _report(0, [], None)),
    Flow("write-and-test", {"of": 2, "precision": 1e-12}, {"root": math.sqrt(2)}),
)


def check(flow: Flow, succeeded: bool, outputs: Any, log: str) -> None:
    """Whether a run did what it has to."""
    assert succeeded == (flow.outputs is not None), log
    if flow.outputs is not None:
        assert outputs.keys() == flow.outputs.keys()
        for name, value in flow.outputs.items():
            close = isinstance(value, float) and abs(outputs[name] - value) < 1e-9
            assert close or outputs[name] == value, name
    at = -1
    for text in flow.printed:
        assert (at := log.find(text, at + 1)) >= 0, f"{text!r} was not printed in its place: {log}"
