"""What is known, before anything runs, of all that an expression can refer to where it stands.

Derived from a workflow's inputs, the schemas of its steps' outputs, the outputs that groups write down, and
what the engine itself gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from citadel.api.modifiers import ForEach
from citadel.core.compiled import FINALLY, CompiledStep
from citadel.core.instances import COMPENSATE, ON_ERROR
from citadel.core.plan import Workflow
from citadel.core.references import Chain
from citadel.core.shapes import UNKNOWN, NoSuchPart, Shape, literal, of_fields
from citadel.core.templates import Template

Roots = Mapping[str, Shape]

_IDENTITY = {"name": "string", "namespace": "string", "uid": "string"}
_EXECUTION = of_fields(**_IDENTITY)
_ERROR = of_fields(step="string", reason="string", message="string")
_ENDED = of_fields(**_IDENTITY, phase="string", error="any").having("error", _ERROR.node)
_FAILURE = of_fields(reason="string", message="string")
_TEXT = _STATUS = Shape({"type": "string"}, {})
_INTEGER = Shape({"type": "integer"}, {})

_USAGE = of_fields(
    calls="integer",
    inputTokens="integer",
    outputTokens="integer",
    tokens="integer",
    cost="number",
    estimated="boolean",
)
#: What a step has beside its output.
_ATTRIBUTES = {
    "status": _STATUS,
    "error": _FAILURE,
    "tools": Shape({"type": "array"}, {}),
    "usage": _USAGE,
}


class Sights:
    """What is known of one workflow; `others` are those that its steps may run."""

    def __init__(self, workflow: Workflow, others: Mapping[str, Workflow]) -> None:
        self._steps, self.others = workflow.steps, others
        self._inputs = Shape(workflow.inputs.schema, workflow.inputs.schema, closed=True)
        self._outputs: dict[str, Shape] = {}
        self._inner: dict[str, Roots] = {}

    @cached_property
    def top(self) -> Roots:
        """What every expression sees."""
        return {"inputs": self._inputs, "execution": _EXECUTION}

    def around(self, step: CompiledStep) -> Roots:
        """What a step sees of what it is part of, without its own loop."""
        if step.scope in self._steps:
            return self.within(self._steps[step.scope])
        return {**self.top, "execution": _ENDED} if step.scope == FINALLY else self.top

    def within(self, step: CompiledStep) -> Roots:
        """What a step's own expressions see, and those of its inner steps."""
        if step.path not in self._inner:
            # The output of a turn may hold what the turn sees, `previous` among it, which is such an output.
            self._inner[step.path] = self.around(step)
            self._inner[step.path] = self._within(step)
        return self._inner[step.path]

    def _within(self, step: CompiledStep) -> Roots:
        roots = self.around(step)
        name = step.path.rpartition(".")[2]
        if name == ON_ERROR:
            roots = {key: shape for key, shape in roots.items() if key not in ("iteration", "previous")}
            return {**roots, "error": _FAILURE}
        if name == COMPENSATE:
            return {**roots, "output": self.turn(self._steps[step.scope])}
        if step.loop is None:
            return roots
        if not isinstance(step.loop.spec, ForEach):
            return {**roots, "iteration": _INTEGER, "previous": self.turn(step)}
        items = self.of(step.loop.items, roots, step.names) if step.loop.items is not None else UNKNOWN
        return {**roots, "item": items.element, "index": _INTEGER}

    def output(self, path: str) -> Shape:
        """What is known of the output of a step as those beside it see it."""
        if path not in self._outputs:
            # Whoever reads itself, by whatever way, knows nothing of it.
            self._outputs[path] = UNKNOWN
            step = self._steps[path]
            shape = self.turn(step)
            if step.loop is not None and isinstance(step.loop.spec, ForEach):
                shape = shape.listed
            self._outputs[path] = shape
        return self._outputs[path]

    def turn(self, step: CompiledStep) -> Shape:
        """The same of one item or iteration."""
        if step.handler is not None:
            return UNKNOWN  # it may be the handler's
        if step.schema is not None:
            return Shape(step.schema.schema, step.schema.schema)
        if step.spec.llm is not None:
            return _TEXT
        if step.spec.agent is not None and step.agent is not None:
            return _TEXT
        if step.spec.approval is not None:
            decision = of_fields(approved="boolean", by="string", reason="string", form="any", at="string")
            form = step.spec.approval.form
            return decision if form is None else decision.having("form", form)
        if (other := self.called(step)) is not None:
            return of_fields(**dict.fromkeys(other.outputs, "any"))
        if step.children and step.output is not None:
            known = self.of(step.output, self.within(step), step.names)
            return literal(step.spec.output) if known is UNKNOWN else known
        return UNKNOWN

    def called(self, step: CompiledStep) -> Workflow | None:
        """The workflow that a step runs, if it is known; an earlier revision of it is not."""
        called = step.spec.workflow
        return None if called is None or called.revision is not None else self.others.get(called.name)

    def of(self, template: Template, roots: Roots, names: Mapping[str, str]) -> Shape:
        """What a template gives, if it is a plain path; else nothing is known."""
        return UNKNOWN if template.plain_path is None else self._known(template.chains[0], roots, names)

    def _known(self, chain: Chain, roots: Roots, names: Mapping[str, str]) -> Shape:
        """What a path leads to, as far as it leads anywhere."""
        try:
            return self.follow(chain, roots, names)
        except NoSuchPart:
            return UNKNOWN

    def follow(self, chain: Chain, roots: Roots, names: Mapping[str, str]) -> Shape:
        """What a path leads to; raises NoSuchPart."""
        name, keys, optional = chain.root.name, chain.keys, chain.optional
        if chain.over is not None:
            through = self._known(chain.over, roots, names)
            shape = through.element if through.kinds == {"array"} else UNKNOWN
            return shape.part(name, keys, optional)
        if name != "steps":
            return roots.get(name, UNKNOWN).part(name, keys, optional)
        if len(keys) < 2 or keys[0] not in names:
            return UNKNOWN
        shape = _ATTRIBUTES.get(str(keys[1])) or self.output(names[str(keys[0])])
        return shape.part(f"steps.{keys[0]}.{keys[1]}", keys[2:], optional[2:])
