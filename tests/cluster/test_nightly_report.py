"""The example `nightly-report`, run by hand from its Trigger by somebody who has only the role `edit`."""

import json
from datetime import datetime, timedelta
from pathlib import Path

from live import User

EXAMPLE = Path(__file__).parents[2] / "examples" / "nightly-report"


def test_a_night_by_hand_is_one_of_the_trigger(user: User) -> None:
    user.kubectl("apply", "-f", str(EXAMPLE / "workflow.yaml"))
    user.kubectl("wait", "--for=condition=Ready", "trigger/nightly-report", "--timeout=30s")
    outputs = json.loads(user.citadel("trigger", "nightly-report", "--wait"))
    (run,) = json.loads(
        user.kubectl("get", "executions", "-l", "citadel.dev/trigger=nightly-report", "-o", "json")
    )["items"]
    at = datetime.fromisoformat(run["spec"]["inputs"]["at"])
    assert outputs["day"] == (at - timedelta(days=1)).date().isoformat()
    assert outputs["report"].startswith(f"Orders of {outputs['day']}\n")
    given = json.loads(user.citadel("run", "nightly-report", "-i", "at=2026-03-03T02:30:00+01:00", "--wait"))
    assert given["cents"] == {"amer": 9500, "apac": 31025, "emea": 12500}
