"""The examples, and what each has to give: the same on this machine and on a cluster."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import airtraffic

EXAMPLES = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Decision:
    """What an approver says to a step that asks."""

    step: str
    by: str
    group: str
    approve: bool = True
    reason: str = ""
    form: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Signal:
    """What another system tells, before anybody waits for it or while a step does."""

    name: str
    payload: Any
    early: bool = False


@dataclass(frozen=True)
class Flow:
    """One run of an example."""

    example: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None
    """None where it has to fail; computed where that takes time."""
    printed: tuple[str, ...] = ()
    """What its steps print, in this order."""
    fails: str = ""
    """A part of the message of its failure."""
    outside: tuple[Decision | Signal, ...] = ()
    """What comes from outside, in this order."""
    sooner: Mapping[str, str] = field(default_factory=dict)
    """Times of the workflow that are too long for a test."""
    languages: frozenset[str] = frozenset({"python"})
    """What its steps are written in."""

    @property
    def folder(self) -> Path:
        return EXAMPLES / self.example

    @property
    def containers(self) -> bool:
        """Whether it has steps that run in an image of its own."""
        return (self.folder / "image").is_dir()

    def hurried(self, manifests: str) -> str:
        """The example with the times of this run."""
        for time, other in self.sooner.items():
            assert time in manifests
            manifests = manifests.replace(time, other)
        return manifests

    def __str__(self) -> str:
        said = [f"{name}={value!r:.20}" for name, value in self.inputs.items()]
        told = [
            f"{told.step if isinstance(told, Decision) else told.name} is answered" for told in self.outside
        ]
        return ", ".join([self.example, *said, *told, *self.sooner.values()])


def _report(stations: int, broken: list[int], warmest: int | None) -> dict[str, Any]:
    return {"report": {"stations": stations - len(broken), "left out": broken, "warmest": warmest}}


def _build(zones: int) -> dict[str, Any]:
    package = {"file": "openhours-1.2.0-py3-none-any.whl", "sha256": re.compile("[0-9a-f]{64}")}
    tested = {"zones": zones + 1, "tests": 15 * (zones + 1)}
    return {"revision": re.compile("[0-9a-f]{12}"), "package": package, "tested": tested}


def _flights() -> dict[str, Any]:
    traffic = airtraffic.read()
    origin, destination = traffic.longest()
    return {
        "report": re.compile("7,009,728 flights on 5,366 routes between 305 airports"),
        "flights": sum(traffic.flights.values()),
        "kilometres": traffic.kilometres(),
        "longest": {"from": origin, "to": destination, "kilometres": ANY},
        "hubs": [ANY] * 3,
        "critical": sorted(traffic.critical()),
        "drawn": ANY,
    }


ANN = Decision("lead", "ann", "leads", reason="go ahead", form={"time": "1s"})
SAM = Decision("security", "sam", "security", reason="seen")
GUS = Decision("ok", "gus", "finance", reason="a good customer", form={"discount": 10})
ASKED = {"who": "ada", "why": "eine Rechnung für Zoë"}
DESK, TEA = [{"item": "desk", "price": 300}], [{"item": "Tee", "price": 4.5, "count": 2}]
BROKEN = (EXAMPLES / "ci" / "broken.patch").read_text()
UNTIDY = "--- a/openhours.py\n+++ b/openhours.py\n@@ -3 +3,2 @@\n+import os\n import re\n"


def _receipt(by: str | None, due: float, paid: float) -> dict[str, Any]:
    return {"receipt": {"approved by": by, "due": due, "paid": paid, "open": round(due - paid, 2)}}


FLOWS = (
    Flow(
        "travel",
        {"nights": 2},
        {"price": 460, "bookings": ["H-2", "C-2", "F-2"]},
        ("journey has been booked",),
    ),
    Flow(
        "travel",
        {"seats": 0},
        printed=("given back: C-3", "given back: H-3", "journey has not been booked"),
        fails="no seat left",
    ),
    Flow("etl", {"stations": 9, "broken": [0, 4]}, _report(9, [0, 4], 8)),
    Flow("etl", {"stations": 0, "broken": []}, _report(0, [], None)),
    Flow("write-and-test", {"of": 2, "precision": 1e-12}, {"root": math.sqrt(2)}),
    Flow(
        "nightly-report",
        {"at": "2026-03-03T02:30:00+01:00"},
        {"day": "2026-03-02", "cents": {"amer": 9500, "apac": 31025, "emea": 12500}, "report": ANY},
        ("4 orders on 2026-03-02",),
    ),
    Flow(
        "order", {"lines": DESK}, _receipt("gus", 270, 200), outside=(GUS, Signal("payment", {"amount": 200}))
    ),
    Flow(
        "order", {"lines": TEA}, _receipt(None, 9, 9), outside=(Signal("payment", {"amount": 9}, early=True),)
    ),
    Flow("order", {"lines": TEA}, fails="no signal payment within", sooner={"timeout: 720h": "timeout: 1s"}),
    Flow("order", {"lines": DESK}, fails="nobody decided within", sooner={"timeout: 48h": "timeout: 1s"}),
    Flow(
        "access",
        ASKED,
        {"time": "1s", "lead": "ann", "security": "sam"},
        ("ada may for 1s", "taken back: key of ada"),
        outside=(ANN, SAM),
    ),
    Flow(
        "access",
        ASKED,
        {"time": "1s", "lead": "ann", "security": ""},
        ("ada may for 1s", "taken back: key of ada"),
        outside=(ANN,),
        sooner={"timeout: 20s": "timeout: 1s"},
    ),
    Flow("access", ASKED, fails="nobody decided within", sooner={"timeout: 10m": "timeout: 1s"}),
    Flow(
        "access",
        ASKED,
        fails="sam rejected it: not from there",
        outside=(ANN, Decision("security", "sam", "security", approve=False, reason="not from there")),
    ),
    Flow("ci", {"zones": ["UTC", "Asia/Tokyo"]}, _build(2), ("15 tests, 0 red", "Asia/Tokyo", "green")),
    Flow(
        "ci",
        {"patch": BROKEN},
        printed=("patching file openhours.py", "red at report"),
        fails="red tests: 5 in UTC, 3 in Asia/Kathmandu, 6 in America/St_Johns",
    ),
    Flow(
        "ci", {"patch": UNTIDY}, printed=("F401 'os' imported but unused", "red at lint"), fails="exit code 1"
    ),
    Flow(
        "ci",
        {"zones": ["Mars/Olympus"]},
        printed=("no time zone Mars/Olympus", "red at report"),
        fails="Mars/Olympus could not be tested; red: none",
    ),
    Flow(
        "polyglot",
        {"top": 3},
        _flights,
        ("306 tables/airports.csv", "7,009,728 flights between"),
        languages=frozenset({"python", "javascript", "go", "java"}),
    ),
)


def local_options(flow: Flow) -> list[str]:
    """The options of `citadel run --local` that give what a run needs, ahead where it comes from outside."""
    options = []
    for name, value in flow.inputs.items():
        options += ["-i", f"{name}:={json.dumps(value)}"]
    for told in flow.outside:
        match told:
            case Signal():
                options += ["--signal", f"{told.name}={json.dumps(told.payload)}"]
            case Decision(approve=True):
                form = f"={json.dumps(dict(told.form))}" if told.form else ""
                options += ["--approve", f"{told.step}{form}", "--reason", told.reason]
            case _:
                options += ["--reject", f"{told.step}={told.reason}"]
    return options


def check(
    flow: Flow, succeeded: bool, outputs: Any, log: str, message: str, decider: str | None = None
) -> None:
    """Whether a run did what it has to. `decider` is who decided, where nobody can be somebody else."""
    assert succeeded == (flow.outputs is not None), f"{message}\n{log}"
    names = {told.by: decider or told.by for told in flow.outside if isinstance(told, Decision)}
    if flow.outputs is not None:
        expected = flow.outputs() if callable(flow.outputs) else flow.outputs
        _same(dict(expected), outputs, "outputs", names)
    else:
        fails = flow.fails
        for name, other in names.items():
            fails = fails.replace(name, other)
        assert fails in message
    at = -1
    for text in flow.printed:
        assert (at := log.find(text, at + 1)) >= 0, f"{text!r} was not printed in its place: {log}"


def _same(expected: Any, found: Any, path: str, names: Mapping[str, str]) -> None:
    if isinstance(expected, dict):
        assert expected.keys() == found.keys(), path
        for name, value in expected.items():
            _same(value, found[name], f"{path}.{name}", names)
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-9), path
    elif isinstance(expected, re.Pattern):
        assert expected.search(found), path
    elif isinstance(expected, str):
        assert found == names.get(expected, expected), path
    else:
        assert found == expected, path
