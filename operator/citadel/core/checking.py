"""Expressions of a workflow, compiled and checked for what they may refer to where they stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from citadel.api.durations import seconds
from citadel.api.meta import KeyRef
from citadel.api.problems import Problem, suggestion
from citadel.core.expressions import Expression, InvalidExpression, Read, compile_expression
from citadel.core.jsonvalues import Json
from citadel.core.templates import Template, compile_template
from citadel.core.values import ByReference

Path = tuple[str | int, ...]
#: Roots that every expression may use.
ROOTS = frozenset(("inputs", "steps", "execution"))
#: Where the other roots mean something.
_ELSEWHERE = MappingProxyType(
    {
        "item": "inside forEach",
        "index": "inside forEach",
        "iteration": "inside repeat",
        "previous": "inside repeat",
        "output": "in until and compensate",
        "error": "in onError",
        "args": "in constraints of an Agent's tools",
    }
)
#: Fields of `valueFrom`, and the kinds they refer to.
_REFERENCES = MappingProxyType({"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"})


@dataclass(frozen=True)
class Sight:
    """What expressions at one place may refer to."""

    reader: str
    """Definition path of the step whose expressions they are; empty for outputs."""
    names: Mapping[str, str]
    """Definition paths of steps, by name."""
    roots: frozenset[str] = ROOTS

    def also(self, *roots: str) -> "Sight":
        """The same with more roots."""
        return replace(self, roots=self.roots | set(roots))

    def paths(self, reads: frozenset[Read] | set[Read]) -> frozenset[str]:
        """Definition paths of the steps that are read."""
        return frozenset(self.names[read.step] for read in reads if read.step in self.names)


class Checker:
    """Compiles expressions, collecting every problem instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def problem(self, path: Path, message: str) -> None:
        """Notes what is wrong, once."""
        problem = Problem(path, message)
        if problem not in self.problems:
            self.problems.append(problem)

    def timeout(self, path: Path, text: str | None) -> float | None:
        """Seconds of a timeout; None where there is none."""
        if text is not None and seconds(text) <= 0:
            self.problem(path, f"found {text!r}, expected more than 0; without a timeout there is no limit")
        return seconds(text) if text is not None else None

    def expression(self, path: Path, source: str, sight: Sight) -> Expression | None:
        """Bare CEL; None with a problem noted."""
        if source.startswith("${") and source.endswith("}"):
            self.problem(path, f"found {source!r}, expected bare CEL without ${{…}} around it")
            return None
        try:
            expression = compile_expression(source)
        except InvalidExpression as error:
            self.problem(path, str(error))
            return None
        self._check(path, expression, sight)
        return expression

    def template(self, path: Path, value: Json, sight: Sight) -> Template | None:
        """A value with expressions; None with a problem noted."""
        try:
            template = compile_template(value)
        except InvalidExpression as error:
            self.problem(path, str(error))
            return None
        self._check(path, template, sight)
        return template

    def arguments(
        self, path: Path, given: Mapping[str, Json], sight: Sight
    ) -> dict[str, Template | ByReference]:
        """Arguments by name, without those that have problems."""
        found = {name: self.argument((*path, name), value, sight) for name, value in given.items()}
        return {name: argument for name, argument in found.items() if argument is not None}

    def argument(self, path: Path, value: Json, sight: Sight) -> Template | ByReference | None:
        """A template, or a reference to a ConfigMap or Secret; None with a problem noted."""
        if not (isinstance(value, dict) and set(value) == {"valueFrom"}):
            template = self.template(path, value, sight)
            # Only of a template is it known that it is not too deep to look through.
            for inner in _nested_references(path, value) if template is not None else ():
                self.problem(inner, "found a reference inside a value, expected it as a whole argument")
            return template
        source = value["valueFrom"]
        if isinstance(source, dict) and len(source) == 1 and (field := next(iter(source))) in _REFERENCES:
            try:
                reference = KeyRef.model_validate(source[field])
            except ValueError:
                self.problem((*path, "valueFrom", field), "expected {name, key}, both names of Kubernetes")
                return None
            return ByReference(_REFERENCES[field], reference.name, reference.key)
        self.problem(
            (*path, "valueFrom"),
            "expected exactly one of configMapKeyRef: {name, key} and secretKeyRef: {name, key}",
        )
        return None

    def known(self, path: Path, name: str, sight: Sight) -> None:
        """Notes a problem if no other step of this name can be referred to."""
        found = sight.names.get(name)
        if found is None:
            listed = list(sight.names)
            known = ", ".join(listed[:20]) + (", …" if len(listed) > 20 else "")
            near = suggestion(name, listed)
            self.problem(path, f"found a reference to step {name!r}, expected one of: {known}{near}")
        elif sight.reader == found or sight.reader.startswith(f"{found}."):
            inside = "" if sight.reader == found else " from within"
            self.problem(path, f"step {name!r} refers to itself{inside}")

    def _check(self, path: Path, found: Expression | Template, sight: Sight) -> None:
        """Notes a problem for every name in it that means nothing here."""
        for name in sorted(found.names - sight.roots):
            known = "steps" in sight.roots
            alone = " or ".join(sorted(sight.roots, reverse=True))
            where = f"which exists only {_ELSEWHERE[name]}" if known else f"expected {alone}"
            self.problem(path, f"found {name!r}, {where}")
        for name in sorted({read.step for read in found.reads}) if "steps" in sight.roots else ():
            self.known(path, name, sight)


def _nested_references(path: Path, value: Json) -> Iterator[Path]:
    """Where in a value something stands that would be a reference if it were the whole argument."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _nested_references((*path, index), item)
    elif isinstance(value, dict):
        source = value.get("valueFrom")
        if len(value) == 1 and isinstance(source, dict) and set(source) & _REFERENCES.keys():
            yield (*path, "valueFrom")
        for name, item in value.items():
            yield from _nested_references((*path, name), item)


def hard_reads(reads: set[Read] | frozenset[Read]) -> frozenset[str]:
    """Names of steps whose output must exist for these reads to make sense."""
    return frozenset(read.step for read in reads if read.attribute == "output" and not read.optional)
