"""A file of tests, read together with the workflow that it tests: what is wrong with either is found here,
with file, line and column, before anything runs.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from citadel.api.loader import Document, LoadError, load
from citadel.api.messages import in_words
from citadel.api.problems import Path as Place
from citadel.api.problems import Problem, found
from citadel.api.suite import Scenario, Suite, in_full
from citadel.api.validate import problems_with_positions, repeated
from citadel.local.beside import InvalidFile, Located, ReadFile, objects_beside, together
from citadel.local.documents import Contents, WorkflowDocument, read
from citadel.local.evaluations import is_evaluation, read_evaluation
from citadel.local.fitting import misfits
from citadel.local.pinning import resolve


@dataclass(frozen=True)
class SuiteDocument:
    """One file of tests, and what it is about."""

    file: str
    suite: Suite
    document: Document
    workflow: WorkflowDocument
    contents: Contents
    """The workflow, and all that stands beside it."""

    def line(self, index: int) -> int:
        """Where a test begins."""
        return self.document.position(("tests", index)).line

    @property
    def cases(self) -> tuple[Scenario, ...]:
        return self.suite.tests


def read_suite(file: str, text: str, read_file: ReadFile) -> SuiteDocument:
    """The tests of a file. `read_file` gives the text of another, or raises OSError; raises InvalidFile."""
    try:
        documents = load(text)
    except LoadError as error:
        raise InvalidFile([Located(file, Problem((), error.message, error.line, error.column))]) from None
    if len(documents) != 1:
        message = f"found {len(documents)} documents, expected one: a file of tests"
        raise InvalidFile([Located(file, Problem((), message, 1, 1))])
    (document,) = documents

    def refuse(*problems: Problem) -> InvalidFile:
        return InvalidFile(
            [Located(file, problem) for problem in problems_with_positions(document, problems)]
        )

    suite, problems = _parsed(document.value)
    problems = [*document.problems, *problems]
    if suite is None or problems:
        raise refuse(*problems)
    files, _, name = suite.workflow.rpartition("#") if "#" in suite.workflow else (suite.workflow, "", "")
    own = objects_beside(file, document, ("workflow",), files, read_file)
    contents = own
    for index, path in enumerate(suite.objects):
        place: Place = ("objects", index)
        contents, twice = together(contents, objects_beside(file, document, place, path, read_file))
        if twice:
            raise refuse(Problem(place, f"{path}: found {twice}, which another file of this test has too"))
    if problems := resolve(contents):
        raise refuse(*(Problem(("workflow",), problem.text) for problem in problems))
    workflow = _chosen(own, name)
    if isinstance(workflow, str):
        raise refuse(Problem(("workflow",), f"{files}: {workflow}"))
    workflow = contents.workflows[workflow.name]
    read_now = SuiteDocument(file, suite, document, workflow, contents)
    if unfit := list(misfits(suite, workflow, contents)):
        raise refuse(*unfit)
    return read_now


def problems_of(file: str, text: str, read_file: ReadFile) -> Iterator[tuple[str, Problem]]:
    """What is wrong with a file of tests, of an evaluation, or of objects; and in which file, as the former
    name others.
    """
    try:
        values = [document.value for document in load(text)]
    except LoadError:
        values = []
    of_cases = len(values) == 1 and is_evaluation(values[0])
    if not of_cases and not (len(values) == 1 and _is_suite(values[0])):
        yield from ((file, problem) for problem in read(text).problems)
        return
    try:
        if of_cases:
            read_evaluation(file, text, read_file)
        else:
            read_suite(file, text, read_file)
    except InvalidFile as error:
        yield from ((located.file, located.problem) for located in error.problems)


def _is_suite(value: Any) -> bool:
    """Whether a document is a file of tests, right or wrong."""
    return isinstance(value, dict) and "tests" in value and not {"kind", "spec"} & value.keys()


def _parsed(value: Any) -> tuple[Suite | None, list[Problem]]:
    if not isinstance(value, dict):
        return None, [Problem((), f"found {found(value)}, expected a mapping with workflow and tests")]
    if "kind" in value:
        message = f"found a {value['kind']!s:.60}, expected a file of tests, with workflow and tests"
        return None, [Problem(("kind",), message)]
    try:
        suite = Suite.model_validate_json(json.dumps(in_full(value), default=str), strict=True, by_name=False)
    except ValidationError as error:
        problems = in_words(Suite, error, ())
        return None, [replace(problem, path=_as_written(value, problem.path)) for problem in problems]
    return suite, list(repeated(suite, ()))


def _as_written(value: Any, path: Place) -> Place:
    """The path without what the file leaves out: what is said once needs no list."""
    written: list[str | int] = []
    for part in path:
        if isinstance(part, int) and not isinstance(value, list):
            continue
        if isinstance(value, str):
            break  # a status that stands for the whole
        written.append(part)
        if isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif isinstance(value, dict):
            value = value.get(part)
    return tuple(written)


def _chosen(contents: Contents, name: str) -> WorkflowDocument | str:
    """The workflow that is meant, or why there is none."""
    names = ", ".join(contents.workflows) or "none"
    if name:
        return contents.workflows.get(name) or f"found the Workflows {names}, expected {name} among them"
    if len(contents.workflows) != 1:
        which = f"found {len(contents.workflows)} Workflows ({names}), expected one"
        return f"{which}; name it, as in FILE#NAME" if contents.workflows else which
    return next(iter(contents.workflows.values()))
