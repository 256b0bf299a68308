"""Objects in every state that GitOps tools look at, with the statuses that Citadel itself writes."""

from typing import Any

import engine
from citadel.api.reasons import Phase, Reason
from citadel.controller.checking import Unusable
from citadel.controller.readiness import conditions as readiness
from citadel.core import events as ev
from citadel.render.status import Observed, execution_status, rejected_status

MISSING = Unusable(Reason.RUNTIME_NOT_FOUND, "Runtime python does not exist", waits=True)
WRONG = Unusable(Reason.INVALID_SPEC, "spec.steps[0]: found no action", waits=False)


def definition(problem: Unusable | None, kind: str = "Workflow", edited: bool = False) -> dict[str, Any]:
    """A Workflow, or another definition, that the controller has looked at; `edited` since then."""
    found = [
        item.model_dump(mode="json", by_alias=True) for item in readiness(problem, 2, "2026-01-01T00:00:00Z")
    ]
    status = {"observedGeneration": 2, "conditions": found}
    return _object(kind, "flow", {"steps": []}, status, generation=3 if edited else 2)


def unseen(kind: str) -> dict[str, Any]:
    """An object that no controller has seen, as the API server keeps it."""
    return _object(kind, "new", {}, {"observedGeneration": -1}, generation=1)


def execution(state: str) -> dict[str, Any]:
    """An Execution in this state."""
    if state == "without its workflow":
        status = rejected_status(2, (), Phase.PENDING, Reason.WORKFLOW_NOT_FOUND, "no Workflow flow", 1000.0)
        return _object("Execution", "run", {}, status)
    return _object("Execution", "run", {}, execution_status(Observed(_run(state).state, 2)))


def _run(state: str) -> engine.Run:
    limit = {"timeout": "1m"} if state == "timed out" else {}
    run = engine.Run(engine.plan(engine.step("a"), engine.step("b"), **limit))
    if state == "timed out":
        run.sleep(61)
    if state == "running":
        run.register()
    if state == "suspended":
        run.post(ev.SuspendChanged(True, 2))
    if state == "cancelled":
        run.post(ev.StopRequested("Terminate", "Terminated", "spec.stop is Terminate"))
    if state == "succeeded":
        run.finish(lambda name, attempt: 1)
    if state == "failed":
        run.finish(lambda name, attempt: engine.failure())
    return run


def _object(
    kind: str, name: str, spec: dict[str, Any], status: dict[str, Any], generation: int = 2
) -> dict[str, Any]:
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "team", "generation": generation},
        "spec": spec,
        "status": status,
    }
