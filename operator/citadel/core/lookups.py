"""Every path of a workflow's expressions, followed through what is known of inputs and steps.

For those who write a definition, and for the cluster when it takes one in. Never for one that is pinned: what
was valid when an execution began stays so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from citadel.api.problems import Problem
from citadel.core.compiled import CompiledStep
from citadel.core.expressions import Expression
from citadel.core.plan import Workflow
from citadel.core.references import Chain
from citadel.core.shapes import UNKNOWN, NoSuchPart, Shape, of_fields
from citadel.core.templates import Template

_Path = tuple[str | int, ...]
_EXECUTION = of_fields(name="string", namespace="string", uid="string", phase="string", error="any")
_FAILURE = of_fields(reason="string", message="string")
_STATUS = Shape({"type": "string"}, {})


@dataclass(frozen=True)
class _Sight:
    """What is known where an expression stands."""

    roots: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    """Of the steps that it sees, by name."""


def lookup_problems(workflow: Workflow) -> list[Problem]:
    """What no execution of this workflow could ever find; nothing if all may be there."""
    roots = {"inputs": Shape(workflow.inputs.schema, workflow.inputs.schema, closed=True)}
    sight = _Sight({**roots, "execution": _EXECUTION}, {})
    problems: list[Problem] = []
    for step in workflow.steps.values():
        if step.builds is None:
            for path, found in _expressions(step):
                problems += _problems((*step.place, *path), found, sight)
    for name, template in workflow.outputs.items():
        problems += _problems(("spec", "outputs", name), template, sight)
    return problems


def _expressions(step: CompiledStep) -> Iterator[tuple[_Path, Template | Expression]]:
    if step.when is not None:
        yield ("when",), step.when
    for field, given in (("with", step.arguments), ("files", step.files)):
        yield from (((field, name), item) for name, item in given.items() if isinstance(item, Template))
    action = "run" if step.spec.run is not None else "container"
    for position, (_, template) in enumerate(step.env):
        yield (action, "env", position, "value"), template


def _problems(path: _Path, found: Template | Expression, sight: _Sight) -> Iterator[Problem]:
    told = set()
    shape = UNKNOWN
    for chain in found.chains:
        try:
            shape = _followed(chain, sight)
        except NoSuchPart as error:
            if str(error) not in told:
                told.add(str(error))
                yield Problem(path, str(error))
    if told or not isinstance(found, Expression) or found.plain_path is None:
        return
    if shape.kinds and "boolean" not in shape.kinds:
        yield Problem(path, f"found {found.source}, which is {shape.told}, expected true or false")


def _followed(chain: Chain, sight: _Sight) -> Shape:
    """What a path leads to; raises NoSuchPart."""
    name, keys, optional = chain.root.name, chain.keys, chain.optional
    if name != "steps":
        return sight.roots.get(name, UNKNOWN).part(name, keys, optional)
    if len(keys) < 2:
        return UNKNOWN
    shape = {"status": _STATUS, "error": _FAILURE}.get(str(keys[1]))
    if shape is None:
        shape = sight.outputs.get(str(keys[0]), UNKNOWN)
    return shape.part(f"steps.{keys[0]}.{keys[1]}", keys[2:], optional[2:])
