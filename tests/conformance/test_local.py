"""Every language runs every case on this machine, as `citadel run --local` does: without runner and shim."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from citadel.core.dispatch import Dispatch
from citadel.core.failures import Failure
from citadel.local.artifacts import Parcels
from citadel.local.building import Programs
from citadel.local.capture import Output
from citadel.local.equipping import Kits
from citadel.local.isolation import Isolation, choose
from citadel.local.languages import Language as Runs
from citadel.local.sandbox import LocalSandbox
from citadel.local.tools import Tools, cache_folder
from component.runtimes.gateway import Json, Result
from conformance.cases import MEBIBYTE, TRACES, Case
from conformance.languages import Language, languages
from conformance.test_cases import check

LOCAL = [language for language in languages() if language.name != "container"]
CASES = [
    pytest.param(language, case, id=f"{language.name}: {case.says}")
    for language in LOCAL
    for case in language.cases()
    if not case.entrypoint
]
#: What is said of outputs that Go's harness does not judge: the words of Citadel's own reader of JSON.
JUDGED = {"deeper": "more than 64 levels", "nul": "the character U+0000"}
EACH = pytest.mark.parametrize("language", LOCAL, ids=lambda language: language.name)


class Local:
    """A sandbox of one language, with a build before each step where it is compiled."""

    def __init__(self, language: Language, runs: Runs, isolation: Isolation, folder: Path) -> None:
        self.language, self._runs, self._isolation = language, runs, isolation
        self.isolated = isolation.command is not None
        self._archives, self._programs = folder / "archives", Programs(folder.parent / "programs")
        self._archives.mkdir()
        self._open: list[LocalSandbox] = []
        self.lines: list[tuple[str, str]] = []
        self._any = asyncio.Event()

    async def _started(self) -> LocalSandbox:
        made = LocalSandbox(self._runs, self._programs, self._isolation)
        self._open.append(made)
        await made.start()
        return made

    async def start(self) -> None:
        """Opens the sandbox of the steps."""
        self.steps = await self._started()

    def close(self) -> None:
        for sandbox in self._open:
            sandbox.close()

    def log(self, stream: str = "stdout") -> str:
        """What the last step printed."""
        return "".join(f"{line}\n" for of, line in self.lines if of == stream)

    async def run(self, name: str, step: str = "", timeout: float | None = None, **given: Json) -> Result:
        """Runs the code of this name to its end."""
        step, code, program = step or name, self.language.code(name), None
        if self._runs.builds:
            sandbox = await self._started()
            built, kept = await self._attempt(
                sandbox, Dispatch(f"{step}.build", 1, 1, code, {}, {}, {}, 60.0)
            )
            if built.outcome == "Failed":
                return built
            program = kept.kept["program"]
        env = given.get("env", {})
        dispatch = Dispatch(step, 1, 1, code, given.get("input", {}), {}, env, timeout, program=program)
        self.lines.clear()
        return (await self._attempt(self.steps, dispatch))[0]

    async def begun(self, name: str, timeout: float | None = None) -> asyncio.Task[Result]:
        """Runs the code of this name, and has seen its first line."""
        self._any = asyncio.Event()
        running = asyncio.create_task(self.run(name, timeout=timeout))
        await asyncio.wait_for(self._any.wait(), 20)
        return running

    def _printed(self, stream: str, line: str) -> None:
        self.lines.append((stream, line))
        self._any.set()

    async def _attempt(self, sandbox: LocalSandbox, given: Dispatch) -> tuple[Result, Parcels]:
        parcels = Parcels(self._archives, given, {})
        output = Output(self._printed)
        found = await sandbox.run(given, given.arguments, parcels, output)
        if not isinstance(found, Failure):
            return Result("Succeeded", found, 0, True), parcels
        failure = {"reason": found.reason, "message": found.message, "logTail": found.log_tail}
        body = failure | {"traceback": found.traceback.splitlines()}
        return Result("Failed", body, 0, True), parcels


Make = Callable[[Language, str], Local]


@pytest.fixture(scope="session")
def machine() -> dict[str, Runs]:
    """The languages of this machine, each with what it needs."""
    codes = {
        language.name: [section.code or "" for section in language.sections.values()] for language in LOCAL
    }
    kits, tools = Kits(cache_folder() / "kits", print), Tools()
    return {name: kits.language(tools.get(name), sources) for name, sources in codes.items()}


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture
async def make(machine: dict[str, Runs], programs: Path, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a sandbox of a language, kept in what is named."""
    made: list[Local] = []

    def sandbox(language: Language, kept: str) -> Local:
        folder = programs / f"{tmp_path.name}-{len(made)}"
        folder.mkdir()
        isolation = choose("bubblewrap" if kept == "bubblewrap" else "none")
        made.append(Local(language, machine[language.name], isolation, folder))
        return made[-1]

    yield sandbox
    for one in made:
        one.close()


@pytest.fixture(params=["bubblewrap", "none"])
async def sandbox(request: pytest.FixtureRequest, language: Language, make: Make) -> Local:
    """A sandbox of each language, with and without isolation."""
    found = make(language, request.param)
    await found.start()
    return found


@pytest.mark.parametrize(("language", "case"), CASES)
async def test_a_case_ends_as_it_should(language: Language, case: Case, make: Make) -> None:
    sandbox = make(language, "bubblewrap")
    await sandbox.start()
    if language.name == "go" and case.name in JUDGED:
        case = dataclasses.replace(case, message=JUDGED[case.name])
    check(case, await sandbox.run(case.snippet, case.name, input=case.given, env=case.env))
    if case.stdout or case.stderr:
        assert sandbox.log() == case.stdout
        assert sandbox.log("stderr").startswith(case.stderr)
    elif not case.reason and case.output is not None:
        assert sandbox.lines == [], "something was printed"
    after = await sandbox.run("arguments", "after", input={"a": 1, "b": 1})
    assert after.output == {"sum": 2}, "the sandbox takes no other step"


@EACH
async def test_prints_are_live_and_a_timeout_ends_the_whole_process_tree(sandbox: Local) -> None:
    running = await sandbox.begun("stuck", timeout=2)
    assert not running.done()
    failure = (await running).failure
    assert (failure["reason"], failure["message"]) == ("Timeout", "ran longer than its timeout of 2s")
    if sandbox.isolated:
        assert (await sandbox.run("sleepers")).output == 0


@EACH
async def test_nothing_is_left_for_the_next_step(language: Language, make: Make) -> None:
    sandbox = make(language, "bubblewrap")
    await sandbox.start()
    cannot = set(language.told("leave").get("cannot", ()))
    left = (await sandbox.run("leave", "first", input={"leave": True})).output
    assert left == {trace: trace in cannot for trace in TRACES}, "the code sees what it leaves"
    for step in ("second", "third"):
        assert (await sandbox.run("leave", step, input={"leave": False})).output == dict.fromkeys(
            TRACES, True
        )


@EACH
async def test_a_step_that_prints_megabytes_ends_and_its_log_is_cut(language: Language, make: Make) -> None:
    sandbox = make(language, "bubblewrap")
    await sandbox.start()
    assert (await sandbox.run("flood")).output == 1
    assert 0 <= 10 * MEBIBYTE - len(sandbox.log()) < 1024
    assert sandbox.lines[-1] == ("system", "log cut: more than 10 MiB")


@EACH
async def test_a_cancelled_step_may_clean_up_and_is_killed_after_its_grace(sandbox: Local) -> None:
    for name, grace, printed in (("cleanup", 10.0, "begun\ncleaned up\n"), ("deaf", 0.2, "begun\n")):
        if sandbox.language.absent(name):
            continue
        running = await sandbox.begun(name)
        sandbox.steps.cancel(grace)
        failure = (await running).failure
        assert failure["reason"] == "Cancelled"
        assert ("SIGKILL" in failure["message"]) == (name == "deaf")
        assert sandbox.log() == printed
    assert (await sandbox.run("arguments", input={"a": 1, "b": 2})).output == {"sum": 3}
