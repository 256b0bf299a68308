"""An interpreter of the workflow language, written from its description: recursive, one thing at a time.

It shares nothing with Citadel but the generated trees. What it says of a workflow is what Citadel has to do.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from generated import Case, Expr, Node, Scope, computed

S, F, K = "Succeeded", "Failed", "Skipped"


@dataclass
class Result:
    """What became of a step."""

    status: str
    output: Any = None


@dataclass
class Told:
    """What a workflow does."""

    phase: str = S
    outputs: dict[str, Any] | None = None
    ran: Counter[str] = field(default_factory=Counter)
    """How often the code of each step ran, by its instance."""
    completed: list[tuple[str, Any]] = field(default_factory=list)
    """Steps to undo, with their outputs, in the order they completed."""


class Missing(Exception):
    """An expression reads the output of a step that has none."""


def interpret(case: Case) -> Told:
    """Runs a workflow to its end."""
    told = Told()
    scope: dict[str, Any] = {}
    failed = _scope(case.nodes, scope, "", told)
    if not failed:
        told.outputs = {name: expr.value(scope) for name, expr in case.outputs.items()}
    else:
        told.phase = F
        for name, output in reversed(told.completed):
            told.ran[f"{name}.compensate"] += 1
            assert isinstance(computed({"a": output}), int)
    for node in case.final:
        _step(node, scope, "", told)
    return told


def _scope(nodes: list[Node], scope: dict[str, Any], prefix: str, told: Told) -> bool:
    """Runs steps one after another; whether one of them failed."""
    for node in nodes:
        result = _step(node, scope, prefix, told)
        if result.status == S:
            scope[node.name] = result.output
        elif result.status == F:
            return True
    return False


def _needed(exprs: list[Expr], scope: Scope) -> None:
    if any(read not in scope for expr in exprs for read in expr.reads):
        raise Missing


def _step(node: Node, scope: dict[str, Any], prefix: str, told: Told) -> Result:
    name = f"{prefix}{node.name}"
    reads = [*node.arguments.values()]
    if node.items is not None:
        reads.append(node.items)
    try:
        _needed(reads, scope)
    except Missing:
        return Result(K)
    if node.when is not None and not node.when.value(scope):
        return Result(K)
    if node.items is not None:
        return _over_items(node, scope, name, told)
    if node.most:
        return _handled(node, _again(node, scope, name, told))
    return _handled(node, _act(node, scope, name, told))


def _handled(node: Node, result: Result) -> Result:
    if result.status == F and node.on_error is not None:
        return Result(S, node.on_error.value({}))
    return result


def _over_items(node: Node, scope: dict[str, Any], name: str, told: Told) -> Result:
    assert node.items is not None
    outputs = []
    for index, item in enumerate(node.items.value(scope)):
        inner = {**scope, "item": item, "index": index}
        result = _handled(node, _act(node, inner, f"{name}[{index}]", told))
        if result.status == F and node.fail_fast:
            return Result(F)
        outputs.append(result.output if result.status == S else None)
    return Result(S, outputs)


def _again(node: Node, scope: dict[str, Any], name: str, told: Told) -> Result:
    assert node.until is not None
    for iteration in range(1, node.most + 1):
        inner = {**scope, "iteration": iteration}
        result = _act(node, inner, f"{name}[{iteration}]", told)
        if result.status != S:
            return result
        if node.until.value(inner):
            return result
    return Result(F)


def _act(node: Node, scope: dict[str, Any], name: str, told: Told) -> Result:
    if node.children:
        inner = dict(scope)
        if _scope(node.children, inner, f"{name}.", told):
            return Result(F)
        assert node.output is not None
        return Result(S, node.output.value(inner))
    if node.cases:
        for when, value in node.cases:
            if when.value(scope):
                return Result(S, value.value(scope))
        return Result(K) if node.default is None else Result(S, node.default.value(scope))
    told.ran[name] += 1
    found = computed(
        {**{key: expr.value(scope) for key, expr in node.arguments.items()}, "fails": node.fails}
    )
    if isinstance(found, str):
        return Result(F)
    if node.compensates:
        told.completed.append((name, found))
    return Result(S, found)
