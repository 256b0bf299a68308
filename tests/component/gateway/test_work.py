"""Attempts on their way to a sandbox and their results on the way back."""

import asyncio
import json
import time

import pytest

from build import chain, definition, python_step
from citadel.core import events as ev
from citadel.core.jsonvalues import MAX_BYTES
from citadel.core.values import Values
from citadel.gateway import work
from component.gateway.conftest import Site

#: Far less than what a request is held without a notice, and more than a busy machine stands still.
AT_ONCE = 20


@pytest.fixture
def only_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a notice, or what is due, ends the wait of a held request."""
    monkeypatch.setattr(work, "POLL_SECONDS", 60.0)
    monkeypatch.setattr(work, "LOOK_SECONDS", 60.0)


async def test_the_answer_to_a_result_carries_the_next_attempt_and_its_input(site: Site) -> None:
    steps = (python_step("a"), python_step("b", arguments={"x": "${steps.a.output.n}"}))
    runner = await site.registered(definition(*steps, outputs={"all": "${steps.b.output}"}))
    answer = await runner.succeed("a", b'{"n": [1, 2]}')
    assert answer.body["recorded"] is True
    assert (answer.step, answer.assignment["input"]) == ("b", {"x": [1, 2]})
    last = await runner.succeed("b", b'"done"')
    assert last.body == {"recorded": True, "assignment": None}
    state = await site.state()
    assert state.finished is not None
    assert state.finished.outputs is not None
    assert Values().get(state.finished.outputs) == {"all": "done"}


async def test_a_large_output_reaches_the_next_attempt_whole(site: Site) -> None:
    steps = (python_step("a"), python_step("b", arguments={"x": "${steps.a.output}"}))
    runner = await site.registered(definition(*steps))
    output = ["é" * 1000] * 300
    answer = await runner.succeed("a", json.dumps(output, ensure_ascii=False).encode())
    assert answer.assignment["input"] == {"x": output}
    sent = json.dumps(output, ensure_ascii=False, separators=(",", ":")).encode()
    assert sent in answer.raw  # escaped, it would be three times as large


async def test_the_runtimes_environment_is_overruled_by_the_steps(site: Site) -> None:
    step = python_step("a", timeout="30s", isolation="step")
    step["run"]["env"] = [{"name": "B", "value": "${inputs.region}"}]
    workflow = definition(step, inputs={"type": "object", "properties": {"region": {"type": "string"}}})
    workflow["runtimes"]["python"]["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    runner = await site.registered(workflow, region="emea")
    told = (await runner.poll()).assignment
    assert told["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "emea"}]
    assert (told["timeoutSeconds"], told["exclusive"]) == (30.0, True)


async def test_a_step_may_name_a_function_of_its_image(site: Site) -> None:
    step = {"name": "a", "run": {"runtime": "python", "entrypoint": "jobs.load:main"}}
    runner = await site.registered(definition(step))
    told = (await runner.poll()).assignment
    assert (told["action"], told["entrypoint"], told["code"]) == ("run", "jobs.load:main", None)


async def test_a_container_gets_its_command_as_it_was_written(site: Site) -> None:
    container = {"image": "alpine", "command": ["sh", "-c"], "args": ["echo ${no.expression}"]}
    runner = await site.registered(definition({"name": "a", "container": container}))
    told = (await runner.poll()).assignment
    assert (told["action"], told["exclusive"]) == ("container", True)
    assert (told["command"], told["args"]) == (["sh", "-c"], ["echo ${no.expression}"])


async def test_polling_again_returns_the_same_attempt(site: Site) -> None:
    runner = await site.registered(chain(2))
    answers = await asyncio.gather(*(runner.poll() for _ in range(4)))
    assert [answer.step for answer in answers] == ["s0"] * 4


@pytest.mark.usefixtures("only_notices")
async def test_a_held_poll_is_answered_as_soon_as_there_is_work(site: Site) -> None:
    runner = await site.registered(chain(2))
    await site.post(ev.SuspendChanged(True, 2))
    assert (await runner.succeed("s0")).body == {"recorded": True, "assignment": None}
    poll = asyncio.create_task(runner.poll())
    done, _ = await asyncio.wait((poll,), timeout=0.15)
    assert not done
    await site.post(ev.SuspendChanged(False, 3))
    async with asyncio.timeout(AT_ONCE):
        assert (await poll).step == "s1"


@pytest.mark.usefixtures("only_notices")
async def test_a_held_poll_is_answered_when_a_backoff_is_over(site: Site) -> None:
    runner = await site.registered(chain(1, retry={"attempts": 2, "backoff": {"initial": "300ms"}}))
    began = time.monotonic()
    assert (await runner.fail("s0")).step is None
    async with asyncio.timeout(AT_ONCE):
        answer = await runner.poll()
    assert time.monotonic() - began >= 0.3
    assert (answer.step, answer.assignment["attempt"]) == ("s0", 2)


@pytest.mark.usefixtures("only_notices")
async def test_a_held_poll_ends_with_the_execution(site: Site) -> None:
    retry = {"attempts": 2, "backoff": {"initial": "1h", "max": "2h"}}
    runner = await site.registered(chain(1, retry=retry))
    await runner.fail("s0")
    poll = asyncio.create_task(runner.poll())
    done, _ = await asyncio.wait((poll,), timeout=0.15)
    assert not done
    await site.post(ev.StopRequested("Cancel", "Cancelled", "enough"))
    async with asyncio.timeout(AT_ONCE):
        assert (await poll).refused == (410, "NotWanted")


async def test_a_poll_is_not_held_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "POLL_SECONDS", 0.2)
    retry = {"attempts": 2, "backoff": {"initial": "1h", "max": "2h"}}
    runner = await site.registered(chain(1, retry=retry))
    await runner.fail("s0")
    assert (await runner.poll()).body == {"assignment": None}


async def test_the_same_result_twice_changes_nothing(site: Site) -> None:
    runner = await site.registered(chain(2))
    first = await runner.succeed("s0", b"1")
    before = await site.state()
    second = await runner.succeed("s0", b"2")
    assert (first.body["recorded"], second.body["recorded"]) == (True, False)
    assert second.assignment == first.assignment
    after = await site.state()
    assert (after.seq, after.steps["s0"].output) == (before.seq, before.steps["s0"].output)


async def test_the_last_result_twice_is_fine_too(site: Site) -> None:
    runner = await site.registered(chain(1))
    await runner.succeed("s0")
    assert (await runner.succeed("s0")).body == {"recorded": False, "assignment": None}
    assert (await runner.poll()).refused == (410, "NotWanted")


async def test_the_result_of_an_earlier_attempt_is_superseded(site: Site) -> None:
    retry = {"attempts": 3, "backoff": {"initial": "1ms"}}
    runner = await site.registered(chain(1, retry=retry))
    await runner.fail("s0")
    assert (await runner.poll()).assignment["attempt"] == 2
    assert (await runner.succeed("s0", attempt=1)).refused == (409, "Superseded")
    assert (await runner.succeed("s0", attempt=3)).refused == (409, "Superseded")
    assert (await runner.succeed("nonsense")).refused == (409, "Superseded")
    assert (await runner.succeed("s0", attempt=2)).body["recorded"] is True


async def test_a_result_for_a_closed_execution_is_refused_for_good(site: Site) -> None:
    runner = await site.registered(chain(2))
    await site.post(ev.StopRequested("Terminate", "Terminated", "enough"))
    answer = await runner.succeed("s0")
    assert answer.status in (200, 410)
    assert (await site.state()).steps["s0"].output is None
    assert (await runner.succeed("s1")).refused == (410, "NotWanted")
    await site.database.journal.forget(["uid-1"])
    for request in (runner.succeed("s0"), runner.poll(), runner.beat(), runner.log("s0", "x")):
        assert (await request).refused == (410, "NotWanted")


async def test_a_sandbox_that_wants_no_more_gets_no_more(site: Site) -> None:
    runner = await site.registered(chain(2))
    answer = await runner.succeed("s0", more="&next=false")
    assert answer.body == {"recorded": True, "assignment": None}


@pytest.mark.parametrize(
    "output", [b"", b'"\\u0000"', b"NaN", b"[" * 70 + b"]" * 70, b'"' + b"x" * MAX_BYTES + b'"']
)
async def test_an_output_that_cannot_be_kept_fails_the_attempt(site: Site, output: bytes) -> None:
    runner = await site.registered(chain(1))
    assert (await runner.succeed("s0", output or b" ")).body["recorded"] is True
    failure = (await site.state()).steps["s0"].failure
    assert failure is not None
    assert failure.reason == "InvalidOutput"


async def test_a_malformed_result_is_refused_and_can_be_put_right(site: Site) -> None:
    runner = await site.registered(chain(1))
    assert (await runner.fail("s0", reason="Odd")).refused == (400, "BadRequest")
    odd = await runner.post("/v1/attempts/s0/1/result?outcome=Odd&chunks=0", data=b"1")
    assert odd.refused == (400, "BadRequest")
    assert (await runner.fail("s0", reason="InvalidOutput")).body["recorded"] is True
