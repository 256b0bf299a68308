"""Every path of a workflow's expressions, followed through what is known of what it leads to.

For those who write a definition, and for the cluster when it takes one in. Never for one that is pinned: what
was valid when an execution began stays so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from citadel.api.durations import moment
from citadel.api.problems import Problem, suggestion
from citadel.api.problems import found as found_value
from citadel.core.compiled import CompiledStep
from citadel.core.expressions import Expression
from citadel.core.plan import Workflow
from citadel.core.shapes import UNKNOWN, NoSuchPart, Shape
from citadel.core.sights import Roots, Sights
from citadel.core.templates import Template

#: A shell would refuse the dot; `${item}` it may know.
_TAKEN_LITERALLY = re.compile(r"(?<!\$)\$\{\s*(?:inputs|steps|item|previous|output|error|execution)\.[^}]*\}")
_NONE: Mapping[str, Workflow] = MappingProxyType({})
_Path = tuple[str | int, ...]
_Placed = tuple[_Path, Template | Expression]


def lookup_problems(workflow: Workflow, others: Mapping[str, Workflow] = _NONE) -> list[Problem]:
    """What no execution of this workflow could ever find; nothing if all may be there.

    `others` are workflows by name that are known to be those which its steps run.
    """
    sights = Sights(workflow, others)
    found: list[Problem] = []
    for step in workflow.steps.values():
        if step.counts:
            found += _of_step(step, sights)
            found += _of_child(step, sights)
            found += _of_constants(step)
    names = {step.spec.name: path for path, step in workflow.steps.items() if not step.scope}
    if workflow.group is not None:
        found += _problems(("spec", "concurrency", "group"), workflow.group, sights, sights.top, {})
    for name, template in workflow.outputs.items():
        found += _problems(("spec", "outputs", name), template, sights, sights.top, names)
    return found


def _of_step(step: CompiledStep, sights: Sights) -> Iterator[Problem]:
    around, within = sights.around(step), sights.within(step)
    for path, found in _own(step):
        yield from _problems((*step.place, *path), found, sights, within, step.names)
    if step.output is not None:
        yield from _problems((*step.place, "output"), step.output, sights, within, step.names)
    if step.loop is None:
        return
    if step.loop.items is not None:
        path = (*step.place, "forEach", "items")
        yield from _problems(path, step.loop.items, sights, around, step.names)
        shape = sights.of(step.loop.items, around, step.names)
        if shape.kinds and not shape.kinds & {"array", "object"}:
            yield Problem(path, f"found what is {shape.told}, expected a list or an object")
    if step.loop.until is not None:
        seen = {**within, "output": sights.turn(step)}
        yield from _problems((*step.place, "repeat", "until"), step.loop.until, sights, seen, step.names)


def _of_child(step: CompiledStep, sights: Sights) -> Iterator[Problem]:
    """Inputs that the workflow which a step runs does not take, and those that it lacks."""
    other = sights.called(step)
    if other is None or step.spec.workflow is None:
        return
    name, given = step.spec.workflow.name, step.spec.arguments
    schema = other.inputs.schema
    fields, required = schema.get("properties"), schema.get("required")
    known = fields if isinstance(fields, dict) else {}
    taken = Shape(schema, schema, closed=True)
    for argument in given:
        try:
            taken.part("inputs", [argument], [False])
        except NoSuchPart:
            takes = f"takes {', '.join(known)}" if known else "takes no inputs"
            message = f"found {argument}, but Workflow {name} {takes}{suggestion(argument, known)}"
            yield Problem((*step.place, "with", argument), message)
    for field in required if isinstance(required, list) else ():
        about = known.get(str(field))
        if field not in given and not (isinstance(about, dict) and "default" in about):
            yield Problem((*step.place, "with"), f"Workflow {name} requires the input {field}")


def _of_constants(step: CompiledStep) -> Iterator[Problem]:
    """What is written down without an expression, and would fail each execution, or be taken literally."""
    wait, loop, asked = step.spec.wait, step.spec.for_each, step.spec.approval
    if wait is not None and wait.until is not None and step.wait is not None and step.wait.constant:
        try:
            moment(wait.until)
        except ValueError as error:
            yield Problem((*step.place, "wait", "until"), str(error))
    items = step.loop.items if step.loop is not None else None
    if loop is not None and items is not None and items.constant and not isinstance(loop.items, list | dict):
        expected = "a list, a map, or an expression that gives one"
        yield Problem(
            (*step.place, "forEach", "items"), f"found {found_value(loop.items)}, expected {expected}"
        )
    yield from _of_container(step)
    if asked is None:
        return
    for kind in ("users", "groups"):
        for position, name in enumerate(getattr(asked.approvers, kind)):
            if "${" in name:
                message = f"found {name!r:.60}, expected a name: who may decide is written down, not computed"
                yield Problem((*step.place, "approval", "approvers", kind, position), message)


def _of_container(step: CompiledStep) -> Iterator[Problem]:
    """Expressions where a container's text is never templated, and which no shell would take either."""
    container = step.spec.container
    if container is None:
        return
    texts: list[tuple[_Path, str]] = [(("image",), container.image)]
    for field in ("command", "args"):
        texts += [((field, index), text) for index, text in enumerate(getattr(container, field) or ())]
    for path, text in texts:
        if (found := _TAKEN_LITERALLY.search(text)) is not None:
            way = (
                "" if path == ("image",) else "; hand it over by env, and write $(NAME) or read the variable"
            )
            message = (
                f"found {found[0]!r:.60}, which is taken literally here: {path[0]} is never templated{way}"
            )
            yield Problem((*step.place, "container", *path), message)


def _own(step: CompiledStep) -> Iterator[_Placed]:
    """The expressions of a step that see its loop."""
    if step.when is not None:
        yield ("when",), step.when
    for field, given in (("with", step.arguments), ("files", step.files)):
        yield from (((field, name), item) for name, item in given.items() if isinstance(item, Template))
    action = "run" if step.spec.run is not None else "container"
    for position, (_, template) in enumerate(step.env):
        yield (action, "env", position, "value"), template
    if step.switch is not None:
        for position, (when, value) in enumerate(step.switch.cases):
            yield ("switch", "cases", position, "when"), when
            yield ("switch", "cases", position, "value"), value
        if step.switch.default is not None:
            yield ("switch", "default"), step.switch.default
    for field, template in step.question.items():
        yield (step.spec.action, field), template
    if step.wait is not None and step.spec.wait is not None:
        yield ("wait", "for" if step.spec.wait.duration is not None else "until"), step.wait
    if step.cache is not None:
        yield ("cache", "key"), step.cache


def _problems(
    path: _Path, found: Template | Expression, sights: Sights, roots: Roots, names: Mapping[str, str]
) -> Iterator[Problem]:
    told = set()
    shape = UNKNOWN
    for chain in (*found.inner, *found.chains):
        try:
            shape = sights.follow(chain, roots, names)
        except NoSuchPart as error:
            if str(error) not in told:
                told.add(str(error))
                yield Problem(path, str(error))
    if told or not isinstance(found, Expression) or found.plain_path is None:
        return
    if shape.kinds and "boolean" not in shape.kinds:
        yield Problem(path, f"found {found.source}, which is {shape.told}, expected true or false")
