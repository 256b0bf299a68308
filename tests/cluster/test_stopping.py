"""Cancel, terminate, suspend and resume, by somebody with the role `edit`, at moments of all kinds."""

import json
from typing import Any

from live import Cluster, User, python

FOREVER = "import time\ndef main(**given):\n    print('begun', flush=True)\n    time.sleep(600)"
LAST = python("last", "def main(phase):\n    print('ended', phase)", args={"phase": "${execution.phase}"})


def booked(undo: str) -> dict[str, Any]:
    """A step that is to be undone by this code."""
    given = {"run": {"runtime": "python", "code": undo}, "with": {"id": "${output.id}"}}
    return python("book", "def main(): return {'id': 7}", compensate=given)


def runs(name: str) -> Any:
    """Whether a step is in a sandbox."""

    def holds(obj: dict[str, Any]) -> bool:
        steps = (obj.get("status") or {}).get("steps") or ()
        return any((step["name"], step["status"]) == (name, "Running") for step in steps)

    return holds


def phase(wanted: str) -> Any:
    return lambda obj: (obj.get("status") or {}).get("phase") == wanted


def patch(user: User, name: str, **spec: Any) -> None:
    user.kubectl("patch", "execution", name, "--type=merge", "-p", json.dumps({"spec": spec}))


def refused(user: User, name: str, **spec: Any) -> bool:
    """Whether the API server refuses what is asked."""
    asked = json.dumps({"spec": spec})
    said = user.kubectl("patch", "execution", name, "--type=merge", "-p", asked, check=False)
    return "never taken back" in said


async def test_what_is_cancelled_while_it_is_suspended_is_undone_at_once(
    cluster: Cluster, user: User
) -> None:
    paid = {"name": "paid", "wait": {"signal": "payment"}}
    undo = "def main(id):\n    print('undone', id)"
    await cluster.workflow("flow", [booked(undo), paid], **{"finally": [LAST]})
    name = await cluster.execute("flow")
    await cluster.until(name, phase("Waiting"))
    user.citadel("suspend", name)
    await cluster.until(name, phase("Suspended"))
    user.citadel("suspend", name)
    user.citadel("cancel", name)
    user.citadel("cancel", name)
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled"), status
    assert sorted(user.citadel("logs", name).splitlines()) == [
        "book.compensate | undone 7",
        "last | ended Cancelled",
    ]
    assert "has already ended: Cancelled" in user.refused("resume", name)


async def test_a_stop_is_raised_and_never_taken_back(cluster: Cluster, user: User) -> None:
    slow = python("slow", FOREVER)
    await cluster.workflow("flow", [booked(FOREVER), slow], **{"finally": [LAST]})
    name = await cluster.execute("flow")
    await cluster.until(name, runs("slow"))
    patch(user, name, stop="Cancel")
    assert refused(user, name, stop=None)
    await cluster.until(name, runs("book.compensate"))
    patch(user, name, suspend=True)
    patch(user, name, stop="Terminate")
    assert refused(user, name, stop="Cancel")
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Cancelled", "Terminated"), status
    patch(user, name, suspend=False)
    steps = {step["name"]: step["status"] for step in (await cluster.get(name))["status"]["steps"]}
    assert steps["book.compensate"] == "Cancelled"
    assert steps.get("last", "Pending") == "Pending"
    assert "last" not in user.citadel("logs", name)


async def test_what_is_asked_from_the_beginning_holds(cluster: Cluster, user: User) -> None:
    await cluster.workflow("flow", [python("a", "def main(): return 1")], outputs={"a": "${steps.a.output}"})
    stopped = await cluster.execute("flow", stop="Cancel", suspend=True)
    held = await cluster.execute("flow", suspend=True)
    assert (await cluster.finished(stopped))["status"]["phase"] == "Cancelled"
    await cluster.until(held, phase("Suspended"))
    user.citadel("resume", held)
    status = (await cluster.finished(held))["status"]
    assert (status["phase"], status["outputs"]) == ("Succeeded", {"a": 1})
