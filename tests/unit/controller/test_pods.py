"""What a pod's status means, and what follows from a row and its pod: as tables."""

from dataclasses import replace
from typing import Any

import pytest

from citadel.controller.deciding import PROOF_SECONDS, decide_sandbox, decide_unproven
from citadel.controller.pods import PATIENCE, Diagnosis, diagnose, is_live
from citadel.store.sandboxes import SandboxRow

LIMIT = 600.0
CREATED = 1_770_000_000.0


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state}


def ended(reason: str, code: int = 1, **fields: Any) -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": code, **fields}}


def waits(reason: str, message: str = "said") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


RUNS = {"running": {"startedAt": "2026-01-31T12:00:00Z"}}


def pod(*containers: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": list(containers), **status}}


def main(runner: dict[str, Any] = RUNS, **state: Any) -> dict[str, Any]:
    """A pod whose runner runs and whose main is in this state."""
    return pod(container("runner", **runner), container("main", **state))


NO_POD_SANDBOX = {"status": {"conditions": [{"type": "PodReadyToStartContainers", "status": "False"}]}}


def unscheduled(message: str = "0/3 nodes are available") -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"status": {"phase": "Pending", "conditions": [condition]}}


disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "x"}

ENDED = [
    pytest.param(
        main(**ended("OOMKilled", 137)), 0, "OOMKilled", "exceeding its memory limit", id="main OOMKilled"
    ),
    pytest.param(
        main(ended("Error", 3), **ended("OOMKilled", 137)), 0, "OOMKilled", "main", id="both, main said more"
    ),
    pytest.param(
        main(ended("OOMKilled"), **RUNS), 0, "OOMKilled", "container runner", id="the runner OOMKilled"
    ),
    pytest.param(main(**ended("Error", 2)), 0, "SandboxLost", "main ended with exit code 2", id="main ended"),
    pytest.param(main(**ended("Completed", 0)), 0, "SandboxLost", "exit code 0", id="main completed"),
    pytest.param(
        main(ended("Error", 4), **RUNS), 0, "SandboxLost", "runner ended with exit code 4", id="runner ended"
    ),
    pytest.param(
        main(**ended("StartError", 128, message="no such file")),
        0,
        "SandboxStartFailed",
        "no such file",
        id="main did not start",
    ),
    pytest.param(
        main(**ended("ContainerCannotRun", 127)),
        0,
        "SandboxStartFailed",
        "ContainerCannotRun",
        id="cannot run",
    ),
    pytest.param(
        main(ended("Error", 1), **ended("StartError", 128)),
        0,
        "SandboxLost",
        "main",
        id="main did not start because its runner had ended",
    ),
    pytest.param(
        pod(phase="Failed", reason="Evicted", message="low on memory"),
        0,
        "Evicted",
        "low on memory",
        id="evicted",
    ),
    pytest.param(
        pod(container("main", **ended("Error", 137)), phase="Failed", reason="Evicted", message="low"),
        0,
        "Evicted",
        "low",
        id="evicted with containers",
    ),
    pytest.param(
        pod(container("main", **ended("Error", 137)), phase="Failed", conditions=[disrupted]),
        0,
        "Evicted",
        "",
        id="disrupted",
    ),
    pytest.param(pod(phase="Failed", reason="NodeLost"), 0, "SandboxLost", "NodeLost", id="node lost"),
    pytest.param(
        pod(phase="Failed", reason="NodeShutdown", message="x"),
        0,
        "SandboxLost",
        "NodeShutdown",
        id="node shut down",
    ),
    pytest.param(pod(phase="Succeeded"), 0, "SandboxLost", "the pod ended", id="succeeded"),
    pytest.param(
        main(**waits("InvalidImageName")),
        0,
        "ImagePullFailed",
        "main: InvalidImageName: said",
        id="bad image",
    ),
    pytest.param(main(**waits("ErrImageNeverPull")), 0, "ImagePullFailed", "", id="never pulled"),
    pytest.param(main(**waits("RunContainerError")), 0, "SandboxStartFailed", "", id="run error"),
    pytest.param(
        main(waits("PostStartHookError"), **RUNS), 0, "SandboxStartFailed", "runner", id="hook error"
    ),
    *(
        pytest.param(main(**waits(reason)), PATIENCE + 1, found, reason, id=f"{reason} for long")
        for reason, found in (
            ("ErrImagePull", "ImagePullFailed"),
            ("ImagePullBackOff", "ImagePullFailed"),
            ("CreateContainerConfigError", "SandboxStartFailed"),
            ("CreateContainerError", "SandboxStartFailed"),
        )
    ),
    pytest.param(unscheduled(), LIMIT + 1, "Unschedulable", "0/3 nodes", id="unschedulable for long"),
    pytest.param(NO_POD_SANDBOX, LIMIT + 1, "SandboxStartFailed", "events", id="its node never makes it"),
]


@pytest.mark.parametrize(("found", "age", "reason", "says"), ENDED)
def test_a_sandbox_has_ended(found: dict[str, Any], age: float, reason: str, says: str) -> None:
    diagnosis = diagnose(found, age, LIMIT)
    assert (diagnosis.ended, diagnosis.waiting) == (reason, None)
    assert says in diagnosis.message


@pytest.mark.parametrize(
    ("found", "age", "reason"),
    [
        pytest.param(main(**waits("ErrImagePull")), 1, "ImagePullFailed", id="pull failed once"),
        pytest.param(main(**waits("ImagePullBackOff")), PATIENCE, "ImagePullFailed", id="pull backs off"),
        pytest.param(main(**waits("CreateContainerError")), 1, "SandboxStartFailed", id="create failed once"),
        pytest.param(unscheduled(), LIMIT, "Unschedulable", id="no room"),
        pytest.param(NO_POD_SANDBOX, PATIENCE + 1, "SandboxStartFailed", id="its node cannot make it"),
    ],
)
def test_a_sandbox_waits(found: dict[str, Any], age: float, reason: str) -> None:
    diagnosis = diagnose(found, age, LIMIT)
    assert (diagnosis.ended, diagnosis.waiting) == (None, reason)
    assert diagnosis.message


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({}, id="no status at all"),
        pytest.param({"status": None}, id="null"),
        pytest.param(pod(phase="Pending"), id="pending"),
        pytest.param(main(**waits("ContainerCreating")), id="created right now"),
        pytest.param(main(**RUNS), id="running"),
        pytest.param(main(**waits("CrashLoopBackOff")), id="an unknown word"),
        pytest.param({"status": {"containerStatuses": [{"name": "main"}]}}, id="without state"),
        pytest.param(
            {"status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}}, id="scheduled"
        ),
        pytest.param({"status": {"containerStatuses": None, "conditions": None}}, id="nulls"),
    ],
)
def test_a_sandbox_is_well(found: dict[str, Any]) -> None:
    assert diagnose(found, 1e6, LIMIT) == Diagnosis()


@pytest.mark.parametrize(
    ("phase", "live"),
    [
        ("Pending", True),
        ("Running", True),
        ("Unknown", True),
        (None, True),
        ("Failed", False),
        ("Succeeded", False),
    ],
)
def test_ended_pods_take_no_room(phase: str | None, live: bool) -> None:
    assert is_live({"status": {"phase": phase} if phase else {}}) is live


def row(status: str = "wanted", pod_uid: str | None = "uid-1", **fields: Any) -> SandboxRow:
    return SandboxRow("cx-1", "uid", "team", "run", "key", {}, status, 0.0, pod_uid, **fields)


def existing(**fields: Any) -> dict[str, Any]:
    metadata = {"name": "cx-1", "creationTimestamp": "2026-02-02T02:40:00Z", **fields.pop("metadata", {})}
    return {"metadata": metadata, "status": {}, **fields}


DELETING = {"deletionTimestamp": "2026-02-02T02:40:10Z"}


@pytest.mark.parametrize(
    ("found", "there", "verb"),
    [
        pytest.param(None, None, "nothing", id="nobody knows of it"),
        pytest.param(None, existing(), "delete", id="a pod without a row"),
        pytest.param(None, existing(metadata=DELETING), "nothing", id="a pod without a row on its way out"),
        pytest.param(row("gone"), existing(), "delete", id="a pod of a row that is gone"),
        pytest.param(row("gone"), None, "nothing", id="all gone"),
        pytest.param(row("wanted", None), None, "create", id="wanted, never created"),
        pytest.param(row("wanted"), None, "end", id="created, and gone before it was heard of"),
        pytest.param(row("live"), None, "end", id="live, and gone"),
        pytest.param(row("draining"), existing(), "delete", id="draining"),
        pytest.param(row("draining"), existing(metadata=DELETING), "nothing", id="draining, on its way out"),
        pytest.param(row("draining"), None, "forget", id="drained"),
        pytest.param(row("draining", None), None, "forget", id="drained before it was created"),
        pytest.param(row("wanted"), existing(), "wait", id="not registered yet"),
        pytest.param(row("wanted", None), existing(), "adopt", id="created, not recorded"),
        pytest.param(row("live"), existing(), "run", id="running"),
        pytest.param(row("live"), existing(**main(**ended("Error"))), "end", id="main has ended"),
        pytest.param(row("wanted"), existing(**unscheduled()), "wait", id="no room yet"),
        pytest.param(row("live"), existing(metadata=DELETING), "run", id="deleted by somebody, still there"),
    ],
)
def test_what_follows_from_row_and_pod(found: SandboxRow | None, there: Any, verb: str) -> None:
    action = decide_sandbox(found, there, CREATED + 1, LIMIT)
    assert action.verb == verb


def test_time_alone_makes_a_waiting_sandbox_worth_another_look() -> None:
    action = decide_sandbox(row(), existing(**unscheduled()), CREATED + 1, LIMIT)
    assert action.again is not None
    late = decide_sandbox(row(), existing(**unscheduled()), CREATED + LIMIT + 1000, LIMIT)
    assert (late.verb, late.diagnosis.ended) == ("end", "Unschedulable")


def test_a_lost_pod_says_which() -> None:
    action = decide_sandbox(row("live"), None, CREATED, LIMIT)
    assert (action.diagnosis.ended, action.diagnosis.message) == ("SandboxLost", "pod cx-1 is gone")


@pytest.mark.parametrize(
    ("required", "isolated", "age", "verb", "says"),
    [
        (False, None, 1000.0, "run", ""),
        (False, False, 1000.0, "run", ""),
        (True, None, 1.0, "wait", "has not proven it"),
        (True, None, PROOF_SECONDS + 1, "end", "within 60 s"),
        (True, False, 1.0, "end", "apiserver, kubelet answered its probe"),
    ],
)
def test_a_sandbox_that_has_not_proven_its_isolation(
    required: bool, isolated: bool | None, age: float, verb: str, says: str
) -> None:
    found = replace(row("live"), isolated=isolated, answered="apiserver,kubelet")
    action = decide_unproven(found, required, age)
    assert action.verb == verb
    assert says in action.diagnosis.message
    assert action.diagnosis.ended == ("NotIsolated" if verb == "end" else None)
    assert action.again == (5.0 if verb == "wait" else None)
