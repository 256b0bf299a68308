"""Hidden steps that compile: `load.build` stands before the step `load` when its language is a compiled one.

A build runs in a fresh sandbox of the same image that takes nothing of the step but its source, so what it
makes depends on nothing else, and is known again by a digest of just that.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from citadel.api.actions import ResourceList, Resources
from citadel.api.durations import quantity, seconds
from citadel.api.modifiers import Retry
from citadel.api.runtime import RuntimeSpec
from citadel.api.step import Step
from citadel.core.compiled import FINALLY, ON_DEMAND, CompiledStep, build_step
from citadel.core.instances import COMPENSATE, ON_ERROR, around
from citadel.core.jsonvalues import canonical, digest
from citadel.core.values import BuildKey

SUFFIX = ".build"
#: How the sources of each compiled language are built; a change of it makes every program anew.
FLAGS = MappingProxyType({"go": ("1", "CGO_ENABLED=0", "-trimpath"), "java": ("1", "-proc:none")})
#: What a build may use: a compiler takes more than what it compiles.
RESOURCES = Resources(
    requests=ResourceList(cpu="250m", memory="256Mi"), limits=ResourceList(cpu="2", memory="1Gi")
)
#: Memory for the files of a build; the 64Mi of /dev/shm are too few for a linker.
SCRATCH = "384Mi"
TIMEOUT = "5m"
_RETRY = Retry(attempts=3, reasons=("SandboxLost", "Evicted"))


def build_of(
    step: CompiledStep, runtimes: Mapping[str, RuntimeSpec], limits: Mapping[str, str], *, last: bool = False
) -> CompiledStep | None:
    """The hidden step that compiles the code of `step`; None where nothing is compiled.

    `last`: the step comes after a failure as well."""
    run = step.spec.run
    if run is None or step.agent is not None or run.runtime not in runtimes:
        return None
    if runtimes[run.runtime].language not in FLAGS:
        return None
    scope, waited_for = _scope(step)
    spec = Step.model_construct(
        name=f"{step.name}{SUFFIX}",
        # The same code, and nothing else of the step.
        run=run.model_copy(update={"env": (), "resources": Resources()}),
        needs=(),
        # What comes after a failure as well is compiled then too.
        join="finished" if last or not waited_for else "all",
        retry=_RETRY,
        timeout=min((TIMEOUT, limits.get("timeout", TIMEOUT)), key=seconds),
        isolation="step",
    )
    return build_step(spec, step.index, step.path, scope)


def _scope(step: CompiledStep) -> tuple[str, bool]:
    """The scope of a step's build, and whether the workflow waits for it: some may never be wanted."""
    late = step.hidden or step.scope == FINALLY or {ON_ERROR, COMPENSATE} & set(step.path.split("."))
    return (ON_DEMAND, False) if late else ("", True)


def room(limits: Mapping[str, str]) -> tuple[Resources, str]:
    """Resources and scratch of a build: nobody asked for them, so they stay within what the admin allows."""

    def least(amount: str, wanted: str) -> str:
        return min((wanted, limits.get(amount, wanted)), key=quantity)

    def bounded(given: ResourceList) -> ResourceList:
        return ResourceList(cpu=least("cpu", given.cpu or "0"), memory=least("memory", given.memory or "0"))

    bounds = Resources(requests=bounded(RESOURCES.requests), limits=bounded(RESOURCES.limits))
    return bounds, least("scratch", SCRATCH)


def with_builds(
    steps: Mapping[str, CompiledStep],
    runtimes: Mapping[str, RuntimeSpec],
    limits: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, CompiledStep]:
    """The steps, their builds before them; `limits` is what an admin lets a sandbox have at most."""
    found: dict[str, CompiledStep] = {}
    waiting: dict[str, frozenset[str]] = {}
    known: dict[tuple[object, ...], str] = {}
    for name, step in steps.items():
        last = any(steps[path].spec.join == "finished" for path in (name, *around(name)))
        build = build_of(step, runtimes, limits, last=last)
        if build is None:
            found[name] = step
            continue
        run = step.spec.run
        assert run is not None
        # Steps of the same code share one build.
        made_of = (run.runtime, run.code, run.code_from, build.scope, build.spec.join)
        path = known.setdefault(made_of, build.path)
        if path == build.path:
            found[path] = build
        found[name] = replace(step, program=path)
        if build.scope == "":
            top = name.partition(".")[0]
            waiting[top] = waiting.get(top, frozenset()) | {path}
    for name, paths in waiting.items():
        found[name] = replace(found[name], references=found[name].references | paths)
    return found


def build_key(
    namespace: str, runtime: RuntimeSpec, code: str, parts: tuple[str | None, str | None] = (None, None)
) -> BuildKey:
    """What a program is known by: the language, the image and flags that make it, its source, and `parts`:
    the digest of the packages that it may use, and the id of an image that has no digest."""
    made_of = [runtime.language, runtime.image, *FLAGS[runtime.language], code]
    if any(parts):
        made_of += [part or "" for part in parts]
    return BuildKey(namespace, digest(canonical(list(made_of))))
