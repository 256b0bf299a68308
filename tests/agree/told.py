"""What became of a workflow, wherever it ran, in the words of the interpreter."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from agree.cases import Case
from agree.reference import interpret


@dataclass
class Found:
    """One run, as those see it who look from outside."""

    phase: str
    reason: str
    outputs: Any
    recorded: Counter[str] = field(default_factory=Counter)
    """Attempts by instance, as recorded; those of executions within as `step/instance`."""
    printed: Counter[str] = field(default_factory=Counter)
    """The same as the steps themselves tell it: how often their code ran."""


def differences(case: Case, found: Found) -> list[str]:
    """In what a run is not what the interpreter says, each with both."""
    told = interpret(case)
    outputs = told.outputs if told.phase == "Succeeded" else None
    pairs = (
        ("phase", (found.phase, found.reason), (told.phase, told.reason)),
        ("outputs", found.outputs if found.phase == "Succeeded" else None, outputs),
        ("attempts recorded", found.recorded, told.ran),
        ("attempts printed", found.printed, told.ran),
    )
    return [f"{what}: found {one}, expected {other}" for what, one, other in pairs if one != other]


def report(seed: int, case: Case, problems: list[str]) -> str:
    """All that is needed to look for the cause."""
    return "\n".join((f"seed {seed}", *problems, case.text))
