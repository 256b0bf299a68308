"""What stands in for the world while a workflow is tested: steps that give what a test says, people and
signals that come at once, a clock that leaps. What no test speaks of runs as `citadel run --local` runs it.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from citadel.api.reasons import Phase, Reason
from citadel.api.suite import Mock, Scenario
from citadel.core import events as ev
from citadel.core.children import Child, failed
from citadel.core.dispatch import Dispatch
from citadel.core.expressions import ExpressionError, compile_expression
from citadel.core.failures import Failure
from citadel.core.inputs import compile_inputs
from citadel.core.jsonvalues import Json
from citadel.core.models import Wanted
from citadel.core.models import failed as model_failed
from citadel.core.placing import Placement
from citadel.core.state import State, compiled_of
from citadel.core.tools import WantedTool
from citadel.core.tools import failed as tool_failed
from citadel.core.values import Values
from citadel.local.artifacts import Parcels, located
from citadel.local.capture import Output
from citadel.local.clocks import Bell, LeapingClock
from citadel.local.machine import Machine
from citadel.local.outside import Outside
from citadel.local.sandboxes import Sandbox
from citadel.local.stubs import why_not

if TYPE_CHECKING:
    from citadel.local.door import Attendant

_NUMBER = re.compile(r"\[[0-9]+\]$")


class NotMocked(Exception):
    """Something came to pass that only a mock could answer; the message says what."""


class MockedWorld(Outside):
    """The world of one test. `prefix` is of the execution that it is around, such as `bill/`."""

    def __init__(self, case: Scenario, clock: LeapingClock, prefix: str = "", *, machine: Machine) -> None:
        super().__init__(clock, machine)
        self._case, self._leaping, self._prefix = case, clock, prefix
        self._never = Bell()

    def within(self, step: str) -> "MockedWorld":
        """The world of the execution that a step runs: mocks of its steps begin with that one's path."""
        return MockedWorld(self._case, self._leaping, f"{self._prefix}{step}/", machine=self.machine)

    def mock(self, step: str, attempt: int = 1, arguments: Json = None) -> Mock | None:
        """What an attempt of a step is to give on these arguments; None if it is to run."""
        instance = f"{self._prefix}{step}"
        paths = [path for path in self._case.mocks if stands_for(path, instance)]
        if not paths:
            return None
        mocks = self._case.mocks[max(paths, key=lambda path: path.count("["))]
        if any(mock.when is not None for mock in mocks):
            return next((mock for mock in mocks if _holds(mock, arguments)), None)
        return mocks[min(attempt, len(mocks)) - 1]

    def sandbox(self, placement: Placement) -> Sandbox:
        """A sandbox that runs what no mock speaks of."""
        return MockingSandbox(self, placement)

    def real(self, placement: Placement) -> Sandbox:
        """A sandbox in which code really runs."""
        return super().sandbox(placement)

    def unmocked(self, step: str, why: str) -> NotMocked:
        """That a step cannot go on without a mock."""
        return NotMocked(f"step {self._prefix}{step} {why}")

    async def instead(self, child: Child, values: Values) -> ev.ChildFinished | None:
        """The end of an execution that a mock says."""
        mock = self.mock(child.step, child.attempt)
        if mock is None:
            return None
        if mock.error is not None:
            return failed(child, mock.error.message)
        if mock.timeout:
            await self.clock.wait(self._never)
        return ev.ChildFinished(child.step, child.attempt, Phase.SUCCEEDED, values.put(mock.output))

    async def asked(self, call: Wanted, values: Values) -> ev.ModelAnswered | None:
        """The answer that a mock says."""
        mock = self.mock(call.step, call.attempt)
        if mock is None:
            return None
        if mock.error is not None:
            return model_failed(call, mock.error.reason or Reason.MODEL_ERROR, mock.error.message)
        if mock.timeout:
            await self.clock.wait(self._never)
        return ev.ModelAnswered(call.step, call.attempt, values.put(mock.output))

    async def used(
        self, use: WantedTool, arguments: Mapping[str, Json], values: Values
    ) -> ev.ToolAnswered | None:
        """What a tool gives on these arguments that a mock speaks of."""
        mock = self.mock(use.step, use.attempt, dict(arguments))
        if mock is None:
            return None
        if mock.error is not None:
            return tool_failed(use, mock.error.reason or Reason.TOOL_FAILED, mock.error.message)
        if mock.timeout:
            await self.clock.wait(self._never)
        return ev.ToolAnswered(use.step, use.attempt, values.put(mock.output))

    async def answer(self, state: State, step: str, values: Values) -> ev.Event | None:
        """The decision, or the signal, that a mock says; raises NotMocked."""
        spec, mock = compiled_of(state, step).spec, self.mock(step)
        if mock is None:
            what = f"the signal {spec.wait.signal}" if spec.wait is not None else "a decision"
            how = "signal" if spec.wait is not None else "approve, reject"
            raise self.unmocked(step, f"waits for {what}; say in mocks what comes: {how} or timeout")
        if mock.timeout:
            return None
        now = self.clock.time()
        if mock.reject is not None:
            return ev.ApprovalDecided(step, False, mock.reject.by, mock.reject.reason, values.put({}), now)
        if mock.approve is not None:
            form: dict[str, Any] = mock.approve.form
            if spec.approval is not None and spec.approval.form is not None:
                form = compile_inputs(spec.approval.form).apply(form)
            return ev.ApprovalDecided(step, True, mock.approve.by, mock.approve.reason, values.put(form), now)
        assert spec.wait is not None
        assert spec.wait.signal is not None
        return ev.SignalReceived(spec.wait.signal, f"{self._prefix}{step}", values.put(mock.signal))


class MockingSandbox:
    """A sandbox that gives what mocks say; for the rest it has a real one, which starts when it is needed."""

    def __init__(self, world: MockedWorld, placement: Placement) -> None:
        self._world, self._placement = world, placement
        self._real: Sandbox | None = None

    @property
    def spent(self) -> bool:
        """Whether it can take no further attempt."""
        return self._real is not None and self._real.spent

    async def start(self) -> None:
        """Nothing starts before it is needed."""

    async def run(
        self,
        given: Dispatch,
        arguments: Mapping[str, Json],
        parcels: Parcels,
        output: Output,
        attendant: "Attendant | None" = None,
    ) -> "Json | Failure":
        """What the mock of an attempt says, else what its code does; raises NotMocked, SandboxEnded."""
        mock = self._world.mock(given.step, given.attempt, dict(arguments))
        if mock is not None:
            try:
                return _given(mock, given, parcels)
            except OSError as error:
                raise self._world.unmocked(given.step, f"cannot leave its artifacts: {error}") from None
        if (why := why_not(given.code)) is not None:
            how = "say in mocks what it gives: output, error or timeout"
            raise self._world.unmocked(given.step, f"{why}; {how}")
        if self._real is None:
            real = self._world.real(self._placement)
            await real.start()
            self._real = real
        return await self._real.run(given, arguments, parcels, output, attendant)

    def cancel(self, grace: float) -> None:
        """Asks the running attempt to end."""
        if self._real is not None:
            self._real.cancel(grace)

    def close(self) -> None:
        """Ends what has started."""
        if self._real is not None:
            self._real.close()


def _holds(mock: Mock, arguments: Json) -> bool:
    """Whether a mock is meant for these arguments."""
    if mock.when is None:
        return True
    try:
        return compile_expression(mock.when).evaluate({"args": arguments}) is True
    except ExpressionError:
        return False


def _given(mock: Mock, given: Dispatch, parcels: Parcels) -> "Json | Failure":
    """The end of a mocked attempt, and what it leaves."""
    if mock.error is not None:
        return Failure.cut(mock.error.reason or Reason.ERROR, mock.error.message)
    if mock.timeout:
        return Failure.cut(Reason.TIMEOUT, f"ran longer than its timeout of {given.timeout:g}s")
    result: Json = mock.output
    if not given.left:
        return result
    with tempfile.TemporaryDirectory(prefix="citadel-mock-") as folder:
        work = Path(folder) / "work"
        for name, path in given.left.items():
            _write(located(path, work), mock.artifacts.get(name, {}))
        wrong = parcels.keep(work)
    return wrong or result


def _write(target: Path, content: Any) -> None:
    """A file of a text, or a tree of texts by path."""
    if isinstance(content, str):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        return
    target.mkdir(parents=True, exist_ok=True)
    for path, text in content.items():
        _write(target / path, text)


def stands_for(path: str, instance: str) -> bool:
    """Whether a path names an instance: with the numbers of all its turns, some, or none."""
    wanted, parts = re.split(r"[./]", path), re.split(r"[./]", instance)
    return (
        len(wanted) == len(parts)
        and path.count("/") == instance.count("/")
        and all(one in (part, _NUMBER.sub("", part)) for one, part in zip(wanted, parts, strict=True))
    )
