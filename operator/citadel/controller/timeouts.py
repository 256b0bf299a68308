"""The longest timeout that policies permit, as that of all code of a Workflow that says none. Pure."""

from collections.abc import Sequence

from citadel.kube.resources import Object


def with_timeouts(spec: Object, longest: str | None) -> Object:
    """The spec of a Workflow with the policies' longest timeout for all code that has none."""
    if longest is None:
        return spec
    lists: Object = {
        name: _limited_steps(spec[name], longest) for name in ("steps", "finally") if name in spec
    }
    return {**spec, **lists}


def _limited_steps(steps: Sequence[Object], longest: str) -> list[Object]:
    return [_limited(step, longest) for step in steps]


def _limited(step: Object, longest: str) -> Object:
    step = dict(step)
    if (step.get("run") or step.get("container")) and not step.get("timeout"):
        step["timeout"] = longest
    if step.get("steps"):
        step["steps"] = _limited_steps(step["steps"], longest)
    if step.get("onError"):
        step["onError"] = _limited(step["onError"], longest)
    if step.get("compensate"):
        step["compensate"] = _limited(step["compensate"], longest)
    return step
