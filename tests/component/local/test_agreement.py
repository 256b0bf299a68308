"""Generated workflows on this machine, with real code in real processes: what runs is what has to."""

import asyncio
import time
from collections import Counter

import pytest

import proofs
from agree.cases import Case
from agree.code import MARK
from agree.generator import Generator
from agree.told import Found, differences, report
from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.state import State
from citadel.core.values import Values
from citadel.local.documents import read
from citadel.local.means import in_memory
from citadel.local.outside import Outside
from citadel.local.runner import LocalRun
from citadel.local.start import prepare
from citadel.store.journal import json_of
from citadel.store.memory import MemoryJournal

SEEDS, AT_ONCE = proofs.of(60, 200), 4


class Counting:
    """Counts what the steps of a run print, and which attempts its states show."""

    def __init__(self) -> None:
        self.printed: Counter[str] = Counter()
        self.attempts: set[tuple[str, str, int]] = set()
        """Step, execution, attempt."""

    def changed(self, state: State) -> None:
        """An attempt that has a sandbox, or had one, has been made."""
        for name, step in state.steps.items():
            if step.sandbox is not None:
                self.attempts.add((name, "", step.attempt))

    def within(self, step: str, state: State) -> None:
        """The same of executions within."""
        for name, found in state.steps.items():
            if found.sandbox is not None:
                self.attempts.add(
                    (f"{step}/{name}", state.created.name if state.created else "", found.attempt)
                )

    def logged(self, step: str, attempt: int, stream: str, line: str) -> None:
        """A step, or one within it, printed a line."""
        self.printed[step] += line == MARK


class Sending(Outside):
    """Sends the signals of a workflow to the steps that wait for them."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self._signals = case.signals

    async def answer(self, state: State, step: str, values: Values) -> ev.Event | None:
        """The signal of the step."""
        assert state.plan is not None
        wait = state.plan.step(step).spec.wait
        assert wait is not None
        assert wait.signal is not None
        return ev.SignalReceived(wait.signal, wait.signal, values.put(self._signals[wait.signal]))


async def found(seed: int) -> tuple[list[str], str]:
    """Runs a workflow; what is not as the interpreter says, and all there is to say of it."""
    case = Generator(seed).case()
    contents = read(case.text)
    assert not contents.problems, report(seed, case, [problem.located for problem in contents.problems])
    start = prepare(contents, {})
    journal, counting = MemoryJournal(), Counting()
    state = await LocalRun(
        journal, counting, contents, (case.name,), in_memory(journal, contents), Sending(case)
    ).run(start)
    end = state.finished
    assert end is not None
    outputs = None if end.outputs is None else await json_of(journal, start.created.uid, end.outputs)
    recorded = Counter(name for name, _, _ in counting.attempts)
    told = Found(end.phase, end.reason, outputs, recorded, +counting.printed)
    problems = differences(case, told)
    return problems, report(seed, case, problems)


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
async def test_a_run_on_this_machine_agrees_with_the_reference_interpreter(first: int) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> tuple[list[str], str]:
        async with gate:
            return await found(seed)

    for problems, told in await asyncio.gather(*(one(seed) for seed in range(first, first + 20))):
        assert not problems, told


SHORT = """
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: flow}
spec:
  steps:
  - {name: a, wait: {for: 10ms}}
"""


class Busy(Counting):
    """A machine that is held up for longer than the step waits."""

    def changed(self, state: State) -> None:
        """Nobody else in this process goes on meanwhile."""
        if state.steps["a"].status is StepStatus.WAITING:
            time.sleep(0.1)


async def test_a_pause_that_is_over_before_anybody_looked_is_not_waited_for() -> None:
    contents = read(SHORT)
    journal = MemoryJournal()
    run = LocalRun(journal, Busy(), contents, ("flow",), in_memory(journal, contents))
    state = await asyncio.wait_for(run.run(prepare(contents, {})), 20)
    assert state.finished is not None
    assert state.finished.phase == "Succeeded"
