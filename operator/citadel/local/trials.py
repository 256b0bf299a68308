"""One test, carried out: the workflow runs in a world of mocks, and what it came to is compared."""

import asyncio
import time
import traceback
from dataclasses import dataclass

from citadel.api.reasons import Phase, Reason
from citadel.api.suite import Scenario
from citadel.core.inputs import InvalidInputs
from citadel.core.instances import definition
from citadel.core.jsonvalues import Json
from citadel.core.state import State
from citadel.local.clocks import LeapingClock
from citadel.local.fitting import moment, workflow_at
from citadel.local.isolation import Isolation
from citadel.local.judging import differences
from citadel.local.lending import Kept
from citadel.local.machine import Machine
from citadel.local.means import in_memory
from citadel.local.mocks import MockedWorld, NotMocked
from citadel.local.records import Record, Recorder, record
from citadel.local.runner import LocalRun
from citadel.local.start import CannotRun, begin
from citadel.local.stubs import with_stubs
from citadel.local.suites import SuiteDocument
from citadel.local.tools import ToolMissing
from citadel.local.uses import sources


@dataclass(frozen=True)
class Verdict:
    """What came of a test."""

    name: str
    line: int
    seconds: float
    problems: tuple[str, ...] = ()
    """What is not as expected, one sentence each."""
    broken: bool = False
    """Whether it could not be carried out to its end."""
    log: str = ""
    """What steps printed, each line behind its step."""
    outputs: dict[str, Json] | None = None
    """The outputs that came, where they alone are not as expected."""


class _Logs:
    """What steps print."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.by_step: dict[str, str] = {}

    def changed(self, state: State) -> None:
        """Nobody watches a test."""

    def within(self, step: str, state: State) -> None:
        """Nor what runs within it."""

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """Keeps a line."""
        self.lines.append(f"{step} | {line}")
        self.by_step[step] = f"{self.by_step.get(step, '')}{line}\n"


async def carry_out(
    document: SuiteDocument, index: int, limit: float, isolation: Isolation, agents: Kept
) -> Verdict:
    """Runs one test of a file; `limit` is how many seconds it may really take.

    `agents` are the interpreters of tests before.
    """
    case, logs, began = document.cases[index], _Logs(), time.monotonic()
    problems: tuple[str, ...]
    broken, outputs = True, None
    try:
        async with asyncio.timeout(limit):
            found = await _run(document, case, logs, isolation, agents)
        problems, broken = tuple(differences(found, case.expect)), False
        if problems and not any(differences(found, case.expect.model_copy(update={"outputs": None}))):
            outputs = found.outputs
        if problems and found.phase != case.expect.ends and found.step is not None:
            failure = found.at(found.step).failure
            problems += tuple((failure.traceback if failure else "").splitlines())
    except NotMocked as error:
        problems = (str(error),)
    except CannotRun as error:
        problems = (*error.messages, "a step that has a mock needs nothing of this machine")
    except ToolMissing as error:
        problems = (str(error),)
    except TimeoutError:
        problems = (f"not finished after {limit:g} seconds: what is not mocked takes its time",)
    except Exception as error:
        problems = (f"the test could not be carried out: {error}", *traceback.format_exc().splitlines())
    seconds = time.monotonic() - began
    log = "\n".join(logs.lines)
    return Verdict(case.name, document.line(index), seconds, problems, broken, log, outputs)


async def _run(
    document: SuiteDocument, case: Scenario, logs: _Logs, isolation: Isolation, agents: Kept
) -> Record:
    """What the workflow of a test comes to."""
    try:
        document.workflow.compiled.inputs.apply(case.inputs)
    except InvalidInputs as error:
        return Record(Phase.FAILED, Reason.INVALID_INPUTS, "; ".join(error.messages))
    contents = with_stubs(document.contents, _mocked(document, case))
    for name, script in case.models.items():
        spec = contents.models[name].model_copy(update={"provider": "scripted", "script": script})
        contents.models[name] = spec.model_copy(update={"credential": None, "endpoint": None})
    clock = LeapingClock(None if case.now is None else moment(case.now))
    journal = Recorder(clock.time)
    # One of its own: what a language is made ready for are the sources of this test.
    world = MockedWorld(case, clock, machine=Machine(isolation, agents=agents))
    workflow = contents.workflows[document.workflow.name]
    start = begin(workflow, contents, case.inputs, tools=world.machine.tools)
    world.machine.equip(sources(workflow, contents))
    means = in_memory(journal, contents)
    run = LocalRun(journal, logs, contents, (document.workflow.name,), means, world)
    clock.begin()
    return await record(journal, await run.run(start), logs.by_step)


def _mocked(document: SuiteDocument, case: Scenario) -> dict[str, set[str]]:
    """The steps that never run, by the workflows that they are of."""
    found: dict[str, set[str]] = {}
    for path in case.mocks:
        workflow = workflow_at(document.workflow, document.contents, path)
        if "[" not in path and not isinstance(workflow, str):
            found.setdefault(workflow.name, set()).add(definition(path.rpartition("/")[2]))
    return found
