"""The example `isolation`, run by somebody who has the role `edit` in one namespace and nothing else."""

import json
from pathlib import Path

from live import User, foreign_image

EXAMPLE = Path(__file__).parents[2] / "examples" / "isolation"


def test_every_attempt_is_held_and_the_report_says_so(user: User) -> None:
    workflow = (EXAMPLE / "workflow.yaml").read_text()
    assert "localhost/citadel-degree-days:dev" in workflow
    workflow = workflow.replace("localhost/citadel-degree-days:dev", foreign_image())
    user.kubectl("apply", "-f", "-", stdin=workflow)
    status = user.finished((EXAMPLE / "run.yaml").read_text())["status"]
    assert status["phase"] == "Succeeded", json.dumps(status)
    report = status["outputs"]["report"]
    header, *rows = report.splitlines()
    assert header.split() == ["tried", "held", "what", "was", "heard"]
    assert status["outputs"]["tried"] == len(rows) == 23
    assert [row for row in rows if " yes " not in row] == []
    assert status["outputs"]["held"] == 23
    assert "find files of the step before" in report
    assert "0 found in the same sandbox" in report
