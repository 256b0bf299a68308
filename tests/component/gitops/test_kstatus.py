"""What Flux and others make of our statuses, by upstream's own library."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from component.gitops import statuses

EXPECTED: dict[str, tuple[dict[str, Any], str]] = {
    "a new Workflow": (statuses.unseen("Workflow"), "InProgress"),
    "a new Execution": (statuses.unseen("Execution"), "InProgress"),
    "a definition that can be used": (statuses.definition(None), "Current"),
    "one that was edited since": (statuses.definition(None, edited=True), "InProgress"),
    "one whose Runtime is missing": (statuses.definition(statuses.MISSING), "InProgress"),
    "one that only an edit can cure": (statuses.definition(statuses.WRONG), "Failed"),
    "a policy": (statuses.definition(None, "ExecutionPolicy"), "Current"),
    **{
        f"an Execution {state}": (statuses.execution(state), expected)
        for state, expected in {
            "pending": "InProgress",
            "without its workflow": "InProgress",
            "running": "InProgress",
            "suspended": "InProgress",
            "succeeded": "Current",
            "failed": "Failed",
            "timed out": "Failed",
            "cancelled": "Current",
        }.items()
    },
}


@pytest.fixture(scope="module")
def found(upstream: Path) -> dict[str, str]:
    """What kstatus says of each."""
    objects = {"items": [obj for obj, _ in EXPECTED.values()]}
    done = subprocess.run(
        [upstream / "kstatus"], input=json.dumps(objects), capture_output=True, text=True, check=True
    )
    return dict(zip(EXPECTED, done.stdout.split(), strict=True))


@pytest.mark.parametrize("case", EXPECTED)
def test_kstatus_sees(case: str, found: dict[str, str]) -> None:
    assert found[case] == EXPECTED[case][1]
