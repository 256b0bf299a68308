"""Generated workflows: the engine does what an independent interpreter of the language says."""

from collections import Counter
from typing import Any

import pytest

from agree.code import Failing, computed
from agree.generator import Generator
from agree.reference import interpret
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.plan import compile_definition
from citadel.core.values import Inline
from engine import Run

RUNTIMES = {"python": {"image": "python"}}


@pytest.mark.parametrize("first", range(0, 400, 20))
def test_the_engine_agrees_with_the_reference_interpreter(first: int) -> None:
    for seed in range(first, first + 20):
        case = Generator(seed).case()
        if case.inner:
            continue  # What is within others is run by whoever runs them.
        told = interpret(case)
        run = Run(compile_definition({"spec": case.spec, "runtimes": RUNTIMES, "code": {}}))
        for name, payload in case.signals.items():
            run.post(ev.SignalReceived(name, name, Inline(payload)))
        ran: Counter[str] = Counter()

        def answer(name: str, attempt: int, run: Run = run, ran: Counter[str] = ran) -> Any:
            ran[name] += 1
            try:
                return computed(run.payload(name)["arguments"], attempt)
            except Failing as error:
                return Failure.cut("Error", str(error))

        run.finish(answer)
        assert run.state.finished is not None
        found = (run.phase(), run.state.finished.reason, ran)
        assert found == (told.phase, told.reason, told.ran), f"seed {seed}\n{case.text}"
        if told.outputs is not None and told.phase == "Succeeded":
            assert run.outputs() == told.outputs, f"seed {seed}\n{case.text}"
        assert run.replayed() == run.state, seed
