"""One step, compiled: its expressions parsed, what it reads and waits for made explicit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from citadel.api.durations import seconds
from citadel.api.meta import KeyRef
from citadel.api.problems import Problem
from citadel.api.step import Step
from citadel.core.expressions import Expression, InvalidExpression, Read, compile_expression
from citadel.core.jsonvalues import Json
from citadel.core.parcels import Source, read_parcels
from citadel.core.templates import Template, compile_template
from citadel.core.values import ByReference

Path = tuple[str | int, ...]
#: Roots that a step's expressions may use in this version of the language.
_ROOTS = frozenset(("inputs", "steps", "execution"))
#: Fields of `valueFrom`, and the kinds they refer to.
_REFERENCES = MappingProxyType({"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"})


#: The artifact that a build leaves.
PROGRAM = "program"


@dataclass(frozen=True)
class CompiledStep:
    """A step as the engine works with it."""

    spec: Step
    index: int
    needs: tuple[str, ...]
    """Steps named by `needs`, or the step above."""
    references: frozenset[str]
    """Steps its expressions refer to."""
    hard_reads: frozenset[str]
    """Steps whose output it reads without `.?`: when one has none, this step is skipped."""
    when: Expression | None
    arguments: dict[str, Template | ByReference]
    env: tuple[tuple[str, Template], ...]
    timeout: float | None
    """Seconds an attempt may take."""
    files: dict[str, Template | ByReference] = field(default_factory=dict)
    """What stands at each path when an attempt begins."""
    taken: dict[str, Source] = field(default_factory=dict)
    """Artifacts of other steps, by the path where each is to stand."""
    left: dict[str, str] = field(default_factory=dict)
    """Paths of what an attempt leaves, by name."""
    builds: str | None = None
    """The step whose code this hidden step compiles."""
    program: str | None = None
    """The hidden step that compiles this one's code."""

    @classmethod
    def plain(cls, spec: Step, index: int, *, builds: str) -> "CompiledStep":
        """A hidden step: it waits for nothing, and takes nothing."""
        timeout = None if spec.timeout is None else seconds(spec.timeout)
        none: frozenset[str] = frozenset()
        return cls(spec, index, (), none, none, None, {}, (), timeout, builds=builds)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names of the artifacts without which no attempt of it has succeeded."""
        return (PROGRAM,) if self.builds is not None else tuple(self.left)

    @property
    def after(self) -> tuple[str, ...]:
        """Every step this one may have to wait for, each once."""
        return tuple(dict.fromkeys((*self.needs, *sorted(self.references))))

    @property
    def has_references(self) -> bool:
        """Whether arguments or files come from ConfigMaps or Secrets."""
        return any(isinstance(item, ByReference) for item in (*self.arguments.values(), *self.files.values()))

    def by_reference(self) -> Iterator[tuple[str, str, ByReference]]:
        """What comes from ConfigMaps and Secrets: the name by which a sandbox gets it, its field, the key."""
        for given, kind in ((self.arguments, "with."), (self.files, "files ")):
            for name, item in given.items():
                if isinstance(item, ByReference):
                    yield name, f"{kind}{name}", item


class StepCompiler:
    """Compiles the steps of one workflow, collecting every problem instead of stopping at the first."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.names = [step.name for step in steps]
        self.problems: list[Problem] = []

    def compile(self) -> list[CompiledStep]:
        """The steps in their order; what is wrong is in `problems`."""
        seen: dict[str, int] = {}
        for index, name in enumerate(self.names):
            if name in seen:
                self._problem(
                    ("spec", "steps", index, "name"),
                    f"found {name!r}, which is also the name of steps[{seen[name]}]; names are unique",
                )
            seen.setdefault(name, index)
        return [self._step(index, step) for index, step in enumerate(self.steps)]

    def _step(self, index: int, step: Step) -> CompiledStep:
        path: Path = ("spec", "steps", index)
        above = (self.steps[index - 1].name,) if index else ()
        needs = above if step.needs is None else tuple(dict.fromkeys(step.needs))
        if step.needs is not None:
            for position, name in enumerate(step.needs):
                self._known((*path, "needs", position), name, step.name)
        when = None
        if step.when is not None:
            when = self._expression((*path, "when"), step.when, step.name)
        arguments: dict[str, Template | ByReference] = {}
        for name, value in step.arguments.items():
            argument = self._argument((*path, "with", name), value, step.name)
            if argument is not None:
                arguments[name] = argument
        env = tuple(self._env(path, step))
        reads = set(when.reads) if when else set()
        parcels = read_parcels(step, self.steps)
        for place, message in parcels.problems:
            self._problem((*path, *place), message)
        files: dict[str, Template | ByReference] = {}
        for at, (spelling, value) in parcels.files.items():
            content = self._argument((*path, "files", spelling), value, step.name)
            if content is not None:
                files[at] = content
        for at, source in parcels.taken.items():
            self._known((*path, "artifacts", "in", at), source.step, step.name)
        takes_of = frozenset(source.step for source in parcels.taken.values())
        for argument in (*arguments.values(), *files.values(), *(template for _, template in env)):
            if isinstance(argument, Template):
                reads |= argument.reads
        return CompiledStep(
            spec=step,
            index=index,
            needs=needs,
            references=frozenset(read.step for read in reads) | takes_of,
            # Who has no output has left no artifact either.
            hard_reads=hard_reads(reads) | takes_of,
            when=when,
            arguments=arguments,
            env=env,
            timeout=self.timeout((*path, "timeout"), step.timeout),
            files=files,
            taken=parcels.taken,
            left=parcels.left,
        )

    def timeout(self, path: Path, text: str | None) -> float | None:
        """Seconds of a timeout; None where there is none."""
        if text is not None and seconds(text) <= 0:
            self._problem(path, f"found {text!r}, expected more than 0; without a timeout there is no limit")
        return seconds(text) if text is not None else None

    def _env(self, path: Path, step: Step) -> Iterator[tuple[str, Template]]:
        action = step.run or step.container
        assert action is not None
        path = (*path, "run" if step.run else "container", "env")
        for position, variable in enumerate(action.env):
            template = self.template((*path, position, "value"), variable.value, step.name)
            if template is not None:
                yield variable.name, template

    def _argument(self, path: Path, value: Json, reader: str) -> Template | ByReference | None:
        if not (isinstance(value, dict) and set(value) == {"valueFrom"}):
            template = self.template(path, value, reader)
            # Only of a template is it known that it is not too deep to look through.
            for inner in _nested_references(path, value) if template is not None else ():
                self._problem(inner, "found a reference inside a value, expected it as a whole argument")
            return template
        source = value["valueFrom"]
        if isinstance(source, dict) and len(source) == 1 and (field := next(iter(source))) in _REFERENCES:
            try:
                reference = KeyRef.model_validate(source[field])
            except ValueError:
                self._problem((*path, "valueFrom", field), "expected {name, key}, both names of Kubernetes")
                return None
            return ByReference(_REFERENCES[field], reference.name, reference.key)
        self._problem(
            (*path, "valueFrom"),
            "expected exactly one of configMapKeyRef: {name, key} and secretKeyRef: {name, key}",
        )
        return None

    def _expression(self, path: Path, source: str, reader: str) -> Expression | None:
        if source.startswith("${") and source.endswith("}"):
            self._problem(path, f"found {source!r}, expected bare CEL without ${{…}} around it")
            return None
        try:
            expression = compile_expression(source)
        except InvalidExpression as error:
            self._problem(path, str(error))
            return None
        self._check(path, expression, reader)
        return expression

    def template(self, path: Path, value: Json, reader: str | None = None) -> Template | None:
        """The compiled template of the step `reader`, or of an output; None with a problem noted."""
        try:
            template = compile_template(value)
        except InvalidExpression as error:
            self._problem(path, str(error))
            return None
        self._check(path, template, reader)
        return template

    def _check(self, path: Path, found: Expression | Template, reader: str | None) -> None:
        """Notes a problem for every name in it that means nothing here."""
        for name in sorted(found.names - _ROOTS):
            self._problem(path, f"found {name!r}, which exists only inside a loop")
        for name in sorted({read.step for read in found.reads}):
            self._known(path, name, reader)

    def _known(self, path: Path, name: str, reader: str | None) -> None:
        if name == reader:
            self._problem(path, f"step {name!r} refers to itself")
        elif name not in self.names:
            known = ", ".join(self.names[:20]) + (", …" if len(self.names) > 20 else "")
            self._problem(path, f"found a reference to step {name!r}, expected one of: {known}")

    def _problem(self, path: Path, message: str) -> None:
        problem = Problem(path, message)
        if problem not in self.problems:
            self.problems.append(problem)


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
    """Steps whose output must exist for these reads to make sense."""
    return frozenset(read.step for read in reads if read.attribute == "output" and not read.optional)
