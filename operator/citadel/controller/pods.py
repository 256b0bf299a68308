"""What a sandbox's pod says about itself, in the words of our reasons. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.reasons import Reason

#: Container states that no waiting cures.
_HOPELESS = {
    "InvalidImageName": Reason.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": Reason.IMAGE_PULL_FAILED,
    "RunContainerError": Reason.SANDBOX_START_FAILED,
    "PostStartHookError": Reason.SANDBOX_START_FAILED,
}
#: Those that may pass, and are given PATIENCE.
_SLOW = {
    "ErrImagePull": Reason.IMAGE_PULL_FAILED,
    "ImagePullBackOff": Reason.IMAGE_PULL_FAILED,
    "CreateContainerConfigError": Reason.SANDBOX_START_FAILED,
    "CreateContainerError": Reason.SANDBOX_START_FAILED,
}
PATIENCE = 20.0
#: A pod whose RuntimeClass or network its node cannot make; only the pod's events say more.
_NO_POD_SANDBOX = "the node has not made what the pod's containers run in; the pod's events say why"
_START_ERRORS = ("StartError", "ContainerCannotRun", "CreateContainerError")


@dataclass(frozen=True)
class Diagnosis:
    """Either the sandbox has `ended`, or it is not there yet and `waiting`, or it runs (neither)."""

    ended: Reason | None = None
    waiting: Reason | None = None
    message: str = ""


def diagnose(pod: Mapping[str, Any], age: float, unschedulable_limit: float) -> Diagnosis:
    """What has become of a pod that is `age` seconds old."""
    status = pod.get("status") or {}
    for name, state in _states(status):
        terminated = state.get("terminated")
        if terminated is not None:
            return _ended(name, terminated, status)
    if status.get("phase") in ("Failed", "Succeeded"):
        return _ended("pod", {}, status)
    for name, state in _states(status):
        waiting = state.get("waiting") or {}
        reason, said = waiting.get("reason", ""), waiting.get("message", "")
        message = f"container {name}: {reason}: {said}"
        if reason in _HOPELESS:
            return Diagnosis(ended=_HOPELESS[reason], message=message)
        if reason in _SLOW:
            if age > PATIENCE:
                return Diagnosis(ended=_SLOW[reason], message=message)
            return Diagnosis(waiting=_SLOW[reason], message=message)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            message = condition.get("message", "")
            if age > unschedulable_limit:
                return Diagnosis(ended=Reason.UNSCHEDULABLE, message=message)
            return Diagnosis(waiting=Reason.UNSCHEDULABLE, message=message)
        if condition.get("type") == "PodReadyToStartContainers" and condition.get("status") == "False":
            if age > unschedulable_limit:
                return Diagnosis(ended=Reason.SANDBOX_START_FAILED, message=_NO_POD_SANDBOX)
            if age > PATIENCE:
                return Diagnosis(waiting=Reason.SANDBOX_START_FAILED, message=_NO_POD_SANDBOX)
    return Diagnosis()


def is_live(pod: Mapping[str, Any]) -> bool:
    """Whether the pod still takes room."""
    return (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")


def _states(status: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Container states, main's first: what happened to user code says most."""
    found = {item["name"]: item.get("state") or {} for item in status.get("containerStatuses") or ()}
    for name in sorted(found, key=lambda name: name != "main"):
        yield name, found[name]


def _runner_ended(status: Mapping[str, Any]) -> bool:
    """Whether the runner is gone. Without it a foreign image has no shim, and main fails for that alone."""
    return any(name == "runner" and "terminated" in state for name, state in _states(status))


def _ended(name: str, terminated: Mapping[str, Any], status: Mapping[str, Any]) -> Diagnosis:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return Diagnosis(ended=Reason.EVICTED, message=condition.get("message", ""))
    if status.get("reason") == "Evicted":
        return Diagnosis(ended=Reason.EVICTED, message=status.get("message", ""))
    reason = terminated.get("reason", "")
    said = terminated.get("message") or status.get("message") or ""
    if reason == "OOMKilled":
        return Diagnosis(
            ended=Reason.OOM_KILLED, message=f"container {name} was killed for exceeding its memory limit"
        )
    if reason in _START_ERRORS and not _runner_ended(status):
        return Diagnosis(
            ended=Reason.SANDBOX_START_FAILED, message=f"container {name}: {reason}: {said}"[:1024]
        )
    code = terminated.get("exitCode")
    what = f"container {name} ended with exit code {code}" if code is not None else "the pod ended"
    return Diagnosis(
        ended=Reason.SANDBOX_LOST, message=": ".join(filter(None, (what, status.get("reason", ""), said)))
    )
