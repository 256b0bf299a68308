"""A file of an evaluation, as `citadel eval` reads it: an agent, cases that it is to work on, and what must
hold of each. It is no resource; the Workflow that is made of it is one.
"""

from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from citadel.api.budget import Budget
from citadel.api.meta import ArgumentName, Duration, Expression, Model, ObjectName

#: Runs of one evaluation: cases times how often each is run.
MAX_RUNS = 2000
MAX_ASSERTIONS = 32
_File = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
_Prompt = Annotated[str, StringConstraints(min_length=1, max_length=65536)]


class Assertion(Model):
    """What must hold of each run."""

    rule: Expression
    """CEL over output, tools, usage, case, and error where runs may fail."""
    message: Annotated[str, StringConstraints(max_length=1024)] = ""
    """What it says, in words; else the rule itself."""


class Evaluation(Model):
    """An agent, cases, and assertions."""

    name: ObjectName | None = None
    """Name of the Workflow that is made of it; else that of the Agent behind `eval-`."""
    agent: ObjectName
    """The Agent."""
    objects: Annotated[tuple[_File, ...], Field(max_length=64)] = ()
    """Files with the Agent and all that it needs, from this one: Models, Tools, ConfigMaps, Workflows."""
    model: ObjectName | None = None
    """The Model that the Agent asks in place of its own."""
    prompt: _Prompt | None = None
    """What the Agent is asked; may hold expressions over case in dollar-brace form. Without it each case has
    a prompt of its own."""
    arguments: Annotated[dict[ArgumentName, Any], Field(alias="with", max_length=64)] = Field(
        default_factory=dict
    )
    """What it gets beside the prompt, by name; may hold expressions over case."""
    cases: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=MAX_RUNS)] | None = None
    """What it works on: mappings with whatever fields prompt and assertions name, and maybe a name."""
    cases_from: _File | None = None
    """A file of them, from this one: .csv with the names of the fields in its first line, .json, .jsonl."""
    assertions: Annotated[tuple[Assertion, ...], Field(max_length=MAX_ASSERTIONS)] = ()
    """What must hold of each run; an expression alone stands for its rule."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema of the output, in place of the Agent's own."""
    repeat: Annotated[int, Field(ge=1, le=100)] = 1
    """How often each case is run."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the runs that must pass."""
    parallelism: Annotated[int, Field(ge=1, le=100)] = 4
    """Runs at a time."""
    timeout: Duration = "10m"
    """Longest time of one run."""
    budget: Budget | None = None
    """What all runs together may cost."""

    @model_validator(mode="after")
    def _has_cases(self) -> Self:
        if (self.cases is None) == (self.cases_from is None):
            found = "neither" if self.cases is None else "both"
            raise ValueError(f"found {found} of cases and casesFrom, expected one of them")
        return self


def in_full(value: Any) -> Any:
    """A file of an evaluation without short forms: a rule alone as an assertion."""
    if not isinstance(value, dict) or not isinstance(value.get("assertions"), list):
        return value
    written = [{"rule": one} if isinstance(one, str) else one for one in value["assertions"]]
    return {**value, "assertions": written}
