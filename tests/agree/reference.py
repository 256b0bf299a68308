"""An interpreter of the workflow language, written from its description: recursive, one thing at a time.

It shares nothing with Citadel but the generated trees. What it says of a workflow is what Citadel has to do.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agree.cases import Case, Code, Expr, Node, Scope
from agree.code import Failing, computed

S, F, K = "Succeeded", "Failed", "Skipped"


@dataclass
class Result:
    """What became of a step; of one that failed the reason is its output."""

    status: str
    output: Any = None


@dataclass
class Told:
    """What a workflow does."""

    phase: str = S
    reason: str = "Completed"
    outputs: dict[str, Any] | None = None
    ran: Counter[str] = field(default_factory=Counter)
    """How many attempts each step had, by its instance; of workflows within as `step/instance`."""
    completed: list[tuple[str, Code, Any]] = field(default_factory=list)
    """Steps to undo, with their outputs, in the order they completed."""
    known: dict[Any, Any] = field(default_factory=dict)
    """Outputs of steps with a cache."""


def interpret(
    case: Case, inputs: Mapping[str, Any] | None = None, known: dict[Any, Any] | None = None
) -> Told:
    """Runs a workflow to its end."""
    told = Told(known={} if known is None else known)
    scope: dict[str, Any] = {"inputs": dict(inputs or {})}
    failed = _scope(case.nodes, scope, "", told)
    if failed is not None:
        told.phase, told.reason = F, failed
    elif all(read in scope for expr in case.outputs.values() for read in expr.reads):
        told.outputs = {name: expr.value(scope) for name, expr in case.outputs.items()}
    else:
        told.phase, told.reason = F, "ExpressionError"
    remains = told.phase == F and not _undone(told)
    scope["phase"] = told.phase
    for node in case.final:
        result = _step(node, scope, "", told)
        if result.status == S:
            scope[node.name] = result.output
        elif result.status == F and told.phase == S:
            told.phase, told.reason = F, result.output
    if remains:
        told.reason = "CompensationFailed"
    return told


def _undone(told: Told) -> bool:
    """Undoes what completed, the last first; whether all of it could be."""
    for name, undo, output in reversed(told.completed):
        if _attempts(undo, {"output": output}, f"{name}.compensate", told).status == F:
            return False
    return True


def _scope(nodes: list[Node], scope: dict[str, Any], prefix: str, told: Told) -> str | None:
    """Runs steps one after another; why the first of them failed. After that only finishers run."""
    failed = None
    for node in nodes:
        if failed is not None and not node.finisher:
            continue
        result = _step(node, scope, prefix, told)
        if result.status == S:
            scope[node.name] = result.output
        elif result.status == F and failed is None:
            failed = str(result.output)
    return failed


def _has(exprs: Iterable[Expr], scope: Scope) -> bool:
    return all(read in scope for expr in exprs for read in expr.reads)


def _step(node: Node, scope: dict[str, Any], prefix: str, told: Told) -> Result:
    name = f"{prefix}{node.name}"
    reads = [*(node.code.arguments.values() if node.code else ()), *node.inputs.values()]
    reads += () if node.items is None else (node.items,)
    if not _has(reads, scope):
        return Result(K)
    if node.when is not None and not node.per_item and not node.when.value(scope):
        return Result(K)
    if node.items is not None:
        return _over_items(node, scope, name, told)
    found = _again(node, scope, name, told) if node.most else _act(node, scope, name, told)
    return _handled(node, found, scope, name, told)


def _handled(node: Node, result: Result, scope: dict[str, Any], name: str, told: Told) -> Result:
    if result.status != F or node.on_error is None:
        return result
    inner = {**scope, "error": {"reason": result.output}}
    failed = _scope(node.handler, inner, f"{name}.onError.", told)
    return Result(S, node.on_error.value(inner)) if failed is None else Result(F, failed)


def _over_items(node: Node, scope: dict[str, Any], name: str, told: Told) -> Result:
    assert node.items is not None
    outputs = []
    found = node.items.value(scope)
    if isinstance(found, dict):
        found = [{"key": key, "value": found[key]} for key in sorted(found)]
    for index, item in enumerate(found):
        inner = {**scope, "item": item, "index": index}
        turn = f"{name}[{index}]"
        if node.per_item and node.when is not None and not node.when.value(inner):
            result = Result(K)
        else:
            result = _handled(node, _act(node, inner, turn, told), inner, turn, told)
        if result.status == F and node.fail_fast:
            return result
        outputs.append(result.output if result.status == S else None)
    return Result(S, outputs)


def _again(node: Node, scope: dict[str, Any], name: str, told: Told) -> Result:
    assert node.until is not None
    inner = {**scope, "previous": {}}
    for iteration in range(1, node.most + 1):
        inner["iteration"] = iteration
        result = _act(node, inner, f"{name}[{iteration}]", told)
        if result.status != S:
            return result
        if node.until.value({**inner, "output": result.output}):
            return result
        inner["previous"] = result.output
    return Result(F, "MaxIterations")


def _act(node: Node, scope: dict[str, Any], name: str, told: Told) -> Result:
    if node.children:
        inner = dict(scope)
        failed = _scope(node.children, inner, f"{name}.", told)
        assert node.output is not None
        return Result(S, node.output.value(inner)) if failed is None else Result(F, failed)
    if node.cases:
        chosen = next((value for when, value in node.cases if when.value(scope)), node.default)
        return Result(K) if chosen is None else _checked(node, Result(S, chosen.value(scope)))
    if node.waits:
        return Result(S, node.signal)
    if node.child is not None:
        return _child(node, node.child, scope, name, told)
    return _code(node, scope, name, told)


def _code(node: Node, scope: Scope, name: str, told: Told) -> Result:
    assert node.code is not None
    key = None
    if node.cached:
        key = (node.cached, repr([expr.value(scope) for expr in node.code.arguments.values()]))
    if key in told.known:
        result = Result(S, told.known[key])
    else:
        result = _checked(node, _attempts(node.code, scope, name, told))
        if key is not None and result.status == S:
            told.known[key] = result.output
    if result.status == S and node.undo is not None:
        told.completed.append((name, node.undo, result.output))
    return result


def _attempts(code: Code, scope: Scope, name: str, told: Told) -> Result:
    given = {key: expr.value(scope) for key, expr in code.arguments.items()} | code.settings
    for attempt in range(1, code.attempts + 1):
        told.ran[name] += 1
        try:
            return Result(S, computed(given, attempt))
        except Failing:
            continue
    return Result(F, "Error")


def _checked(node: Node, result: Result) -> Result:
    if result.status == S and node.most_allowed is not None and result.output > node.most_allowed:
        return Result(F, "InvalidOutput")
    return result


def _child(node: Node, case: Case, scope: Scope, name: str, told: Told) -> Result:
    inputs = {key: expr.value(scope) for key, expr in node.inputs.items()}
    for _ in range(node.attempts):
        inner = interpret(case, inputs, told.known)
        told.ran.update({f"{name}/{key}": count for key, count in inner.ran.items()})
        if inner.phase == S:
            return Result(S, inner.outputs)
    return Result(F, "ChildFailed")
