"""Whether what an execution came to is what a test expects: one sentence for each difference."""

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from citadel.api.problems import dotted, found, shortened
from citadel.api.suite import Expected, ExpectedError, ExpectedStep
from citadel.core.expressions import ExpressionError, compile_expression
from citadel.local.records import Record, StepRecord

#: Differences that are told of one value.
MOST = 12
#: How much two numbers with a fraction may differ, as a share of the larger: they are computed.
CLOSE = 1e-9


def differences(record: Record, expected: Expected) -> Iterator[str]:
    """What is not as expected."""
    if record.phase != expected.ends:
        why = f": {record.reason}: {record.message}" if record.phase != "Succeeded" else ""
        at = f" at step {record.step}" if record.step else ""
        yield f"phase: found {record.phase}{at}{why}, expected {expected.ends}"
    if expected.error is not None and record.phase != "Succeeded":
        yield from _error(record.step, record.reason, record.message, expected.error, "error")
    if expected.outputs is not None and record.phase == "Succeeded":
        yield from _limited(differing(record.outputs, expected.outputs, ("outputs",)))
    for path, wanted in expected.steps.items():
        yield from _step(record.at(path), wanted, ("steps", path))
    if expected.ran is not None:
        yield from _ran(record, expected.ran)
    yield from _order(record, expected.order)
    for source in expected.checks:
        yield from _check(record, source)


def differing(actual: Any, wanted: Any, path: tuple[str | int, ...]) -> Iterator[str]:
    """Where two JSON values differ."""
    if isinstance(actual, dict) and isinstance(wanted, dict):
        for key in wanted:
            if key not in actual:
                yield f"{dotted((*path, key))}: missing, expected {_shown(wanted[key])}"
            else:
                yield from differing(actual[key], wanted[key], (*path, key))
        for key in actual:
            if key not in wanted:
                yield f"{dotted((*path, key))}: found {_shown(actual[key])}, expected nothing"
    elif isinstance(actual, list) and isinstance(wanted, list):
        for index, (one, other) in enumerate(zip(actual, wanted, strict=False)):
            yield from differing(one, other, (*path, index))
        if len(actual) != len(wanted):
            yield f"{dotted(path)}: found {len(actual)} items, expected {len(wanted)}"
    elif isinstance(actual, str) and isinstance(wanted, str) and "\n" in actual + wanted:
        yield from _lines(actual, wanted, dotted(path))
    elif not _equal(actual, wanted):
        yield f"{dotted(path)}: found {_shown(actual)}, expected {_shown(wanted)}"


def _lines(actual: str, wanted: str, path: str) -> Iterator[str]:
    """The first line in which two texts differ."""
    if actual == wanted:
        return
    ours, theirs = actual.splitlines(keepends=True), wanted.splitlines(keepends=True)
    for number, line in enumerate(ours):
        if number >= len(theirs) or line != theirs[number]:
            expected = _shown(theirs[number]) if number < len(theirs) else "no more lines"
            yield f"{path}, line {number + 1}: found {_shown(line)}, expected {expected}"
            return
    yield f"{path}, line {len(ours) + 1}: found no more lines, expected {_shown(theirs[len(ours)])}"


def _equal(actual: Any, wanted: Any) -> bool:
    """Whether two values that are no containers are the same; 1 is 1.0, and true is no number."""
    if isinstance(actual, bool) or isinstance(wanted, bool):
        return actual is wanted
    if isinstance(actual, float) or isinstance(wanted, float):
        numbers = isinstance(actual, int | float) and isinstance(wanted, int | float)
        return numbers and math.isclose(actual, wanted, rel_tol=CLOSE)
    return type(actual) is type(wanted) and bool(actual == wanted)


def _shown(value: Any) -> str:
    return found(value) if isinstance(value, dict | list) and value else shortened(value)


def _limited(lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == MOST:
            yield f"and {1 + sum(1 for _ in lines)} further differences"
            return
        yield line


def _error(step: str | None, reason: str, message: str, wanted: ExpectedError, at: str) -> Iterator[str]:
    if wanted.step is not None and step != wanted.step:
        yield f"{at}.step: found {step or 'none'}, expected {wanted.step}"
    if wanted.reason is not None and reason != wanted.reason:
        yield f"{at}.reason: found {reason} ({message}), expected {wanted.reason}"
    if wanted.message is not None and re.search(wanted.message, message) is None:
        yield f"{at}.message: found {message!r}, expected what matches {wanted.message!r}"


def _step(step: StepRecord, wanted: ExpectedStep, path: tuple[str, ...]) -> Iterator[str]:
    at, state = dotted(path), f"the step is {step.status}{f' ({step.why})' if step.why else ''}"
    if wanted.status is not None and step.status != wanted.status:
        yield f"{at}: {state}, expected {wanted.status}"
        return
    if "output" in wanted.model_fields_set:
        if step.has_output:
            yield from _limited(differing(step.output, wanted.output, (*path, "output")))
        else:
            yield f"{at}.output: found none, as {state}, expected {_shown(wanted.output)}"
    if wanted.arguments is not None:
        if step.arguments is not None:
            yield from _limited(differing(step.arguments, wanted.arguments, (*path, "with")))
        else:
            yield f"{at}.with: found none, as {state}"
    if wanted.attempts is not None and step.attempts != wanted.attempts:
        yield f"{at}.attempts: found {step.attempts}, expected {wanted.attempts}"
    if wanted.error is not None:
        if step.failure is not None:
            failure = step.failure
            yield from _error(step.path, failure.reason, failure.message, wanted.error, f"{at}.error")
        else:
            yield f"{at}.error: found none, as {state}"
    if wanted.tools is not None:
        called: list[Any] = list(step.tools or ())
        yield from _limited(differing([one["name"] for one in called], list(wanted.tools), (*path, "tools")))
    if wanted.log is not None and re.search(wanted.log, step.log, re.MULTILINE) is None:
        said = shortened(step.log[-200:]) if step.log else "nothing"
        yield f"{at}.log: found {said}, expected what matches {wanted.log!r}"


def _ran(record: Record, wanted: tuple[str, ...]) -> Iterator[str]:
    more = [step for step in record.ran if not any(covers(path, step) for path in wanted)]
    if more:
        yield f"ran: found also {', '.join(more[:MOST])}{' …' if len(more) > MOST else ''}"
    for path in wanted:
        if not any(covers(path, step) for step in record.ran):
            step = record.at(path)
            yield f"ran: {path} did not run: it is {step.status}{f' ({step.why})' if step.why else ''}"


def _order(record: Record, wanted: tuple[str, ...]) -> Iterator[str]:
    spans = []
    for path in wanted:
        steps = [step for step in record.ran if covers(path, step)]
        if not steps:
            yield f"order: {path} did not run"
            return
        spans.append((path, *record.span(steps)))
    for (first, _, ended), (second, began, _) in pairwise(spans):
        if began < ended:
            yield f"order: {second} began before {first} had ended"


def covers(path: str, instance: str) -> bool:
    """Whether a path stands for an instance: for itself or what is within it, not for what comes after it."""
    wanted, parts = re.split(r"[./]", path), re.split(r"[./]", instance)
    if len(wanted) > len(parts) or {"compensate", "onError"} & set(parts[len(wanted) :]):
        return False
    return all(one in (part, part.partition("[")[0]) for one, part in zip(wanted, parts, strict=False))


def _check(record: Record, source: str) -> Iterator[str]:
    check = compile_expression(source)
    steps: Mapping[str, Any] = {read.step: record.at(read.step).seen() for read in check.reads}
    try:
        holds = check.evaluate({"inputs": record.inputs, "output": record.outputs, "steps": dict(steps)})
    except ExpressionError as error:
        yield f"checks: {source}: {error}"
        return
    if holds is not True:
        yield f"checks: {source}: found {_shown(holds)}, expected true"
