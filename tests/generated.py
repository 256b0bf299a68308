"""Random workflows over the language: as a definition, and as a tree for the reference interpreter.

Every expression has two forms, CEL for Citadel and a Python function for the interpreter, made together.
Where a failure may happen nothing runs beside it, so that what ran does not depend on who was faster.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: What an expression sees: outputs of steps by name (absent: it has none), item, index, iteration, previous.
Scope = Mapping[str, Any]

CODE = """def main(fails=0, **given):
    total = sum(v if isinstance(v, int) else len(v) for v in given.values())
    if fails and total % fails == 0:
        raise ValueError(f"boom {total}")
    return total % 17
"""


def computed(given: Mapping[str, Any]) -> int | str:
    """What CODE gives for these arguments; a text is the message of its error."""
    fails = given.get("fails", 0)
    total = sum(v if isinstance(v, int) else len(v) for k, v in given.items() if k != "fails")
    return f"boom {total}" if fails and total % fails == 0 else total % 17


@dataclass(frozen=True)
class Expr:
    """An expression; `reads` are steps whose output it needs."""

    cel: str
    value: Callable[[Scope], Any]
    reads: frozenset[str] = frozenset()


@dataclass
class Node:
    """A step: its definition is `spec`; the rest is what the interpreter works with."""

    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, Expr] = field(default_factory=dict)
    fails: int = 0
    when: Expr | None = None
    children: list["Node"] = field(default_factory=list)
    output: Expr | None = None
    cases: list[tuple[Expr, Expr]] = field(default_factory=list)
    default: Expr | None = None
    items: Expr | None = None
    fail_fast: bool = True
    until: Expr | None = None
    most: int = 0
    on_error: Expr | None = None
    compensates: bool = False

    @property
    def is_loop(self) -> bool:
        return self.items is not None or self.most > 0


@dataclass
class Case:
    """A whole workflow."""

    nodes: list[Node]
    final: list[Node]
    outputs: dict[str, Expr]

    @property
    def spec(self) -> dict[str, Any]:
        """The Workflow's spec."""
        spec = {
            "steps": [node.spec for node in self.nodes],
            "outputs": {name: f"${{{expr.cel}}}" for name, expr in self.outputs.items()},
            "parallelism": 2,
        }
        return {**spec, "finally": [node.spec for node in self.final]} if self.final else spec


class Generator:
    """Makes one workflow of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    def case(self) -> Case:
        nodes = self.scope([], frozenset(), 0)
        final = (
            [self.code([node.name for node in nodes], frozenset(), lenient=True)] if self.chance(0.3) else []
        )
        for node in final:
            node.compensates = False
            node.spec.pop("compensate", None)
        names = [node.name for node in nodes]
        outputs = {f"o{n}": self.lenient(self.random.choice(names)) for n in range(2)}
        return Case(nodes, final, outputs)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def scope(self, seen: list[str], roots: frozenset[str], depth: int) -> list[Node]:
        nodes: list[Node] = []
        for _ in range(self.random.randint(1, 4 if depth == 0 else 2)):
            nodes.append(self.step([*seen, *(node.name for node in nodes)], roots, depth))
        return nodes

    def step(self, seen: list[str], roots: frozenset[str], depth: int) -> Node:
        kind = self.random.choice(
            ("code", "code", "code", "switch", "group", "group") if depth < 2 else ("code", "switch")
        )
        loop = self.random.choice(("", "", "items", "repeat")) if kind != "switch" else ""
        inner = roots | {"items": {"item", "index"}, "repeat": {"iteration"}}.get(loop, set())
        if kind == "group":
            node = self.group(seen, inner, depth)
        else:
            node = self.code(seen, inner) if kind == "code" else self.switch(seen, inner)
        if self.chance(0.2) and seen:
            node.when = self.condition(seen, roots)
            node.spec["when"] = node.when.cel
        if loop == "items":
            self.over_items(node, seen, roots)
        elif loop == "repeat":
            self.again(node)
        if kind != "switch" and self.chance(0.3):
            node.on_error = Expr("'handled'", lambda _: "handled")
            node.spec["onError"] = {"output": "handled"}
        return node

    def name(self) -> str:
        self.count += 1
        return f"s{self.count}"

    # ---- expressions

    def number(self, seen: list[str], roots: frozenset[str]) -> Expr:
        choices = [self.constant]
        if seen:
            choices += [lambda: self.lenient(self.random.choice(seen))] * 2
            choices += [lambda: self.strict(self.random.choice(seen))]
        for root in ("item", "index", "iteration"):
            if root in roots:
                choices.append(lambda root=root: Expr(root, lambda scope: scope[root]))  # type: ignore[misc]
        return self.random.choice(choices)()

    def constant(self) -> Expr:
        value = self.random.randint(0, 9)
        return Expr(str(value), lambda _: value)

    def strict(self, name: str) -> Expr:
        return Expr(f"steps.{name}.output", lambda scope: scope[name], frozenset((name,)))

    def lenient(self, name: str) -> Expr:
        return Expr(f"steps.{name}.?output.orValue(7)", lambda scope: scope.get(name, 7))

    def condition(self, seen: list[str], roots: frozenset[str]) -> Expr:
        if seen and self.chance(0.7):
            name = self.random.choice(seen)
            return Expr(f"steps.{name}.status == 'Succeeded'", lambda scope: name in scope)
        value = self.chance(0.7)
        return Expr("true" if value else "false", lambda _: value)

    # ---- kinds of steps

    def code(self, seen: list[str], roots: frozenset[str], *, lenient: bool = False) -> Node:
        node = Node(self.name())
        for argument in "ab"[: self.random.randint(0, 2)]:
            if lenient and seen:
                node.arguments[argument] = self.lenient(self.random.choice(seen))
            else:
                node.arguments[argument] = self.number(seen, roots)
        node.fails = 0 if lenient else self.random.choice((0, 0, 0, 2, 3))
        node.compensates = self.chance(0.3)
        given = {name: f"${{{expr.cel}}}" for name, expr in node.arguments.items()}
        run = {"runtime": "python", "code": CODE}
        node.spec = {"name": node.name, "run": run, "with": {**given, "fails": node.fails}}
        if node.compensates:
            node.spec["compensate"] = {"run": run, "with": {"a": "${output}"}}
        return node

    def switch(self, seen: list[str], roots: frozenset[str]) -> Node:
        node = Node(self.name())
        node.cases = [
            (self.condition(seen, roots), self.constant()) for _ in range(self.random.randint(1, 2))
        ]
        node.default = self.constant() if self.chance(0.6) else None
        cases = [{"when": when.cel, "value": f"${{{value.cel}}}"} for when, value in node.cases]
        switch: dict[str, Any] = {"cases": cases}
        if node.default is not None:
            switch["default"] = f"${{{node.default.cel}}}"
        node.spec = {"name": node.name, "switch": switch}
        return node

    def group(self, seen: list[str], roots: frozenset[str], depth: int) -> Node:
        node = Node(self.name())
        node.children = self.scope(seen, roots, depth + 1)
        node.output = self.lenient(self.random.choice(node.children).name)
        node.spec = {
            "name": node.name,
            "steps": [child.spec for child in node.children],
            "output": f"${{{node.output.cel}}}",
        }
        return node

    def over_items(self, node: Node, seen: list[str], roots: frozenset[str]) -> None:
        size = self.random.randint(0, 3)
        listed = [self.number(seen, roots) for _ in range(size)]
        # Lists of lists would have to be told apart in sums: only their lengths count there.
        reads = frozenset(read for expr in listed for read in expr.reads)
        node.items = Expr(
            f"[{', '.join(expr.cel for expr in listed)}]",
            lambda scope: [expr.value(scope) for expr in listed],
            reads,
        )
        node.fail_fast = self.chance(0.5)
        node.spec["forEach"] = {
            "items": f"${{{node.items.cel}}}",
            "failFast": node.fail_fast,
            "parallelism": 1,
        }

    def again(self, node: Node) -> None:
        node.most = self.random.randint(1, 3)
        value = self.random.randint(1, 4)
        node.until = Expr(f"iteration >= {value}", lambda scope: scope["iteration"] >= value)
        node.spec["repeat"] = {"until": node.until.cel, "max": node.most}
