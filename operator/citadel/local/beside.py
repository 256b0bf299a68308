"""Files that a file of tests, or of an evaluation, names: read from where it is, and put together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from citadel.api.loader import Document
from citadel.api.problems import Path as Place
from citadel.api.problems import Problem
from citadel.local.documents import Contents, read

#: Gives the text of a file, or raises OSError.
ReadFile = Callable[[Path], str]


@dataclass(frozen=True)
class Located:
    """Something that is wrong, and in which file."""

    file: str
    problem: Problem

    @property
    def text(self) -> str:
        """`test.yaml:3:5: tests[0].mocks.a: …`."""
        return f"{self.file}:{self.problem.located}"


class InvalidFile(Exception):
    """The file cannot be used; `problems` is never empty."""

    def __init__(self, problems: list[Located]) -> None:
        super().__init__("; ".join(problem.text for problem in problems))
        self.problems = problems


def text_beside(file: str, document: Document, place: Place, path: str, read_file: ReadFile) -> str:
    """The text of a file that another one names at `place`; raises InvalidFile."""
    try:
        return read_file(Path(file).parent / path)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        at = document.position(place)
        raise InvalidFile([Located(file, Problem(place, f"{path}: {why}", at.line, at.column))]) from None


def objects_beside(file: str, document: Document, place: Place, path: str, read_file: ReadFile) -> Contents:
    """What such a file holds; raises InvalidFile."""
    contents = read(text_beside(file, document, place, path, read_file))
    if contents.problems:
        there = str(Path(file).parent / path)
        raise InvalidFile([Located(there, problem) for problem in contents.problems])
    return contents


def together(first: Contents, second: Contents) -> tuple[Contents, str]:
    """What two files hold; and an object that both have, if there is one."""
    both = [f"Workflow {name}" for name in first.workflows.keys() & second.workflows.keys()]
    both += [f"Runtime {name}" for name in first.runtimes.keys() & second.runtimes.keys()]
    both += [f"Model {name}" for name in first.models.keys() & second.models.keys()]
    both += [f"Agent {name}" for name in first.agents.keys() & second.agents.keys()]
    both += [f"Tool {name}" for name in first.tools.keys() & second.tools.keys()]
    both += [f"{kind} {name}" for kind, name in first.data.keys() & second.data.keys()]
    found = Contents(
        workflows={**first.workflows, **second.workflows},
        runtimes={**first.runtimes, **second.runtimes},
        models={**first.models, **second.models},
        agents={**first.agents, **second.agents},
        tools={**first.tools, **second.tools},
        data={**first.data, **second.data},
    )
    return found, min(both, default="")
