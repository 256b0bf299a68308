"""What follows from where an execution stands: `decide(state, now, values) -> events`.

Pure, and level-triggered: it looks at the state, never at how the state came about, so facts may arrive in
any order, twice, or late. It is called until it has nothing more to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core import events as ev
from citadel.core.expressions import ExpressionError
from citadel.core.jsonvalues import MAX_BYTES, Json, canonical
from citadel.core.members import Members
from citadel.core.recalling import recalled
from citadel.core.retry import next_delay
from citadel.core.sessions import scale, wake_times
from citadel.core.state import State, StepState, apply, is_over, is_running
from citadel.core.steps import CompiledStep, hard_reads
from citadel.core.templates import Template, copy_path
from citadel.core.values import ByReference, MissingValues, Stored, Value, Values, encode

#: Seconds after its own timeout at which an attempt counts as timed out even if its sandbox says nothing.
TIMEOUT_GRACE = 30.0
#: Seconds that running steps get after `stop: Cancel`, and after which it ends without them.
CANCEL_GRACE = 10.0
CANCEL_LIMIT = 30.0
#: Seconds within which a sandbox claimed from a pool takes what it was claimed for.
TAKE_LIMIT = 15.0
#: Bytes of JSON that one environment variable may take; Linux refuses 128 KiB.
MAX_VARIABLE = 64 * 1024


@dataclass(frozen=True)
class Decision:
    """Events that follow, and the state after them."""

    events: tuple[ev.Event, ...]
    state: State


def decide(state: State, now: float, values: Values, members: Members | None = None) -> Decision:
    """Everything that follows at `now`. Raises MissingValues when a value must be loaded first.

    With `members` sandboxes are taken from pools where they can be; raises MemberWanted to ask one.
    """
    events: list[ev.Event] = []
    while state.created is not None and state.finished is None:
        found = list(_step(state, now, values, members))
        if not found:
            break
        for event in found:
            state = apply(state, event, now)
        events += found
    return Decision(tuple(events), state)


def wake_at(state: State, now: float) -> float | None:
    """The earliest time after `now` at which `decide` may have something new to say without a new fact."""
    plan = state.plan
    if plan is None or state.finished is not None:
        return None
    times: list[float] = []
    if plan.workflow.timeout is not None:
        times.append(state.created_at + plan.workflow.timeout)
    if state.stop is not None:
        times.append(state.stop_at + CANCEL_LIMIT)
    else:
        times += wake_times(state, now)
        for name in state.active:
            step = state.steps[name]
            if step.status is StepStatus.BACKING_OFF:
                times.append(step.ready_at)
            elif (overdue := _overdue_at(state, step, plan.steps[name])) is not None:
                times.append(overdue)
    return min((time for time in times if time > now), default=None)


def _step(state: State, now: float, values: Values, members: Members | None) -> Iterator[ev.Event]:
    """One round of decisions: each only from what the state says before the round."""
    assert state.plan is not None
    timeout = state.plan.workflow.timeout
    if timeout is not None and now >= state.created_at + timeout:
        yield ev.Finished(
            Phase.TIMED_OUT,
            Reason.DEADLINE_EXCEEDED,
            f"not finished within {state.plan.workflow.spec.timeout}",
        )
        return
    if state.stop is not None:
        yield from _stopping(state, now)
        return
    failed = [event for name in sorted(state.active) if (event := _attempt(state, name, now)) is not None]
    if failed:
        yield from failed
        return
    started = list(_start(state, now, values))
    if started:
        yield from started
        return
    finish = [] if state.active else list(_finish(state, values))
    yield from finish or scale(state, now, members)


def _attempt(state: State, name: str, now: float) -> ev.Event | None:
    """What follows for a step that is under way."""
    assert state.plan is not None
    step, compiled = state.steps[name], state.plan.steps[name]
    if step.undecided:
        assert step.failure is not None
        delay = None
        if not state.failing or compiled.spec.join == "finished":
            delay = next_delay(compiled.spec.retry, step.attempt, step.failure.reason)
        if delay is not None:
            return ev.RetryScheduled(name, step.attempt + 1, now + delay)
        return ev.StepFailed(name, step.failure)
    if state.failing and step.sandbox is None and compiled.spec.join != "finished":
        if step.failure is not None:
            return ev.StepFailed(name, step.failure)
        message = f"not started, because step {state.failed_step} failed"
        return ev.StepSkipped(name, Reason.EXECUTION_FAILED, message)
    overdue = _overdue_at(state, step, compiled)
    if overdue is not None and now >= overdue:
        assert step.sandbox is not None
        if step.delivered_at is None:
            message = f"claimed from its pool, it did not ask for its work within {TAKE_LIMIT:.0f}s"
            return ev.SandboxEnded(step.sandbox, ev.Failure(Reason.SANDBOX_LOST, message))
        # Its sandbox enforces the timeout; one that says nothing this long after it is of no use any more.
        message = (
            f"no result within the timeout of {compiled.spec.timeout}, nor {TIMEOUT_GRACE:.0f}s after it"
        )
        return ev.SandboxEnded(step.sandbox, ev.Failure(Reason.TIMEOUT, message))
    return None


def _overdue_at(state: State, step: StepState, compiled: CompiledStep) -> float | None:
    """When a running attempt counts as timed out, or as never taken, although its sandbox says nothing."""
    if not is_running(step):
        return None
    if step.delivered_at is None:
        assert step.sandbox is not None
        # What is sealed first may take its time; its sandbox has asked for it.
        sealed = compiled.has_references
        return None if sealed else state.sandboxes[step.sandbox].wanted_at + TAKE_LIMIT
    if compiled.timeout is None:
        return None
    return step.delivered_at + compiled.timeout + TIMEOUT_GRACE


def _start(state: State, now: float, values: Values) -> Iterator[ev.Event]:
    assert state.plan is not None
    names = state.candidates
    if state.failing:
        names = frozenset(state.plan.workflow.finishers)
    for name in sorted(names, key=lambda name: state.plan.steps[name].index):  # type: ignore[union-attr]
        if state.steps[name].status is not StepStatus.PENDING:
            continue
        compiled = state.plan.steps[name]
        if _waits(state, compiled):
            continue
        yield _open(state, compiled, values)


def _satisfied(state: State, compiled: CompiledStep, name: str) -> bool:
    if compiled.spec.join == "finished":
        return is_over(state, name)
    return state.steps[name].status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED)


def _waits(state: State, compiled: CompiledStep) -> bool:
    """Whether something that this step waits for has not come to pass."""
    needs = compiled.needs
    if compiled.spec.join != "any":
        return not all(_satisfied(state, compiled, name) for name in compiled.after)
    strict = [name for name in compiled.after if name not in needs or name in compiled.hard_reads]
    if not all(_satisfied(state, compiled, name) for name in strict):
        return True
    succeeded = any(state.steps[name].status is StepStatus.SUCCEEDED for name in needs)
    return not succeeded and not all(is_over(state, name) for name in needs)


def _open(state: State, compiled: CompiledStep, values: Values) -> ev.Event:
    """The step is due: it becomes ready, is skipped, or fails because an expression does."""
    name = compiled.name
    if (known := recalled(state, compiled, values)) is not None:
        return known
    for read in sorted(compiled.hard_reads):
        if state.steps[read].output is None:
            message = f"step {read} is {state.steps[read].status} and has no output"
            return ev.StepSkipped(name, Reason.DEPENDENCY_SKIPPED, message)
    where = "when"
    try:
        if compiled.when is not None:
            holds = compiled.when.evaluate(scope(state, compiled.when.reads, compiled.when.names, values))
            if not isinstance(holds, bool):
                raise ExpressionError(f"found {holds!r:.60}, expected true or false")
            if not holds:
                return ev.StepSkipped(
                    name, Reason.CONDITION_FALSE, ev.shorten(f"when: {compiled.spec.when}", 256)
                )
        arguments: dict[str, Json] = {}
        for argument, template in compiled.arguments.items():
            where = f"with.{argument}"
            if isinstance(template, ByReference):
                arguments[argument] = encode(template)
            else:
                arguments[argument] = encode(evaluate(state, template, values))
        variables: list[Json] = []
        for variable, template in compiled.env:
            where = f"env.{variable}"
            variables.append({"name": variable, "value": _text(evaluate(state, template, values), values)})
        where = "files"
        files = _files(state, compiled, values)
    except ExpressionError as error:
        failure = ev.Failure.cut(Reason.EXPRESSION_ERROR, f"step {name}, {where}: {error}")
        return ev.StepFailed(name, failure)
    payload: dict[str, Json] = {"arguments": arguments, "env": variables}
    payload |= {"files": files} if files else {}
    return ev.StepReady(name, values.put(payload), compiled.has_references)


def _files(state: State, compiled: CompiledStep, values: Values) -> dict[str, Json]:
    """The files of a step, by path; raises ExpressionError that names the one."""
    found: dict[str, Json] = {}
    size = 0
    for path, template in compiled.files.items():
        if isinstance(template, ByReference):
            found[path] = encode(template)
            continue
        try:
            content = values.get(evaluate(state, template, values))
        except ExpressionError as error:
            raise ExpressionError(f"{path}: {error}") from None
        text = content if isinstance(content, str) else canonical(content).decode()
        size += len(text.encode())
        if size > MAX_BYTES:
            raise ExpressionError(
                f"{path}: found {size} bytes of text so far, expected at most {MAX_BYTES} in all;"
                " hand larger ones on as artifacts"
            )
        found[path] = encode(values.put(text))
    return found


def evaluate(state: State, template: Template, values: Values) -> Value:
    """The value of a template; a whole output is passed on by its digest, without being loaded."""
    path = template.plain_path
    if path is not None and len(path) == 3 and path[0] == "steps" and path[2] == "output":
        output = state.steps[str(path[1])].output
        if output is not None:
            return output
    context = scope(state, template.reads, template.names, values)
    result = template.evaluate(context) if path is None else copy_path(context, path)
    value = values.put(result)
    if isinstance(value, Stored) and value.size > MAX_BYTES:
        raise ExpressionError(f"found {value.size} bytes of JSON, expected at most {MAX_BYTES}")
    return value


def scope(state: State, reads: Any, names: frozenset[str], values: Values) -> dict[str, Any]:
    """What expressions see: inputs, identity, and the steps that are read."""
    created = state.created
    assert created is not None
    wanted: dict[str, bool] = {}
    for read in reads:
        wanted[read.step] = wanted.get(read.step, False) or read.attribute in ("output", None)
    # All at once: each round of loading is a round trip.
    needed = [created.inputs] if "inputs" in names else []
    needed += [output for name, whole in wanted.items() if whole and (output := state.steps[name].output)]
    if missing := values.missing(needed):
        raise MissingValues(missing)
    context: dict[str, Any] = {}
    if "inputs" in names:
        context["inputs"] = values.get(created.inputs)
    if "execution" in names:
        context["execution"] = {"name": created.name, "namespace": created.namespace, "uid": created.uid}
    if "steps" in names:
        context["steps"] = {name: _seen(state.steps[name], whole, values) for name, whole in wanted.items()}
    return context


def _seen(step: StepState, with_output: bool, values: Values) -> dict[str, Json]:
    seen: dict[str, Json] = {"status": str(step.status)}
    if step.output is not None and with_output:
        seen["output"] = values.get(step.output)
    if step.failure is not None and step.status.terminal:
        seen["error"] = {"reason": step.failure.reason, "message": step.failure.message}
    return seen


def _text(value: Value, values: Values) -> str:
    """An environment variable's value: strings raw, anything else compact JSON."""
    if isinstance(value, Stored) and value.size > MAX_VARIABLE:
        raise ExpressionError(
            f"found {value.size} bytes, expected at most {MAX_VARIABLE}; pass it in with instead"
        )
    content = values.get(value)
    return content if isinstance(content, str) else canonical(content).decode()


def _finish(state: State, values: Values) -> Iterator[ev.Event]:
    """Nothing is under way and nothing can start: the execution is over."""
    assert state.plan is not None
    if state.failing:
        step = state.failed_step
        assert step is not None
        failure = state.steps[step].failure
        assert failure is not None
        yield ev.Finished(
            Phase.FAILED, failure.reason, ev.shorten(f"step {step}: {failure.message}"), step=step
        )
        return
    if state.ended_steps < len(state.steps):
        return
    outputs: dict[str, Json] = {}
    name = ""
    try:
        for name, template in state.plan.workflow.outputs.items():
            for read in sorted(hard_reads(template.reads)):
                if state.steps[read].output is None:
                    raise ExpressionError(
                        f"step {read} was skipped and has no output; use .?output.orValue(…)"
                    )
            outputs[name] = values.get(evaluate(state, template, values))
    except ExpressionError as error:
        yield ev.Finished(Phase.FAILED, Reason.EXPRESSION_ERROR, ev.shorten(f"outputs.{name}: {error}"))
        return
    result = values.put(outputs)
    if isinstance(result, Stored) and result.size > MAX_BYTES:
        message = f"outputs: found {result.size} bytes of JSON in all, expected at most {MAX_BYTES}"
        yield ev.Finished(Phase.FAILED, Reason.INVALID_OUTPUT, message)
        return
    yield ev.Finished(Phase.SUCCEEDED, Reason.COMPLETED, "", outputs=result)


def _stopping(state: State, now: float) -> Iterator[ev.Event]:
    """Nothing new starts; running attempts are waited for, but not for long."""
    assert state.stop is not None
    running = [name for name in sorted(state.active) if state.steps[name].sandbox is not None]
    undecided = [name for name in running if state.steps[name].undecided]
    overdue = now >= state.stop_at + CANCEL_LIMIT
    if undecided:
        for name in undecided:
            failure = state.steps[name].failure
            assert failure is not None
            yield ev.StepFailed(name, failure)
    elif state.stop.mode == "Terminate" or not running or overdue:
        yield ev.Finished(Phase.CANCELLED, state.stop.reason, ev.shorten(state.stop.message))
