"""A generated workflow: as a tree for the interpreter, and as the objects that Citadel is given.

Every expression has two forms, CEL for Citadel and a Python function for the interpreter, made together.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from citadel.api.meta import API_VERSION

#: What an expression sees: outputs of steps by name (absent: it has none), item, index, iteration, previous …
Scope = Mapping[str, Any]


@dataclass(frozen=True)
class Expr:
    """An expression; `reads` are steps whose output it needs."""

    cel: str
    value: Callable[[Scope], Any]
    reads: frozenset[str] = frozenset()

    @property
    def template(self) -> str:
        """As it stands in a field that is not an expression by itself."""
        return f"${{{self.cel}}}"


def constant(value: Any) -> Expr:
    """A number, or a text in single quotes."""
    return Expr(repr(value), lambda _: value)


def strict(name: str) -> Expr:
    """The output of a step, which has to have one."""
    return Expr(f"steps.{name}.output", lambda scope: scope[name], frozenset((name,)))


def lenient(name: str) -> Expr:
    """The output of a step, or seven."""
    return Expr(f"steps.{name}.?output.orValue(7)", lambda scope: scope.get(name, 7))


def has_succeeded(name: str) -> Expr:
    """Whether a step has succeeded."""
    return Expr(f"steps.{name}.status == 'Succeeded'", lambda scope: name in scope)


@dataclass
class Code:
    """Settings of a step's code, and what becomes of its attempts."""

    arguments: dict[str, Expr] = field(default_factory=dict)
    fails: int = 0
    """It fails when the sum of its arguments is a multiple of this; 0: never."""
    flaky: int = 0
    """Attempts below this one fail."""
    wide: int = 0
    """Its output is a text that is at least so long."""
    attempts: int = 1

    @property
    def settings(self) -> dict[str, int]:
        found = {"fails": self.fails, "flaky": self.flaky, "wide": self.wide}
        return {name: value for name, value in found.items() if value}

    @property
    def given(self) -> dict[str, Any]:
        """Its `with`."""
        return {name: expr.template for name, expr in self.arguments.items()} | self.settings

    @property
    def risky(self) -> bool:
        """Whether it may fail for good."""
        return self.fails > 0 or self.flaky > self.attempts


@dataclass
class Node:
    """A step: its definition is `spec`; the rest is what the interpreter works with."""

    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    code: Code | None = None
    when: Expr | None = None
    per_item: bool = False
    """Whether `when` is asked for each item."""
    children: list["Node"] = field(default_factory=list)
    output: Expr | None = None
    cases: list[tuple[Expr, Expr]] = field(default_factory=list)
    default: Expr | None = None
    waits: bool = False
    signal: dict[str, Any] | None = None
    """What the signal brings that it waits for."""
    child: "Case | None" = None
    inputs: dict[str, Expr] = field(default_factory=dict)
    attempts: int = 1
    """How often the execution of another workflow is tried."""
    items: Expr | None = None
    fail_fast: bool = True
    until: Expr | None = None
    most: int = 0
    handler: list["Node"] = field(default_factory=list)
    on_error: Expr | None = None
    undo: Code | None = None
    cached: str = ""
    """Its cache's key; empty without one."""
    most_allowed: int | None = None
    """Its schema's maximum."""
    finisher: bool = False
    """Whether it runs after a failure too."""
    risky: bool = False
    """Whether it may fail in a way that nothing handles."""


@dataclass
class Case:
    """A whole workflow."""

    name: str
    nodes: list[Node]
    final: list[Node]
    outputs: dict[str, Expr]
    parallelism: int
    inputs: tuple[str, ...] = ()
    signals: dict[str, Any] = field(default_factory=dict)
    """What is sent to it, by name."""
    inner: list["Case"] = field(default_factory=list)
    """Workflows that its steps run."""

    @property
    def spec(self) -> dict[str, Any]:
        """The Workflow's spec."""
        spec: dict[str, Any] = {
            "steps": [node.spec for node in self.nodes],
            "outputs": {name: expr.template for name, expr in self.outputs.items()},
            "parallelism": self.parallelism,
        }
        if self.inputs:
            spec["inputs"] = {"type": "object", "properties": {name: {} for name in self.inputs}}
        return {**spec, "finally": [node.spec for node in self.final]} if self.final else spec

    @property
    def workflows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The names and specs of all workflows, its own first."""
        yield self.name, self.spec
        for case in self.inner:
            yield from case.workflows

    @property
    def text(self) -> str:
        """The file with all of them."""
        objects = (
            {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": {"name": name}, "spec": spec}
            for name, spec in self.workflows
        )
        return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Anchors are no part of the language."""
        return True
