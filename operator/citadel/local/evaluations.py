"""A file of an evaluation, read with all that it names: what is wrong with it is found here, with file, line
and column, before anything runs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from citadel.api.evaluation import MAX_RUNS, Evaluation, in_full
from citadel.api.loader import Document, LoadError, load
from citadel.api.messages import in_words
from citadel.api.problems import Path as Place
from citadel.api.problems import Problem, found, shortened
from citadel.api.validate import problems_with_positions
from citadel.core.expressions import ExpressionError, InvalidExpression, with_names
from citadel.core.jsonvalues import Json, canonical
from citadel.core.templates import Template, compile_template, rewritten
from citadel.local.beside import (
    InvalidFile,
    Located,
    ReadFile,
    objects_beside,
    text_beside,
    together,
)
from citadel.local.cases import Case, InvalidCases, read_cases
from citadel.local.documents import Contents
from citadel.local.pinning import resolve

#: What assertions see, and what each is in the Workflow that is made of them.
ASSERTED = {
    "case": "item.case",
    "output": "steps.ask.?output.orValue(null)",
    "tools": "steps.ask.?tools.orValue([])",
    "usage": "steps.ask.?usage.orValue({'calls': 0, 'inputTokens': 0, 'outputTokens': 0, 'tokens': 0, "
    "'cost': 0.0, 'estimated': false})",
    "error": "steps.ask.?error.orValue(null)",
}
#: Bytes that the cases may take: they are inputs of an execution.
MAX_BYTES = 512 * 1024
_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Run:
    """One run that is wanted: a case, and what the agent gets for it."""

    name: str
    case: Case
    prompt: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True)
class EvaluationDocument:
    """A file of an evaluation, and all that it is about."""

    file: str
    evaluation: Evaluation
    contents: Contents
    runs: tuple[Run, ...]
    """What is run, once for each case."""

    def narrowed(self, text: str) -> "EvaluationDocument":
        """The same with those cases alone whose name has this text."""
        return replace(self, runs=tuple(run for run in self.runs if text.lower() in run.name.lower()))


def read_evaluation(
    file: str, text: str, read_file: ReadFile, changes: Mapping[str, Any] = _NONE
) -> EvaluationDocument:
    """The evaluation of a file, with other values of some fields. `read_file` gives the text of another.

    Raises InvalidFile.
    """
    try:
        documents = load(text)
    except LoadError as error:
        raise InvalidFile([Located(file, Problem((), error.message, error.line, error.column))]) from None
    if len(documents) != 1:
        message = f"found {len(documents)} documents, expected one: a file of an evaluation"
        raise InvalidFile([Located(file, Problem((), message, 1, 1))])
    (document,) = documents

    def refuse(*problems: Problem) -> InvalidFile:
        return InvalidFile(
            [Located(file, problem) for problem in problems_with_positions(document, problems)]
        )

    evaluation, problems = _parsed(document.value)
    problems = [*document.problems, *problems]
    if evaluation is None or problems:
        raise refuse(*problems)
    evaluation = evaluation.model_copy(update=dict(changes))
    contents = Contents()
    for index, path in enumerate(evaluation.objects):
        place: Place = ("objects", index)
        contents, twice = together(contents, objects_beside(file, document, place, path, read_file))
        if twice:
            raise refuse(Problem(place, f"{path}: found {twice}, which another of these files has too"))
    if problems := resolve(contents):
        raise refuse(*(Problem(("objects",), problem.text) for problem in problems))
    try:
        cases = _cases(file, document, evaluation, read_file)
        runs = tuple(_runs(evaluation, cases))
    except _Wrong as wrong:
        raise refuse(wrong.problem) from None
    if problems := list(_unfit(evaluation, runs)):
        raise refuse(*problems)
    return EvaluationDocument(file, evaluation, contents, runs)


def is_evaluation(value: Any) -> bool:
    """Whether a document is a file of an evaluation, right or wrong."""
    of_cases = isinstance(value, dict) and {"cases", "casesFrom"} & value.keys()
    return bool(of_cases) and not {"kind", "spec"} & value.keys()


class _Wrong(Exception):
    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(place, message)


def _parsed(value: Any) -> tuple[Evaluation | None, list[Problem]]:
    if not isinstance(value, dict):
        return None, [Problem((), f"found {found(value)}, expected a mapping with agent and cases")]
    if "kind" in value:
        message = f"found a {value['kind']!s:.60}, expected a file of an evaluation, with agent and cases"
        return None, [Problem(("kind",), message)]
    try:
        written = json.dumps(in_full(value), default=str)
        return Evaluation.model_validate_json(written, strict=True, by_name=False), []
    except ValidationError as error:
        return None, in_words(Evaluation, error, ())


def _cases(file: str, document: Document, evaluation: Evaluation, read_file: ReadFile) -> list[Case]:
    if evaluation.cases_from is None:
        return list(evaluation.cases or ())
    path = evaluation.cases_from
    text = text_beside(file, document, ("casesFrom",), path, read_file)
    try:
        return read_cases(path, text)
    except InvalidCases as error:
        raise _Wrong(("casesFrom",), f"{path}: {error}") from None


def _runs(evaluation: Evaluation, cases: list[Case]) -> Iterator[Run]:
    prompt = None if evaluation.prompt is None else _template(("prompt",), evaluation.prompt)
    given = {name: _template(("with", name), value) for name, value in evaluation.arguments.items()}
    names: set[str] = set()
    for number, case in enumerate(cases):
        place: Place = ("casesFrom",) if evaluation.cases is None else ("cases", number)
        name = _name(case, number)
        if name in names:
            raise _Wrong(place, f"found the name {shortened(name)}, which another case has too")
        names.add(name)
        if prompt is not None:
            asked = _value(prompt, case, (*place, "prompt"), name)
            text = asked if isinstance(asked, str) else canonical(asked).decode()
        else:
            asked = case.get("prompt")
            if not isinstance(asked, str) or not asked:
                told = f"case {name}: found {found(asked) if 'prompt' in case else 'no prompt'}"
                raise _Wrong(place, f"{told}, expected a text there, or one prompt for all cases")
            text = asked
        yield Run(name, case, text, {key: _value(one, case, place, name) for key, one in given.items()})


def _name(case: Case, number: int) -> str:
    name = case.get("name")
    text = str(name).strip() if isinstance(name, str | int | float) else ""
    return text or str(number + 1)


def _template(place: Place, value: Any) -> Template:
    try:
        bound = rewritten(value, lambda source: with_names(source, {"case": "item"}, "map"))
        return compile_template(bound)
    except InvalidExpression as error:
        raise _Wrong(place, error.message) from None


def _value(template: Template, case: Case, place: Place, name: str) -> Json:
    try:
        return template.evaluate({"item": dict(case)})
    except ExpressionError as error:
        raise _Wrong(place, f"case {name}: {error}") from None


def _unfit(evaluation: Evaluation, runs: tuple[Run, ...]) -> Iterator[Problem]:
    for index, assertion in enumerate(evaluation.assertions):
        try:
            with_names(assertion.rule, ASSERTED, "all")
        except InvalidExpression as error:
            yield Problem(("assertions", index), f"{assertion.rule}: {error.message}")
    at: Place = ("casesFrom",) if evaluation.cases is None else ("cases",)
    if len(runs) * evaluation.repeat > MAX_RUNS:
        count = f"{len(runs)} cases, {evaluation.repeat} times each"
        yield Problem(at, f"found {count}, expected at most {MAX_RUNS} runs")
    size = sum(len(canonical([dict(run.case), run.prompt, dict(run.arguments)])) for run in runs)
    if size * evaluation.repeat > MAX_BYTES:
        message = f"found {size * evaluation.repeat} bytes of JSON with prompts and repetitions"
        yield Problem(at, f"{message}, expected at most {MAX_BYTES}")
