"""Random expressions, by what can be seen where they stand."""

import random
from dataclasses import dataclass, replace

from agree.cases import Expr, constant, has_succeeded, lenient, strict

_ROOTS = {
    "item": Expr("item", lambda scope: scope["item"]),
    "entry": Expr("item.value", lambda scope: scope["item"]["value"]),
    "index": Expr("index", lambda scope: scope["index"]),
    "iteration": Expr(
        "(iteration == 1 ? 5 : previous)",
        lambda scope: 5 if scope["iteration"] == 1 else scope["previous"],
    ),
    "inputs": Expr("inputs.a", lambda scope: scope["inputs"]["a"]),
    "error": Expr("size(error.reason)", lambda scope: len(scope["error"]["reason"])),
    "phase": Expr("size(execution.phase)", lambda scope: len(scope["phase"])),
}


@dataclass(frozen=True)
class Place:
    """Where a step stands."""

    seen: tuple[str, ...] = ()
    """Steps that it may refer to."""
    roots: frozenset[str] = frozenset()
    """What else its expressions see."""
    depth: int = 0
    alone: bool = True
    """Whether nothing runs beside it."""


class Expressions:
    """Draws expressions."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def number(self, place: Place, *, careful: bool = False) -> Expr:
        choices = [constant(self.random.randint(0, 9))]
        if place.seen:
            choices += [lenient(self.random.choice(place.seen)) for _ in range(2)]
            choices += [] if careful else [strict(self.random.choice(place.seen))]
        choices += [_ROOTS[root] for root in sorted(place.roots)]
        return self.random.choice(choices)

    def condition(self, place: Place) -> Expr:
        if place.seen and self.chance(0.7):
            return has_succeeded(self.random.choice(place.seen))
        value = self.chance(0.7)
        return Expr("true" if value else "false", lambda _: value)

    def arguments(self, place: Place, *, careful: bool = False) -> dict[str, Expr]:
        return {name: self.number(place, careful=careful) for name in "ab"[: self.random.randint(0, 2)]}

    def items(self, place: Place) -> tuple[Expr, str]:
        """What a loop goes over, and which name its items have."""
        # An expression that also asks whether an output is there fails without it; else the step is skipped.
        seen = self.random.sample(place.seen, len(place.seen))
        listed = [
            self.number(replace(place, seen=tuple(seen[at : at + 1])))
            for at in range(self.random.randint(0, 3))
        ]
        reads = frozenset(read for expr in listed for read in expr.reads)
        if self.chance(0.7):
            cel = f"[{', '.join(expr.cel for expr in listed)}]"
            return Expr(cel, lambda scope: [expr.value(scope) for expr in listed], reads), "item"
        named = list(zip("cab", listed, strict=False))
        cel = f"{{{', '.join(f'{key!r}: {expr.cel}' for key, expr in named)}}}"
        return Expr(cel, lambda scope: {key: expr.value(scope) for key, expr in named}, reads), "entry"
