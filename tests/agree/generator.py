"""Random workflows over the whole language; the same seed gives the same workflow.

Where a failure may come out of a step nothing runs beside it, so that what ran never depends on who was
faster: branches and turns of a loop run side by side only if their failures stay within them.
"""

from dataclasses import replace
from typing import Any

from agree.cases import Case, Code, Expr, Node, constant, lenient, strict
from agree.code import CODE
from agree.expressions import Expressions, Place

_RUN = {"runtime": "python", "code": CODE}
_LOOPS = frozenset(("item", "entry", "iteration"))


class Generator(Expressions):
    """Makes one workflow of a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seed, self.count = seed, 0
        self.inner: list[Case] = []
        self.signals: dict[str, dict[str, int]] = {}
        self.in_order = self.chance(0.5)
        """Whether all of it runs one after another: only then a compensation may fail."""

    def case(self) -> Case:
        """The workflow."""
        made = self.workflow(f"agree-{self.seed}", Place(), 4)
        made.inner, made.signals = self.inner, self.signals
        return made

    def workflow(self, name: str, place: Place, most: int) -> Case:
        nodes = self.scope(place, most)
        names = tuple(node.name for node in nodes)
        last = Place(names, frozenset(("phase",)))
        count = self.random.choice((0, 0, 1, 2))
        final = [self.code(last, undone=False, careful=True) for _ in range(count)]
        outputs = {f"o{n}": lenient(self.random.choice(names)) for n in range(2)}
        if self.chance(0.15):
            outputs["must"] = strict(self.random.choice(names))
        return Case(name, nodes, final, outputs, 1 if self.in_order else 2)

    def name(self) -> str:
        self.count += 1
        return f"s{self.count}"

    def scope(self, place: Place, most: int) -> list[Node]:
        count = self.random.randint(1, most)
        if not self.in_order and count > 1 and self.chance(0.5):
            return self.branches(place, count)
        nodes: list[Node] = []
        for _ in range(count):
            nodes.append(self.step(self.after(place, nodes)))
        if place.alone and not place.roots & _LOOPS and self.chance(0.06):
            nodes += self.known(self.after(place, nodes))
        if self.chance(0.2):
            nodes.append(self.finisher(self.after(place, nodes)))
        return nodes

    def after(self, place: Place, nodes: list[Node]) -> Place:
        return replace(place, seen=(*place.seen, *(node.name for node in nodes)))

    def branches(self, place: Place, count: int) -> list[Node]:
        """Steps side by side, none of which fails."""
        nodes: list[Node] = []
        for _ in range(count):
            needs = [node.name for node in nodes if self.chance(0.4)]
            # A step that waits for any does not wait for what it reads if that may be missing.
            first = bool(needs) and self.chance(0.4)
            seen = tuple(node.name for node in nodes if not (first and node.name in needs))
            node = self.step(replace(place, seen=(*place.seen, *seen), alone=False))
            node.spec["needs"] = needs
            if first:
                node.spec["join"] = "any"
            if node.risky:
                self.handled(node)
            nodes.append(node)
        return nodes

    def finisher(self, place: Place) -> Node:
        """A step that runs after a failure too."""
        node = self.code(replace(place, alone=False), undone=False)
        node.finisher, node.spec["join"] = True, "finished"
        return node

    def step(self, place: Place) -> Node:
        simple = ("code", "code", "code", "code", "switch", "wait")
        kind = self.random.choice((*simple, "group", "group") if place.depth < 2 else simple)
        if not place.depth and self.chance(0.05):
            kind = "workflow"
        loop = self.random.choice(("", "", "items", "repeat")) if kind not in ("switch", "wait") else ""
        wide = loop == "items" and not self.in_order and self.chance(0.5)
        within = replace(place, depth=place.depth + 1, alone=place.alone and not wide)
        items: Expr | None = None
        if loop == "items":
            items, root = self.items(place)
            within = replace(within, roots=within.roots - {"item", "entry"} | {root, "index"})
        elif loop == "repeat":
            within = replace(within, roots=within.roots | {"iteration"})
        node = self.kind(kind, within)
        if self.chance(0.2):
            self.conditional(node, place)
        if items is not None:
            self.over_items(node, items, wide)
        elif loop == "repeat":
            self.again(node)
        if kind not in ("switch", "wait") and self.chance(0.3):
            self.handled(node, place)
        return node

    def kind(self, kind: str, place: Place) -> Node:
        kinds = {"code": self.code, "switch": self.switch, "wait": self.wait, "group": self.group}
        return self.child(place) if kind == "workflow" else kinds[kind](place)

    # ---- kinds of steps

    def code(self, place: Place, *, undone: bool = True, careful: bool = False) -> Node:
        attempts = self.random.choice((1, 1, 1, 2, 3))
        code = Code(
            self.arguments(place, careful=careful),
            fails=self.random.choice((0, 0, 0, 2, 3)),
            flaky=self.random.choice((0, 0, 0, 2, 3)),
            attempts=attempts,
        )
        node = Node(self.name(), code=code, risky=code.risky)
        node.spec = {"name": node.name, "run": _RUN, "with": code.given}
        if attempts > 1:
            node.spec["retry"] = _retry(attempts)
        if self.chance(0.1):
            node.most_allowed, node.risky = 12, True
            node.spec["outputSchema"] = {"type": "integer", "maximum": 12}
        elif self.chance(0.1):
            code.wide = 3000
            node.spec["with"] = code.given
        if undone and self.chance(0.3):
            self.undone(node)
        return node

    def known(self, place: Place) -> list[Node]:
        """A step with a cache, and one that finds its output there: what is recorded, not what is being."""
        first = self.code(place, undone=False, careful=True)
        second = replace(first, name=self.name(), spec={**first.spec})
        second.spec["name"] = second.name
        for node in (first, second):
            node.cached = f"{self.seed} {first.name}"
            node.spec["cache"] = {"key": node.cached, "ttl": "1h"}
        self.undone(second)
        return [first, self.pause(), second]

    def undone(self, node: Node) -> None:
        output = Expr("output", lambda scope: scope["output"])
        fails = self.random.choice((0, 0, 3)) if self.in_order else 0
        node.undo = Code({"output": output}, fails=fails, flaky=self.random.choice((0, 0, 2)), attempts=2)
        node.spec["compensate"] = {"run": _RUN, "with": node.undo.given, "retry": _retry(2)}

    def switch(self, place: Place) -> Node:
        node = Node(self.name())
        for _ in range(self.random.randint(1, 2)):
            node.cases.append((self.condition(place), constant(self.random.randint(0, 9))))
        node.default = constant("none") if self.chance(0.6) else None
        cases = [{"when": when.cel, "value": value.template} for when, value in node.cases]
        default = {} if node.default is None else {"default": node.default.template}
        node.spec = {"name": node.name, "switch": {"cases": cases, **default}}
        return node

    def wait(self, place: Place) -> Node:
        # To what is within another workflow nobody sends anything; of a loop each turn would take one.
        if not place.roots & (_LOOPS | {"inputs"}) and self.chance(0.2):
            return self.signal()
        return self.pause()

    def signal(self) -> Node:
        node = Node(self.name(), waits=True, signal={"n": self.random.randint(0, 9)})
        self.signals[f"of-{node.name}"] = node.signal or {}
        node.spec = {"name": node.name, "wait": {"signal": f"of-{node.name}"}}
        return node

    def pause(self) -> Node:
        node = Node(self.name(), waits=True)
        pause = self.random.choice(("20ms", f"${{{self.random.randint(1, 5)}.0 * 0.01}}"))
        node.spec = {"name": node.name, "wait": {"for": pause}}
        return node

    def group(self, place: Place) -> Node:
        node = Node(self.name())
        node.children = self.scope(place, 2)
        node.risky = any(child.risky for child in node.children)
        node.output = lenient(self.random.choice(node.children).name)
        children = [child.spec for child in node.children]
        node.spec = {"name": node.name, "steps": children, "output": node.output.template}
        return node

    def child(self, place: Place) -> Node:
        node = Node(self.name(), risky=True, attempts=self.random.choice((1, 1, 2)))
        inside = Place(roots=frozenset(("inputs",)), depth=2, alone=place.alone)
        node.child = self.workflow(f"agree-{self.seed}-{node.name}", inside, 2)
        node.child.inputs = ("a",)
        self.inner.append(node.child)
        node.inputs = {"a": self.number(place)}
        given = {name: expr.template for name, expr in node.inputs.items()}
        node.spec = {"name": node.name, "workflow": {"name": node.child.name}, "with": given}
        if node.attempts > 1:
            node.spec["retry"] = {**_retry(node.attempts), "reasons": ["ChildFailed"]}
        return node

    # ---- modifiers

    def conditional(self, node: Node, place: Place) -> None:
        node.when = self.condition(place)
        node.spec["when"] = node.when.cel

    def over_items(self, node: Node, items: Expr, wide: bool) -> None:
        node.items = items
        node.fail_fast = self.chance(0.5) and not (wide and node.risky)
        node.risky = node.risky and node.fail_fast
        parallelism = self.random.randint(2, 3) if wide else 1
        node.spec["forEach"] = {
            "items": items.template,
            "failFast": node.fail_fast,
            "parallelism": parallelism,
        }
        if node.when is None and self.chance(0.2):
            node.per_item, node.when = True, Expr("index != 1", lambda scope: scope["index"] != 1)
            node.spec["when"] = node.when.cel

    def again(self, node: Node) -> None:
        value = self.random.randint(1, 4)
        node.most, node.risky = self.random.randint(1, 3), True
        node.until = Expr(f"iteration >= {value}", lambda scope: scope["iteration"] >= value)
        if self.chance(0.3):
            node.until = Expr(f"output == {value}", lambda scope: scope["output"] == value)
        repeat: dict[str, Any] = {"until": node.until.cel, "max": node.most}
        node.spec["repeat"] = repeat | ({"delay": "10ms"} if self.chance(0.2) else {})

    def handled(self, node: Node, place: Place | None = None) -> None:
        """Handles what may fail: with an output, or, where a place is given, also with a step."""
        node.handler, node.risky = [], False
        node.on_error = constant("handled")
        node.spec["onError"] = {"output": "handled"}
        if place is not None and self.chance(0.5):
            inside = replace(place, roots=place.roots | {"error"}, alone=False)
            teller = self.code(inside, undone=False)
            node.handler, node.on_error, node.risky = [teller], lenient(teller.name), teller.risky
            node.spec["onError"] = {"steps": [teller.spec], "output": node.on_error.template}


def _retry(attempts: int) -> dict[str, Any]:
    return {"attempts": attempts, "backoff": {"initial": "10ms", "factor": 1}}
