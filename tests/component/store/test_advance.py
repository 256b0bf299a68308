"""An advance: what it appends, what it refuses, what a crash leaves, and what two of them at once come to."""

import asyncio
from typing import Any

import pytest

import build
from build import begin, only_sandbox
from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import InvalidValue
from citadel.core.values import Inline, Stored
from citadel.store.journal import ExecutionUnknown
from citadel.store.sql import advancing


async def test_a_chain_runs_to_its_end_step_by_step(store) -> None:
    journal = store.open().journal
    advance = await begin(journal, build.chain(5))
    sandbox = only_sandbox(advance)
    taken = []
    while advance.step is not None:
        taken.append(advance.step)
        advance = await journal.advance(
            "uid-1", [build.succeeded(advance.step, sandbox, len(taken))], claim=sandbox
        )
    assert taken == ["s0", "s1", "s2", "s3", "s4"]
    assert advance.state.finished is not None
    assert advance.state.finished.phase == "Succeeded"
    assert await journal.read("uid-1") == advance.state


async def test_a_process_that_remembers_nothing_folds_the_same_state(store) -> None:
    retry = {"attempts": 3, "backoff": {"initial": "1s", "factor": 2, "max": "30s"}}
    definition = build.chain(4, retry=retry, timeout="30s")
    journal = store.open().journal
    advance = await begin(journal, definition)
    sandbox = only_sandbox(advance)
    await journal.advance("uid-1", [build.succeeded("s0", sandbox, {"rows": [1, 2]})], claim=sandbox)
    advance = await journal.advance("uid-1", [build.failed("s1", sandbox)])
    assert advance.state.steps["s1"].status is StepStatus.BACKING_OFF
    assert await store.open().journal.read("uid-1") == advance.state


async def test_a_process_folds_only_what_another_one_added(store) -> None:
    one, other = store.open().journal, store.open().journal
    advance = await begin(one, build.chain(3))
    sandbox = only_sandbox(advance)
    for number in range(3):
        seen = await other.read("uid-1")
        assert seen == advance.state
        journal = (one, other)[number % 2]
        advance = await journal.advance("uid-1", [build.succeeded(f"s{number}", sandbox)], claim=sandbox)
    assert await one.read("uid-1") == await other.read("uid-1") == advance.state


async def test_the_same_result_again_changes_nothing(store) -> None:
    journal = store.open().journal
    advance = await begin(journal, build.chain(2))
    fact = build.succeeded("s0", only_sandbox(advance), "first")
    first = await journal.advance("uid-1", [fact])
    again = await store.open().journal.advance("uid-1", [fact])
    other = await journal.advance("uid-1", [build.succeeded("s0", only_sandbox(advance), "second")])
    assert (first.accepted, again.accepted, other.accepted) == ((True,), (False,), (False,))
    assert again.events == other.events == ()
    assert (await journal.read("uid-1")).steps["s0"].output == Inline("first")


async def test_a_result_of_a_superseded_attempt_changes_nothing(store) -> None:
    journal = store.open().journal
    definition = build.chain(1, retry={"attempts": 2, "backoff": {"initial": "1s", "factor": 1, "max": "1s"}})
    sandbox = only_sandbox(await begin(journal, definition))
    failed = await journal.advance("uid-1", [build.failed("s0", sandbox)])
    assert failed.state.steps["s0"].attempt == 2
    late = await journal.advance("uid-1", [build.succeeded("s0", sandbox, attempt=1)])
    assert late.accepted == (False,)
    assert late.state == failed.state


async def test_polling_again_gives_the_same_attempt(store) -> None:
    journal = store.open().journal
    advance = await begin(journal, build.chain(2))
    again = await journal.advance("uid-1", claim=only_sandbox(advance))
    assert (again.step, again.events) == ("s0", ())


async def test_an_execution_begins_once(store) -> None:
    definition = build.chain(2)
    fact = build.created("uid-1", definition)
    processes = [store.open() for _ in range(4)]
    advances = await asyncio.gather(
        *(process.journal.advance("uid-1", [fact], definition=definition) for process in processes)
    )
    assert sorted(advance.accepted for advance in advances) == [(False,), (False,), (False,), (True,)]
    assert len({advance.state.seq for advance in advances}) == 1


async def test_what_is_unknown_is_said_to_be(store) -> None:
    journal = store.open().journal
    with pytest.raises(ExecutionUnknown):
        await journal.read("nobody")
    with pytest.raises(ExecutionUnknown):
        await journal.advance("nobody", claim="cx-1")
    with pytest.raises(ValueError, match="expected its definition"):
        await journal.advance("uid-1", [build.created("uid-1", build.chain(1))])
    with pytest.raises(ValueError, match="found a definition of digest"):
        await journal.advance("uid-1", [build.created("uid-1", build.chain(1))], definition=build.chain(2))
    with pytest.raises(ExecutionUnknown):
        await journal.read("uid-1")


async def test_a_rejected_execution_is_in_the_journal(store) -> None:
    journal = store.open().journal
    failure = Failure("WorkflowNotFound", "found no workflow flow")
    rejected = ev.Rejected("run", "team", "uid-1", "flow", failure)
    await journal.advance("uid-1", [rejected])
    state = await store.open().journal.read("uid-1")
    assert state.finished is not None
    assert state.finished.phase == "Failed"
    assert await journal.unfinished() == []


async def test_large_values_are_stored_by_digest_and_come_with_the_assignment(store) -> None:
    rows = [{"row": number, "text": "x" * 20} for number in range(100)]
    definition = build.definition(
        build.python_step("load"),
        build.python_step(
            "count", arguments={"rows": "${steps.load.output}", "first": "${steps.load.output[0]}"}
        ),
        outputs={"rows": "${steps.load.output}"},
    )
    journal = store.open().journal
    sandbox = only_sandbox(await begin(journal, definition))
    value, bodies = build.stored(rows)
    assert isinstance(value, Stored)
    fact = ev.AttemptSucceeded("load", 1, sandbox, value)
    with pytest.raises(ValueError, match=value.digest):
        await journal.advance("uid-1", [fact])
    advance = await journal.advance("uid-1", [fact], claim=sandbox, outputs=bodies)
    assert advance.step == "count"
    assert advance.values == {value.digest: rows}
    again = await store.open().journal.advance("uid-1", claim=sandbox)
    assert again.values == {value.digest: rows}
    done = await store.open().journal.advance("uid-1", [build.succeeded("count", sandbox, 100)])
    assert done.state.finished is not None
    outputs = done.state.finished.outputs
    assert isinstance(outputs, Stored)
    assert await journal.values("uid-1", [outputs.digest, "sha256:none"]) == {outputs.digest: {"rows": rows}}
    assert await journal.values("uid-2", [outputs.digest]) == {}


async def test_what_no_database_takes_does_not_get_there(store) -> None:
    journal = store.open().journal
    sandbox = only_sandbox(await begin(journal, build.chain(2)))
    with pytest.raises(InvalidValue, match=r"U\+0000"):
        await journal.advance("uid-1", [build.succeeded("s0", sandbox, {"a": "\0"})])
    with pytest.raises(InvalidValue, match="surrogate"):
        await journal.advance("uid-1", [build.succeeded("s0", sandbox, "\ud800")])
    failed = await journal.advance("uid-1", [build.failed("s0", sandbox, message="nul \0 and \udfff")])
    assert failed.state.steps["s0"].message == "nul \ufffd and \ufffd"
    assert await store.open().journal.read("uid-1") == failed.state


async def test_concurrent_advances_number_their_events_one_after_another(store) -> None:
    steps = [build.python_step(f"p{number}", needs=[]) for number in range(20)]
    definition = build.definition(*steps, parallelism=1)
    processes = [store.open() for _ in range(6)]
    first = await begin(processes[0].journal, definition)
    sandbox = only_sandbox(first)
    facts: list[ev.Event] = [ev.SuspendChanged(number % 2 == 0, number) for number in range(2, 32)]
    advances = await asyncio.gather(
        *(processes[number % 6].journal.advance("uid-1", [fact]) for number, fact in enumerate(facts))
    )
    ends = sorted(advance.state.seq for advance in advances if advance.events)
    assert len(set(ends)) == len(ends)
    last = max(advances, key=lambda advance: advance.state.seq).state
    appended = sum(len(advance.events) for advance in advances)
    assert last.seq == first.state.seq + appended
    assert await store.open().journal.read("uid-1") == last
    assert last.sandboxes[sandbox].step is not None


async def test_two_claimers_never_get_the_same_attempt(postgres_store) -> None:
    steps = [build.python_step(f"p{number}", needs=[], isolation="session") for number in range(12)]
    definition = build.definition(*steps, parallelism=4)
    one, other = postgres_store.open().journal, postgres_store.open().journal
    await one.advance("uid-1", [build.created("uid-1", definition)], definition=definition)
    while len((await one.read("uid-1")).sandboxes) < 4:
        await postgres_store.sql("UPDATE executions SET wake_at = 0")
        await one.due(10)
    names = list((await one.read("uid-1")).sandboxes)
    for name in names:
        await one.advance("uid-1", [ev.SandboxRegistered(name)])
    taken = await asyncio.gather(
        *(journal.advance("uid-1", claim=name) for name in names for journal in (one, other))
    )
    steps_of = {name: {a.step for a in taken[2 * i : 2 * i + 2]} for i, name in enumerate(names)}
    assert all(len(found) == 1 for found in steps_of.values())
    assert len(set.union(*steps_of.values())) == 4
    rows = await postgres_store.sql("SELECT count(*) FROM events WHERE kind = 'Assigned'")
    assert rows[0][0] == 4


async def test_an_aborted_transaction_leaves_nothing(sql_store, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = sql_store.open().journal
    advance = await begin(journal, build.chain(2))
    written = advancing.write

    async def crash(*arguments: Any) -> None:
        await written(*arguments)
        raise RuntimeError("the process dies here")

    with monkeypatch.context() as patched:
        patched.setattr(advancing, "write", crash)
        with pytest.raises(RuntimeError):
            await journal.advance("uid-1", [build.succeeded("s0", only_sandbox(advance))])
        with pytest.raises(RuntimeError):
            await journal.advance(
                "uid-2", [build.created("uid-2", build.chain(1))], definition=build.chain(1)
            )
    assert await journal.read("uid-1") == await sql_store.open().journal.read("uid-1") == advance.state
    assert await sql_store.sql("SELECT uid FROM executions") == [("uid-1",)]
    done = await journal.advance("uid-1", [build.succeeded("s0", only_sandbox(advance))])
    assert done.accepted == (True,)


async def test_an_advance_without_news_writes_nothing(postgres_store) -> None:
    journal = postgres_store.open().journal
    advance = await begin(journal, build.chain(2))
    versions = "SELECT xmin::text, ctid::text FROM executions"
    before = await postgres_store.sql(versions)
    for _ in range(3):
        await journal.advance("uid-1", [build.succeeded("s1", "cx-other")], claim=only_sandbox(advance))
    assert await postgres_store.sql(versions) == before


async def test_rows_say_what_the_log_says(sql_store) -> None:
    journal = sql_store.open().journal
    definition = build.chain(3)
    advance = await begin(journal, definition)
    sandbox = only_sandbox(advance)
    rows = await sql_store.sql(
        "SELECT phase, done, total, seq, namespace, workflow, finished_at FROM executions"
    )
    assert [tuple(row) for row in rows] == [("Running", 0, 3, advance.state.seq, "team", "flow", None)]
    await journal.advance("uid-1", [build.succeeded("s0", sandbox)], claim=sandbox)
    await journal.advance("uid-1", [build.failed("s1", sandbox)])
    found = await sql_store.sql("SELECT name, status, attempt, reason, message FROM steps ORDER BY position")
    assert [tuple(row) for row in found] == [
        ("s0", "Succeeded", 1, None, None),
        ("s1", "Failed", 1, "Error", "boom"),
        ("s2", "Pending", 0, None, None),
    ]
    rows = await sql_store.sql("SELECT phase, done, wake_at FROM executions")
    assert [tuple(row) for row in rows] == [("Failed", 2, None)]
    state = await journal.read("uid-1")
    log = await sql_store.sql("SELECT seq, kind FROM events WHERE uid = 'uid-1' ORDER BY seq")
    assert [row.seq for row in log] == list(range(1, state.seq + 1))


@pytest.mark.parametrize("looks", [True, False])
async def test_a_database_that_lost_commits_is_believed(postgres_store, looks: bool) -> None:
    journal = postgres_store.open().journal
    advance = await begin(journal, build.chain(3))
    sandbox = only_sandbox(advance)
    kept = advance.state.seq
    ahead = await journal.advance("uid-1", [build.succeeded("s0", sandbox, "lost")])
    # A standby takes over that had not got the last commit.
    await postgres_store.sql("DELETE FROM events WHERE seq > :kept", kept=kept)
    await postgres_store.sql(
        "UPDATE executions SET seq = :kept, changed_at = (SELECT max(at) FROM events)", kept=kept
    )
    if looks:
        assert await journal.read("uid-1") == advance.state
    other = postgres_store.open().journal
    again = await other.advance("uid-1", [build.succeeded("s0", sandbox, "kept")])
    assert again.state.seq == ahead.state.seq
    assert await journal.read("uid-1") == again.state
    await journal.advance("uid-1", claim=sandbox)
    assert (await journal.read("uid-1")).steps["s0"].output == Inline("kept")


async def test_times_of_a_log_never_go_back(sql_store) -> None:
    journal = sql_store.open().journal
    advance = await begin(journal, build.chain(2))
    await sql_store.sql("UPDATE executions SET changed_at = changed_at + 1000")
    later = await journal.advance("uid-1", [build.succeeded("s0", only_sandbox(advance))])
    times = [row[0] for row in await sql_store.sql("SELECT at FROM events ORDER BY seq")]
    assert times == sorted(times)
    assert (later.state.steps["s0"].finished_at or 0) > times[0] + 900


async def test_turns_and_inner_steps_have_rows_from_their_beginning(sql_store) -> None:
    definition = build.chain(1)
    inner = {"name": "g", "steps": [dict(definition["spec"]["steps"][0], name="x")], "output": "1"}
    again = dict(definition["spec"]["steps"][0], name="all", forEach={"items": [1, 2]}, needs=[])
    definition["spec"]["steps"] = [inner, again]
    journal = sql_store.open().journal
    await begin(journal, definition)
    found = await sql_store.sql("SELECT name, status FROM steps ORDER BY name")
    names = {row.name: row.status for row in found}
    assert names.keys() == {"g", "g.x", "all", "all[0]", "all[1]"}
    assert {names["g"], names["all"]} == {"Running"}
