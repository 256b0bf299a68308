"""One step, compiled: its expressions parsed, what it reads and waits for made explicit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from citadel.api.agent import AgentSpec
from citadel.api.durations import seconds
from citadel.api.modifiers import ForEach, Repeat
from citadel.api.step import Step
from citadel.core.bounds import Bounds
from citadel.core.expressions import Expression
from citadel.core.instances import COMPENSATE, turn
from citadel.core.outputs import OutputSchema
from citadel.core.parcels import Source
from citadel.core.pinned import PinnedTool
from citadel.core.templates import Template
from citadel.core.values import ByReference

#: The artifact that a build leaves.
PROGRAM = "program"
#: The scope of the steps of `finally`, and of what runs only when it is needed and counts nowhere.
FINALLY, ON_DEMAND = ":finally", ":on-demand"


@dataclass(frozen=True)
class Loop:
    """How a step is repeated: over items, or until a condition holds."""

    spec: ForEach | Repeat
    items: Template | None = None
    until: Expression | None = None
    delay: float = 0.0
    """Seconds between iterations."""

    @property
    def parallelism(self) -> int:
        return self.spec.parallelism if isinstance(self.spec, ForEach) else 1

    @property
    def fail_fast(self) -> bool:
        return not isinstance(self.spec, ForEach) or self.spec.fail_fast


@dataclass(frozen=True)
class Cases:
    """The cases of a switch, compiled."""

    cases: tuple[tuple[Expression, Template], ...]
    default: Template | None


@dataclass(frozen=True)
class CompiledStep:
    """A step as the engine works with it. Other steps are named by their definition paths."""

    spec: Step
    index: int
    """Position among all steps of the workflow."""
    needs: tuple[str, ...]
    """Steps named by `needs`, or the step above."""
    references: frozenset[str]
    """Steps of its own scope that its expressions, or those within it, refer to."""
    hard_reads: frozenset[str]
    """Steps whose output it reads without `.?`: when one has none, this step is skipped."""
    when: Expression | None = None
    arguments: Mapping[str, Template | ByReference] = field(default_factory=dict)
    env: tuple[tuple[str, Template], ...] = ()
    timeout: float | None = None
    """Seconds an attempt may take."""
    files: Mapping[str, Template | ByReference] = field(default_factory=dict)
    """What stands at each path when an attempt begins."""
    taken: Mapping[str, Source] = field(default_factory=dict)
    """Artifacts of other steps, by the path where each is to stand."""
    left: Mapping[str, str] = field(default_factory=dict)
    """Paths of what an attempt leaves, by name."""
    builds: str | None = None
    """The step whose code this hidden step compiles."""
    program: str | None = None
    """The hidden step that compiles this one's code."""
    path: str = ""
    """Its definition path."""
    scope: str = ""
    """Definition path of what it is part of; empty at the top, FINALLY and ON_DEMAND are scopes too."""
    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Definition paths of the steps that it sees, by name."""
    place: tuple[str | int, ...] = ()
    """Where it stands in the Workflow, for messages."""
    children: tuple[str, ...] = ()
    """Inner steps of a group, or of a handler."""
    output: Template | None = None
    """Output of a group, or of a handler."""
    loop: Loop | None = None
    switch: Cases | None = None
    wait: Template | None = None
    """How long, or until when, a step waits."""
    question: Mapping[str, Template] = field(default_factory=dict)
    """What a model or an agent is asked, by the fields of the action: `prompt`, `system`, `conversation`."""
    handler: str | None = None
    """What is done when the step has failed for good."""
    compensation: str | None = None
    """What undoes the step."""
    per_item: bool = False
    """Whether `when` is asked for each item."""
    cache: Template | None = None
    schema: Any = None
    """Validator of its output."""
    agent: AgentSpec | None = None
    """What runs, in a step of an agent."""
    depth: int = 0
    """How many agents are around this one."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """The hidden steps whose turns are the calls of an agent's tools, by what the agent calls them."""
    tool: PinnedTool | None = None
    """What is called, in a step of a tool; also where that is another workflow, or code."""
    parameters: OutputSchema | None = None
    """What the arguments of a tool have to fit."""
    bounds: Bounds | None = None
    """Of the calls of an agent's tool: on what, and how often."""
    hidden: bool = False
    """Whether it is a call of an agent's tool, or part of one."""

    @property
    def name(self) -> str:
        return self.path or self.spec.name

    @cached_property
    def counted_in(self) -> str | None:
        """The scope that it counts in, where that is not what its path says it is part of."""
        if self.path.endswith(f".{COMPENSATE}"):
            return ON_DEMAND
        return self.scope if self.builds is not None or self.scope in (FINALLY, ON_DEMAND) else None

    @cached_property
    def sandboxed(self) -> bool:
        """Whether its attempts run in sandboxes."""
        return not self.children and (self.spec.run is not None or self.spec.container is not None)

    @cached_property
    def counts(self) -> bool:
        """Whether it is one of the steps that people count: what nobody wrote down is not."""
        return self.builds is None and not self.hidden

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names of the artifacts without which no attempt of it has succeeded."""
        return (PROGRAM,) if self.builds is not None else tuple(self.left)

    @cached_property
    def after(self) -> tuple[str, ...]:
        """Every step of its scope that this one may have to wait for, each once."""
        return tuple(dict.fromkeys((*self.needs, *sorted(self.references))))

    @cached_property
    def has_references(self) -> bool:
        """Whether arguments or files come from ConfigMaps or Secrets."""
        return any(isinstance(item, ByReference) for item in (*self.arguments.values(), *self.files.values()))

    def by_reference(self) -> Iterator[tuple[str, str, ByReference]]:
        """What comes from ConfigMaps and Secrets: the name by which a sandbox gets it, its field, the key."""
        for given, kind in ((self.arguments, "with."), (self.files, "files ")):
            for name, item in given.items():
                if isinstance(item, ByReference):
                    yield name, f"{kind}{name}", item

    def is_loop(self, instance: str) -> bool:
        """Whether an instance of this step is the loop as a whole, not one turn of it."""
        return self.loop is not None and turn(instance) is None


def build_step(spec: Step, index: int, builds: str, scope: str) -> CompiledStep:
    """A hidden step that compiles the code of `builds`: it waits for nothing, and takes nothing."""
    timeout = None if spec.timeout is None else seconds(spec.timeout)
    none: frozenset[str] = frozenset()
    return CompiledStep(
        spec, index, (), none, none, timeout=timeout, builds=builds, path=spec.name, scope=scope
    )
