"""`citadel rerun`: what it creates, and what it refuses before anything is created."""

from typing import Any

import pytest

from component.cli.conftest import Cli

DIGEST = "1a" * 32
INPUTS = {"type": "object", "properties": {"rows": {"type": "integer"}}}
STEPS = [{"name": "load", "run": {"runtime": "python", "code": "def main(): pass"}}]
ENDED = {"phase": "Failed", "definition": f"sha256:{DIGEST}"}


@pytest.fixture
async def past(cli: Cli) -> Cli:
    """An execution that failed, of a workflow whose inputs have changed since."""
    document = {"spec": {"inputs": INPUTS, "steps": STEPS}, "runtimes": {}, "code": {}}
    cli.citadel.revisions = {DIGEST: document}
    await cli.put("Workflow", "workflows", "sales", {"steps": STEPS}, {})
    await cli.put("Execution", "executions", "sales-1", {"workflowRef": {"name": "sales"}}, ENDED)
    return cli


def made(cli: Cli) -> dict[str, Any]:
    (found,) = (item for item in cli.objects("executions") if item["metadata"]["name"] == "again")
    return found["spec"]


@pytest.mark.parametrize(
    ("given", "of"),
    [
        ([], {"definition": "pinned"}),
        (["--failed"], {"definition": "pinned", "failed": True}),
        (
            ["--from", "fix[2].write", "--definition", "current"],
            {"definition": "current", "from": "fix[2].write"},
        ),
    ],
)
async def test_an_execution_names_the_one_before_it_and_where_to_begin(
    past: Cli, given: list[str], of: dict[str, Any]
) -> None:
    code, out, err = await past.run("rerun", "sales-1", "--name", "again", *given)
    assert (code, out) == (0, "execution.citadel.dev/again created\n"), err
    (old,) = (item for item in past.objects("executions") if item["metadata"]["name"] == "sales-1")
    assert made(past) == {
        "workflowRef": {"name": "sales"},
        "rerunOf": {"name": "sales-1", "uid": old["metadata"]["uid"], **of},
    }


async def test_texts_become_what_the_definition_wants_by_which_it_will_run(past: Cli) -> None:
    await past.run("rerun", "sales-1", "--name", "again", "-i", "rows=3")
    assert made(past)["inputs"] == {"rows": 3}


async def test_one_point_at_most(past: Cli) -> None:
    code, _, err = await past.run("rerun", "sales-1", "--failed", "--from", "load")
    assert code == 2
    assert "expected one of --failed and --from, found both" in err


async def test_one_that_runs_is_not_run_again(past: Cli) -> None:
    await past.put(
        "Execution", "executions", "sales-2", {"workflowRef": {"name": "sales"}}, {"phase": "Running"}
    )
    code, _, err = await past.run("rerun", "sales-2", "--failed")
    assert (code, err) == (
        2,
        "citadel: execution sales-2 has not ended (Running): it can be rerun when it has\n",
    )


async def test_one_of_the_archive_is_named_by_its_uid(past: Cli) -> None:
    metadata = {"name": "old", "namespace": "team", "uid": "uid-of-old"}
    past.citadel.archived["old"] = {
        "metadata": metadata,
        "spec": {"workflowRef": {"name": "sales"}},
        "status": ENDED,
    }
    code, _, err = await past.run("rerun", "old", "--archived", "--failed", "--name", "again")
    assert code == 0, err
    assert made(past)["rerunOf"]["uid"] == "uid-of-old"


async def test_a_rerun_says_of_what(past: Cli) -> None:
    spec = {"workflowRef": {"name": "sales"}, "rerunOf": {"name": "sales-1", "failed": True}}
    await past.put("Execution", "executions", "sales-2", spec, ENDED)
    _, out, _ = await past.run("get", "sales-2")
    assert "\nworkflow sales, revision 1a1a1a1a1a1a, a rerun of sales-1\n" in out


async def test_a_run_without_cache_says_so(past: Cli) -> None:
    code, _, err = await past.run("run", "sales", "--no-cache", "--name", "again")
    assert code == 0, err
    assert made(past) == {"workflowRef": {"name": "sales"}, "noCache": True}


async def test_a_rerun_without_cache_says_so(past: Cli) -> None:
    code, _, err = await past.run("rerun", "sales-1", "--no-cache", "--name", "again")
    assert code == 0, err
    assert made(past)["noCache"] is True
