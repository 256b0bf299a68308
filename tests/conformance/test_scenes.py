"""What takes more than one step, or more than its end, to see. Every language plays every scene."""

import time

from conformance.cases import MEBIBYTE, TRACES
from conformance.conftest import Sandbox

STEPS = 30


async def begun(sandbox: Sandbox, name: str) -> None:
    """The step has printed its first line."""
    await sandbox.gateway.until(lambda: sandbox.gateway.logs.get((name, 1)))


async def test_prints_are_live_and_a_timeout_ends_the_whole_process_tree(sandbox: Sandbox) -> None:
    await sandbox.assign("stuck", timeoutSeconds=2)
    await begun(sandbox, "stuck")
    assert ("stuck", 1) not in sandbox.gateway.results
    failure = (await sandbox.gateway.result("stuck")).failure
    assert failure["reason"] == "Timeout"
    assert failure["message"] == "ran longer than its timeout of 2s"
    assert (await sandbox.run("sleepers")).output == 0


async def test_nothing_is_left_for_the_next_step(sandbox: Sandbox) -> None:
    cannot = set(sandbox.language.told("leave").get("cannot", ()))
    assert cannot <= set(TRACES)
    left = (await sandbox.run("leave", "first", input={"leave": True})).output
    assert left == {trace: trace in cannot for trace in TRACES}, "the code sees what it leaves"
    for step in ("second", "third"):
        found = (await sandbox.run("leave", step, input={"leave": False})).output
        assert found == dict.fromkeys(TRACES, True)


async def test_a_step_that_prints_megabytes_ends_and_its_log_is_cut(sandbox: Sandbox) -> None:
    assert (await sandbox.run("flood")).output == 1
    assert len((await sandbox.gateway.log("flood")).encode()) == 10 * MEBIBYTE
    assert (await sandbox.gateway.log("flood", stream="system")).count("the log is cut here") == 1


async def test_a_cancelled_step_may_clean_up(sandbox: Sandbox) -> None:
    if reason := sandbox.language.absent("cleanup"):
        assert await cancelled(sandbox, "deaf", 0.2) == "begun\n", reason
        return
    assert await cancelled(sandbox, "cleanup", 10) == "begun\ncleaned up\n"


async def test_a_cancelled_step_is_killed_after_its_grace(sandbox: Sandbox) -> None:
    assert await cancelled(sandbox, "deaf", 0.2) == "begun\n"


async def cancelled(sandbox: Sandbox, name: str, grace: float) -> str:
    """What a step has printed that was cancelled once it had begun."""
    await sandbox.assign(name)
    await begun(sandbox, name)
    await sandbox.gateway.change(cancel=[{"step": name, "attempt": 1, "graceSeconds": grace}])
    failure = (await sandbox.gateway.result(name)).failure
    assert failure["reason"] == "Cancelled"
    assert ("SIGKILL" in failure["message"]) == (name == "deaf")
    printed = await sandbox.gateway.log(name)
    assert (await sandbox.run("arguments", input={"a": 1, "b": 2})).output == {"sum": 3}
    return printed


async def test_a_step_knows_the_time_however_long_its_sandbox_has_waited(sandbox: Sandbox) -> None:
    for step in ("first", "second"):
        before = time.time()
        told = (await sandbox.run("clock", step)).output
        assert before - 0.01 <= told <= time.time() + 0.01


async def test_one_sandbox_runs_many_steps_in_order(sandbox: Sandbox) -> None:
    for number in range(STEPS):
        await sandbox.assign("multiply", f"s{number}", input={"n": number})
    for number in range(STEPS):
        assert (await sandbox.gateway.result(f"s{number}")).output == number * number
    assert sandbox.gateway.deliveries == [(f"s{number}", 1) for number in range(STEPS)]
