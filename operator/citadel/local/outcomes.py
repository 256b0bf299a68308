"""What came of an evaluation: each run, what of it does not hold, and what it took."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from citadel.api.evaluation import Assertion
from citadel.core.jsonvalues import Json
from citadel.local.assembling import reads_error
from citadel.local.evaluations import EvaluationDocument
from citadel.local.trials import Verdict

#: Characters of an output that are shown of a run that does not pass.
LONGEST_OUTPUT = 500


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    name: str
    passed: bool
    problems: tuple[str, ...] = ()
    """What does not hold, one sentence each."""
    tools: tuple[str, ...] = ()
    """The tools that were called, in their order."""
    tokens: int = 0
    cost: float = 0.0
    """Dollars."""
    broken: bool = False
    """Whether it has no result at all."""

    @property
    def verdict(self) -> Verdict:
        """The same as of a test."""
        return Verdict(self.name, 1, 0.0, self.problems, self.broken)


def outcomes(document: EvaluationDocument, names: Sequence[str], runs: Sequence[Json]) -> list[Outcome]:
    """What came of the runs of these names, by what the loop over them gave; null for one without result."""
    assertions = document.evaluation.assertions
    return [
        _outcome(assertions, run, name) if isinstance(run, dict) else _nothing(name)
        for name, run in zip(names, runs, strict=True)
    ]


def _nothing(name: str) -> Outcome:
    return Outcome(name, False, ("it has no result",), broken=True)


def _outcome(assertions: Sequence[Assertion], run: dict[str, Any], name: str) -> Outcome:
    usage = run["usage"]
    return Outcome(
        name,
        run["passed"],
        () if run["passed"] else tuple(_problems(assertions, run)),
        tuple(run["tools"]),
        usage["tokens"],
        usage["cost"],
    )


def _problems(assertions: Sequence[Assertion], run: dict[str, Any]) -> Iterator[str]:
    error = run["error"]
    if error is not None and not any(reads_error(assertion.rule) for assertion in assertions):
        yield f"failed: {error['reason']}: {error['message']}"
        return
    for assertion, held in zip(assertions, run["assertions"], strict=True):
        told = f"{assertion.message} ({assertion.rule})" if assertion.message else assertion.rule
        if held is False:
            yield f"does not hold: {told}"
        elif isinstance(held, str):
            yield f"cannot be told: {told}: {held}"
    yield f"failed: {error['reason']}: {error['message']}" if error else f"output: {_shown(run['output'])}"


def _shown(output: Json) -> str:
    text = json.dumps(output, ensure_ascii=False)
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}…"
