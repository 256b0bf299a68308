"""Objects into models, and what is wrong with them in words: for lint, the local runner and conditions alike.

It agrees with the API server's schema, and never shows a validation library's own messages.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, overload

from pydantic import BaseModel, ValidationError

from citadel.api import meta
from citadel.api.agent import AgentSpec
from citadel.api.execution import ExecutionSpec
from citadel.api.loader import Document
from citadel.api.messages import NAME_WORDS, in_words, inner_models
from citadel.api.model import ModelSpec
from citadel.api.policy import ExecutionPolicySpec
from citadel.api.problems import Path, Problem, belongs, counted, dotted, found, shortened
from citadel.api.runtime import RuntimeSpec
from citadel.api.tool import ToolSpec
from citadel.api.trigger import MAX_NAME, TriggerSpec
from citadel.api.workflow import WorkflowSpec

Spec = (
    WorkflowSpec
    | RuntimeSpec
    | ExecutionSpec
    | ExecutionPolicySpec
    | TriggerSpec
    | ModelSpec
    | AgentSpec
    | ToolSpec
)

SPECS: Mapping[str, type[Spec]] = MappingProxyType(
    {
        "Workflow": WorkflowSpec,
        "Runtime": RuntimeSpec,
        "Execution": ExecutionSpec,
        "ExecutionPolicy": ExecutionPolicySpec,
        "Trigger": TriggerSpec,
        "Model": ModelSpec,
        "Agent": AgentSpec,
        "Tool": ToolSpec,
    }
)
_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")


class InvalidObject(Exception):
    """An object that does not fit its kind; `problems` is never empty."""

    def __init__(self, title: str, problems: tuple[Problem, ...]) -> None:
        self.title = title
        self.problems = problems
        super().__init__(f"{title}: {self.message}")

    @property
    def message(self) -> str:
        """The first problem, and how many more there are."""
        first, *more = self.problems
        return f"{first.text} (and {counted(len(more), 'more problem')})" if more else first.text


@overload
def parse(kind: Literal["Workflow"], value: Any) -> WorkflowSpec: ...
@overload
def parse(kind: Literal["Runtime"], value: Any) -> RuntimeSpec: ...
@overload
def parse(kind: Literal["Execution"], value: Any) -> ExecutionSpec: ...
@overload
def parse(kind: Literal["ExecutionPolicy"], value: Any) -> ExecutionPolicySpec: ...
@overload
def parse(kind: Literal["Trigger"], value: Any) -> TriggerSpec: ...
@overload
def parse(kind: Literal["Model"], value: Any) -> ModelSpec: ...
@overload
def parse(kind: Literal["Agent"], value: Any) -> AgentSpec: ...
@overload
def parse(kind: Literal["Tool"], value: Any) -> ToolSpec: ...
@overload
def parse(kind: str, value: Any) -> Spec: ...
def parse(kind: str, value: Any) -> Spec:
    """The spec of a whole object (apiVersion, kind, metadata, spec) as its model; raises InvalidObject.

    Raises KeyError for a kind that is not one of ours.
    """
    model = SPECS[kind]
    problems = list(_envelope(kind, value))
    given = value.get("spec") if isinstance(value, dict) else None
    spec: Spec | None = None
    if isinstance(given, dict):
        try:
            # As JSON and strict: what the API server's schema would refuse is not made to fit here.
            wire = json.dumps(without_nulls(model, given), default=str)
            spec = model.model_validate_json(wire, strict=True, by_name=False)
            problems += repeated(spec, ("spec",))
        except ValidationError as error:
            problems += in_words(model, error, ("spec",))
    if problems or spec is None:
        raise InvalidObject(title(kind, value), tuple(problems))
    return spec


def problems(kind: str, value: Any) -> tuple[Problem, ...]:
    """Everything that is wrong with an object; nothing if it fits."""
    try:
        parse(kind, value)
    except InvalidObject as error:
        return error.problems
    return ()


def problems_with_positions(document: Document, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems with line and column of the document, in the order of its text."""

    def placed(problem: Problem) -> Problem:
        if problem.line is not None:
            return problem
        at = document.position(problem.path)
        return replace(problem, line=at.line, column=at.column)

    return tuple(sorted(map(placed, problems), key=lambda problem: (problem.line or 0, problem.column or 0)))


def title(kind: str, value: Any) -> str:
    """What messages call an object: `Workflow sales-report`, or the kind alone when it has no name."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{kind} {name[:253]}" if isinstance(name, str) and name else kind


def _envelope(kind: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(
            (), f"found {found(value)}, expected an object with apiVersion, kind, metadata and spec"
        )
        return
    for field, expected in (("apiVersion", meta.API_VERSION), ("kind", kind)):
        if value.get(field) != expected:
            yield Problem((field,), f"{_given(value, field)}, expected {expected}")
    for field in value:
        if field not in _TOP_LEVEL:
            inside = dict.fromkeys(inner_models(SPECS[kind]), "spec")
            yield Problem((field,), "unknown field" + belongs(field, _TOP_LEVEL, inside))
    if not isinstance(value.get("metadata"), dict):
        yield Problem(("metadata",), f"{_given(value, 'metadata')}, expected a mapping with a name")
    else:
        yield from _metadata(value["metadata"])
        name = value["metadata"].get("name")
        if kind == "Trigger" and isinstance(name, str) and len(name) > MAX_NAME:
            message = f"found {counted(len(name), 'character')}, expected at most {MAX_NAME}"
            yield Problem(("metadata", "name"), f"{message}: the names of its executions begin with it")
    if not isinstance(value.get("spec"), dict):
        yield Problem(("spec",), f"{_given(value, 'spec')}, expected a mapping")


def _given(value: dict[str, Any], field: str) -> str:
    return f"found {found(value[field])}" if field in value else "missing"


def _metadata(metadata: dict[str, Any]) -> Iterator[Problem]:
    name = metadata.get("name")
    if name is None and isinstance(metadata.get("generateName"), str):
        return
    if not isinstance(name, str) or not _is_object_name(name):
        yield Problem(("metadata", "name"), f"{_given(metadata, 'name')}, expected {NAME_WORDS}")


def without_nulls(model: type[BaseModel], value: Any) -> Any:
    """The value without fields that are null, where the model has types: the API server drops those too."""
    if isinstance(value, list):
        return [without_nulls(model, item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = inner_models(model)
    return {
        key: without_nulls(below, item) if (below := inner.get(key)) is not None else item
        for key, item in value.items()
        if item is not None or key not in inner
    }


def _is_object_name(name: str) -> bool:
    return len(name) <= 253 and re.fullmatch(meta.DNS_SUBDOMAIN_PATTERN, name) is not None


def repeated(model: BaseModel, path: Path) -> Iterator[Problem]:
    """Items of a list that have the name of an earlier one, where the schema wants names to be unique."""
    for field, info in type(model).model_fields.items():
        value, here = getattr(model, field), (*path, info.alias or field)
        if isinstance(value, BaseModel):
            yield from repeated(value, here)
        elif isinstance(value, tuple):
            extra = info.json_schema_extra
            key = extra.get("map") if isinstance(extra, dict) else None
            first: dict[Any, int] = {}
            for index, item in enumerate(value):
                if isinstance(key, str):
                    name = getattr(item, key)
                    if first.setdefault(name, index) != index:
                        earlier = dotted((*here, first[name]))
                        message = (
                            f"found {shortened(name)}, which {earlier} has too, expected a name of its own"
                        )
                        yield Problem((*here, index, key), message)
                if isinstance(item, BaseModel):
                    yield from repeated(item, (*here, index))
