"""What steps on this machine ask of people and of what is outside, and the answers that were given ahead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from citadel.core import events as ev
from citadel.core.inputs import InvalidInputs, InvalidSchema, compile_inputs
from citadel.core.jsonvalues import Json
from citadel.core.state import State, compiled_of
from citadel.core.values import Values
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.fitting import step_at
from citadel.local.mocks import stands_for
from citadel.local.uses import reached
from citadel.store.journal import Journal, arguments_of


class Unfit(ValueError):
    """An answer is not what the step asks for; the message says why."""


@dataclass(frozen=True)
class Question:
    """What a step waits for: a signal, or a decision."""

    path: str
    """The step, behind those of the executions around it: `bill/charge[2]`."""
    signal: str | None = None
    shown: Mapping[str, Json] = field(default_factory=dict)
    form: Mapping[str, Json] | None = None
    reason_required: bool = False
    until: float | None = None
    """When it waits no longer."""

    @property
    def title(self) -> str:
        """What it waits for, in one line."""
        return f"step {self.path} waits for {f'the signal {self.signal}' if self.signal else 'a decision'}"


@dataclass(frozen=True)
class Decision:
    """What somebody has decided."""

    approved: bool
    reason: str = ""
    form: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Payload:
    """What comes with a signal."""

    value: Json


Answer = Decision | Payload


async def question_of(journal: Journal, state: State, step: str, prefix: str) -> Question:
    """What a step asks that waits; `prefix` names the steps around its execution."""
    assert state.created is not None
    spec, found = compiled_of(state, step).spec, state.steps[step]
    if spec.wait is not None:
        return Question(f"{prefix}{step}", signal=spec.wait.signal, until=found.until)
    assert spec.approval is not None
    assert found.payload is not None
    shown = await arguments_of(journal, state.created.uid, found.payload)
    return Question(
        f"{prefix}{step}", None, shown, spec.approval.form, spec.approval.reason_required, found.until
    )


def fitting(question: Question, answer: Answer) -> Answer:
    """The answer as it will count, with the defaults of the form; raises Unfit."""
    if isinstance(answer, Payload):
        return answer
    if question.reason_required and not answer.reason.strip():
        raise Unfit("reason: found none, and the step requires one")
    if not answer.approved:
        return answer
    if question.form is None:
        if answer.form:
            raise Unfit("form: found fields, but the step has no form to be filled in")
        return answer
    return Decision(True, answer.reason, filled(question.form, answer.form))


def filled(schema: Mapping[str, Json], given: Mapping[str, Json]) -> Mapping[str, Json]:
    """A form with its defaults; raises Unfit with one line for each field that does not fit."""
    try:
        return compile_inputs(schema).apply(given, "form")
    except InvalidInputs as error:
        raise Unfit("\n".join(error.messages)) from None
    except InvalidSchema as error:
        raise Unfit(f"the form of the step is no schema that can be used: {error}") from None


def fact_of(
    question: Question, step: str, answer: Answer, values: Values, by: str, now: float
) -> ev.ApprovalDecided | ev.SignalReceived:
    """What an answer is to the engine."""
    if isinstance(answer, Payload):
        assert question.signal is not None
        return ev.SignalReceived(question.signal, question.path, values.put(answer.value))
    form = dict(answer.form) if answer.approved and question.form is not None else None
    return ev.ApprovalDecided(step, answer.approved, by, answer.reason, values.put(form), now)


class Ahead:
    """Answers that were given before anything asked. Those of a signal are taken in their order."""

    def __init__(
        self,
        decisions: Mapping[str, Decision] | None = None,
        signals: Sequence[tuple[str, Json]] = (),
    ) -> None:
        """`decisions` by the path of their step: with the numbers of all its turns, some, or none."""
        self._decisions = dict(decisions or {})
        self._signals = list(signals)

    def take(self, question: Question) -> Answer | None:
        """The answer to a question, if there is one; raises Unfit."""
        if question.signal is not None:
            for index, (name, value) in enumerate(self._signals):
                if name == question.signal:
                    del self._signals[index]
                    return Payload(value)
            return None
        paths = [path for path in self._decisions if stands_for(path, question.path)]
        if not paths:
            return None
        # The one that says most: `ok[2]` before `ok`.
        return fitting(question, self._decisions[max(paths, key=len)])

    def problems(self, workflow: WorkflowDocument, contents: Contents) -> list[str]:
        """What nothing in the workflow will ever ask for, and what does not fit that which does."""
        found = []
        for path, decision in self._decisions.items():
            step = step_at(workflow, contents, path)
            if isinstance(step, str):
                found.append(f"--{_option(decision)}: {step}")
                continue
            approval = step.spec.approval
            if approval is None:
                asks = ", ".join(_asking(workflow)) or "none"
                found.append(
                    f"--{_option(decision)}: step {path} asks for no approval; those that do: {asks}"
                )
                continue
            question = Question(path, None, {}, approval.form, approval.reason_required)
            try:
                fitting(question, decision)
            except Unfit as error:
                found += [f"--{_option(decision)} {path}: {line}" for line in str(error).splitlines()]
        known = _signals(workflow, contents)
        for name in sorted({name for name, _ in self._signals} - known):
            expected = ", ".join(sorted(known)) or "none: no step waits for one"
            found.append(f"--signal: found {name!r:.80}, expected a signal that a step waits for: {expected}")
        return found


def _option(decision: Decision) -> str:
    return "approve" if decision.approved else "reject"


def _asking(workflow: WorkflowDocument) -> list[str]:
    steps = workflow.compiled.steps.items()
    return [path for path, step in steps if step.spec.approval is not None]


def _signals(workflow: WorkflowDocument, contents: Contents) -> set[str]:
    steps = [step.spec for one in reached(workflow, contents) for step in one.compiled.steps.values()]
    return {step.wait.signal for step in steps if step.wait is not None and step.wait.signal is not None}
