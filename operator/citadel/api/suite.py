"""A file of tests of a workflow, as `citadel test` reads it: what is given, what steps give in place of
running, and what is expected. It is no resource: no cluster ever sees it.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from citadel.api.meta import ArgumentName, Expression, Model
from citadel.api.model import ScriptedAnswer
from citadel.api.modifiers import Retriable

#: Reasons by which an attempt, or another workflow, can be made to fail.
Mockable = Literal[
    Retriable, "InvalidCode", "InvalidOutput", "ArtifactTooLarge", "ModelError", "BudgetExceeded"
]
Ended = Literal["Succeeded", "Failed", "Cancelled", "TimedOut"]
#: What may become of a step; one that never began is Pending.
Became = Literal["Succeeded", "Failed", "Skipped", "Cancelled", "Pending"]
ANSWERS = ("output", "error", "approve", "reject", "signal", "timeout")
MAX_TESTS = 1000
_File = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
_Text = Annotated[str, StringConstraints(max_length=1024 * 1024)]
_Pattern = Annotated[str, StringConstraints(max_length=4096)]


def in_full(value: Any) -> Any:
    """A file of tests without short forms: what is said once as a list, a status as what it stands for."""
    if not isinstance(value, dict) or not isinstance(value.get("tests"), list):
        return value
    return {**value, "tests": [_case_in_full(case) for case in value["tests"]]}


def _case_in_full(case: Any) -> Any:
    if not isinstance(case, dict):
        return case
    full = dict(case)
    if isinstance(mocks := case.get("mocks"), dict):
        full["mocks"] = {path: mock if isinstance(mock, list) else [mock] for path, mock in mocks.items()}
    if isinstance(expect := case.get("expect"), dict) and isinstance(steps := expect.get("steps"), dict):
        wanted = {path: {"status": one} if isinstance(one, str) else one for path, one in steps.items()}
        full["expect"] = {**expect, "steps": wanted}
    return full


def _true(value: bool) -> bool:
    if not value:
        raise ValueError("found false, expected true, or no timeout at all")
    return value


class MockedError(Model):
    """Why an attempt fails."""

    reason: Mockable | None = None
    """Reason, as retry and expressions see it; else Error, of another workflow ChildFailed."""
    message: _Text = "mocked"
    """What went wrong, in words."""


class Decision(Model):
    """What somebody decides."""

    by: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "tester"
    """Who decides."""
    reason: _Text = ""
    """Why."""


class Approved(Decision):
    """Somebody lets the step go on."""

    form: dict[str, Any] = Field(default_factory=dict)
    """What is filled in."""


class Mock(Model):
    """What a step, or one attempt of it, gives in place of running or of waiting."""

    output: Any = None
    """It succeeds with this output."""
    error: MockedError | None = None
    """It fails."""
    approve: Approved | None = None
    """An approval: somebody lets it go on."""
    reject: Decision | None = None
    """An approval: somebody lets it fail."""
    signal: Any = None
    """A wait for a signal: it comes with this payload."""
    timeout: Annotated[bool, AfterValidator(_true)] | None = None
    """It does not end within its timeout: nobody decides, no signal comes, the code takes too long."""
    when: Expression | None = None
    """Of a tool or code: CEL over args, its arguments. The first mock counts whose condition holds."""
    artifacts: Annotated[dict[ArgumentName, Any], Field(max_length=8)] = Field(default_factory=dict)
    """Beside output: what it leaves, by name: a text for a file, texts by path for a tree."""

    @property
    def answer(self) -> str:
        """Which of ANSWERS it is."""
        return next(name for name in ANSWERS if name in self.model_fields_set)

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        found = [name for name in ANSWERS if name in self.model_fields_set]
        if len(found) != 1:
            told = " and ".join(found) or "none"
            raise ValueError(f"found {told} of {', '.join(ANSWERS)}, expected exactly one")
        (answer,) = found
        if answer in ("error", "approve", "reject", "timeout") and getattr(self, answer) is None:
            more = "true" if answer == "timeout" else "{} if there is no more to say"
            raise ValueError(f"found nothing (null) for {answer}, expected {more}")
        if self.artifacts and found != ["output"]:
            raise ValueError(f"found artifacts beside {found[0]}, expected them only beside output")
        return self


class ExpectedError(Model):
    """A failure; what is left out is not looked at."""

    step: str | None = None
    """The step that failed."""
    reason: str | None = None
    """Its reason."""
    message: _Pattern | None = None
    """A regular expression that is found in its message."""


class ExpectedStep(Model):
    """What became of a step; what is left out is not looked at."""

    status: Became | None = None
    """How it ended; Pending if it never began."""
    output: Any = None
    """Its output."""
    arguments: dict[str, Any] | None = Field(alias="with", default=None)
    """The arguments that it was given, or what an approver was shown."""
    attempts: Annotated[int, Field(ge=0)] | None = None
    """How many attempts there were; of a loop, those of all its turns."""
    error: ExpectedError | None = None
    """Its failure, also one that was handled."""
    log: _Pattern | None = None
    """A regular expression that is found in what it printed."""
    tools: Annotated[tuple[str, ...], Field(max_length=1000)] | None = None
    """The tools that an agent called, in their order."""


class Expected(Model):
    """What an execution comes to; what is left out is not looked at."""

    phase: Ended | None = None
    """How it ends: Succeeded, unless an error is expected."""
    outputs: dict[str, Any] | None = None
    """Its outputs, all of them."""
    error: ExpectedError | None = None
    """Why it does not succeed."""
    steps: Annotated[dict[str, ExpectedStep], Field(max_length=1000)] = Field(default_factory=dict)
    """What became of steps, by their paths; a status alone may stand for the whole."""
    ran: tuple[str, ...] | None = None
    """Exactly these steps ran, in any order; one stands for all that is within it."""
    order: tuple[str, ...] = ()
    """Each of these steps began after the one before it had ended."""
    checks: Annotated[tuple[Expression, ...], Field(max_length=64)] = ()
    """CEL conditions over inputs, outputs and steps, which all hold."""

    @property
    def ends(self) -> str:
        """The phase that is expected."""
        return self.phase or ("Succeeded" if self.error is None else "Failed")


class Scenario(Model):
    """One run of the workflow."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """What is to be shown, as a sentence."""
    inputs: dict[str, Any] = Field(default_factory=dict)
    """Inputs by name."""
    now: Annotated[str, StringConstraints(max_length=64)] | None = None
    """When it begins, such as 2030-01-31T08:00:00Z; else now."""
    mocks: Annotated[
        dict[str, Annotated[tuple[Mock, ...], Field(min_length=1, max_length=100)]],
        Field(max_length=1000),
    ] = Field(default_factory=dict)
    """What steps give in place of running, by their paths. A list: of each attempt; the last one also of all
    further ones."""
    models: Annotated[
        dict[str, Annotated[tuple[ScriptedAnswer, ...], Field(min_length=1, max_length=100)]],
        Field(max_length=16),
    ] = Field(default_factory=dict)
    """What Models answer in place of their own, by their names: as script of a Model has it."""
    expect: Expected = Expected()
    """What it comes to."""


class Suite(Model):
    """Tests of one workflow."""

    workflow: _File
    """Its file, from this one; behind # its name, if the file has several."""
    objects: Annotated[tuple[_File, ...], Field(max_length=64)] = ()
    """Further files with what it needs: ConfigMaps, Secrets, Runtimes, workflows that it runs."""
    tests: Annotated[
        tuple[Scenario, ...], Field(min_length=1, max_length=MAX_TESTS, json_schema_extra={"map": "name"})
    ]
    """The tests, each by itself."""
