"""What an agent remembers over executions, as the gateway tells it: by the step, never by what is sent."""

from typing import Any

import pytest

from agents import agent, definition, run_agent
from component.gateway.conftest import Site
from component.gateway.runner import Runner


def remembering(conversation: str | None = "c-1", name: str = "writer", **about: Any) -> dict[str, Any]:
    """An execution of an agent with a memory."""
    asks = {"conversation": conversation} if conversation is not None else {}
    step = run_agent(
        of=name,
        agent={"prompt": "And ${inputs.topic}?", **asks},
        retry={"attempts": 2, "backoff": {"initial": "1ms"}},
    )
    return definition(
        step,
        agents={name: agent(memory={"maxTokens": 500}, **about)},
        inputs={"type": "object", "properties": {"topic": {"type": "string"}}},
    )


async def begin(site: Site, uid: str, topic: str, **about: Any) -> tuple[Runner, Any]:
    (sandbox,) = await site.start(remembering(**about), uid, topic=topic)
    runner = await site.runner(sandbox)
    return runner, (await runner.register()).assignment["input"]["agent"]


async def test_what_was_asked_and_answered_is_told_to_the_next_execution(site: Site) -> None:
    runner, told = await begin(site, "uid-1", "tea")
    assert (told["history"], told["summary"]) == ([], None)
    await runner.succeed("write", '"Grün, 緑."'.encode())
    _, told = await begin(site, "uid-2", "coffee")
    assert told["history"] == [
        {"role": "user", "content": "And tea?"},
        {"role": "assistant", "content": "Grün, 緑."},
    ]
    for other in ({"conversation": "c-2"}, {"name": "other"}, {"conversation": None}):
        _, told = await begin(site, f"uid-{other}", "tea", **other)
        assert told["history"] == []


async def test_a_result_that_comes_twice_is_remembered_once_and_a_failed_one_not_at_all(site: Site) -> None:
    runner, _ = await begin(site, "uid-1", "tea")
    await runner.fail("write")
    assert (await runner.poll()).refused == (410, "NotWanted")
    (sandbox,) = set(await site.create_pods("uid-1")) - {runner.sandbox}
    second = await site.runner(sandbox)
    assert (await second.register()).assignment["attempt"] == 2
    for _ in range(2):
        await second.succeed("write", b'{"a":1}', attempt=2)
    _, told = await begin(site, "uid-2", "coffee")
    assert [item["content"] for item in told["history"]] == ["And tea?", '{"a":1}']


async def test_what_an_attempt_is_given_stays_the_same_until_it_is_over(site: Site) -> None:
    first, _ = await begin(site, "uid-1", "tea")
    await first.succeed("write", b'"one"')
    slow, told = await begin(site, "uid-2", "slow")
    quick, _ = await begin(site, "uid-3", "quick")
    await quick.succeed("write", b'"two"')
    assert (await slow.remember("write", {"summary": "s", "covers": 2})).status == 200
    again = (await slow.poll()).assignment["input"]["agent"]
    assert (again["history"], again["summary"]) == (told["history"], None)


async def test_a_summary_stands_for_what_it_covers_once_its_attempt_has_succeeded(site: Site) -> None:
    for number in (1, 2):
        runner, _ = await begin(site, f"uid-{number}", f"t{number}")
        await runner.succeed("write", b'"answer"')
    runner, told = await begin(site, "uid-3", "t3")
    assert len(told["history"]) == 4
    assert (await runner.remember("write", {"summary": "They spoke of t1.", "covers": 2})).status == 200
    _, meanwhile = await begin(site, "uid-4", "t4")
    assert meanwhile["summary"] is None
    await runner.succeed("write", b'"third"')
    _, told = await begin(site, "uid-5", "t5")
    assert told["summary"] == "They spoke of t1."
    assert [item["content"] for item in told["history"]] == ["And t2?", "answer", "And t3?", "third"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"summary": "", "covers": 1},
        {"summary": 1, "covers": 1},
        {"summary": "s", "covers": 0},
        {"summary": "s", "covers": 3},
        {"summary": "s", "covers": True},
        {"summary": "s", "covers": "1"},
    ],
)
async def test_a_summary_of_what_was_not_given_is_refused(site: Site, body: Any) -> None:
    runner, _ = await begin(site, "uid-1", "tea")
    await runner.succeed("write", b'"x"')
    runner, _ = await begin(site, "uid-2", "tea")
    assert (await runner.remember("write", body)).refused == (400, "BadRequest")


async def test_only_the_attempt_that_runs_summarises_and_names_no_conversation(site: Site) -> None:
    runner, _ = await begin(site, "uid-1", "tea")
    await runner.succeed("write", b'"x"')
    assert (await runner.remember("write", {"summary": "s", "covers": 1})).refused == (409, "Superseded")
    runner, _ = await begin(site, "uid-2", "tea")
    body = {"summary": "s", "covers": 2, "conversation": "c-2", "agent": "other", "namespace": "other"}
    assert (await runner.remember("write", body)).status == 200
    await runner.succeed("write", b'"y"')
    _, told = await begin(site, "uid-3", "tea", conversation="c-2")
    assert (told["history"], told["summary"]) == ([], None)
    assert (await runner.post("/v1/attempts/write/1/memory", body)).refused == (405, "Method")
