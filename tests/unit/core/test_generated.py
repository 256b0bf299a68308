"""Generated workflows: the engine does what an independent interpreter of the language says."""

from collections import Counter
from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.plan import compile_definition
from engine import Run
from generated import Generator, computed
from reference import interpret

RUNTIMES = {"python": {"image": "python"}}


@pytest.mark.parametrize("first", range(0, 400, 20))
def test_the_engine_agrees_with_the_reference_interpreter(first: int) -> None:
    for seed in range(first, first + 20):
        case = Generator(seed).case()
        told = interpret(case)
        run = Run(compile_definition({"spec": case.spec, "runtimes": RUNTIMES, "code": {}}))
        ran: Counter[str] = Counter()

        def answer(name: str, _: int, run: Run = run, ran: Counter[str] = ran) -> Any:
            ran[name] += 1
            found = computed(run.payload(name)["arguments"])
            return found if isinstance(found, int) else ev.Failure.cut("Error", found)

        run.finish(answer)
        assert run.phase() == told.phase, seed
        assert ran == told.ran, seed
        if told.outputs is not None:
            assert run.outputs() == told.outputs, seed
        assert run.replayed() == run.state, seed
