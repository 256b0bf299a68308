"""`citadel history`, `diff` and `run --revision`: what ran before, and what has changed since."""

from typing import Any

import pytest

from component.cli.conftest import Cli

OLD = "1a" * 32
NEW = "2b" * 32


def document(code: str, image: str = "python:1") -> dict[str, Any]:
    run = {"runtime": "python", "code": code}
    inputs = {"type": "object", "properties": {"rows": {"type": "integer"}}}
    return {
        "spec": {"inputs": inputs, "steps": [{"name": "load", "run": run}]},
        "runtimes": {"python": {"image": image}},
        "code": {},
    }


@pytest.fixture
async def past(cli: Cli) -> Cli:
    """A workflow that ran by two revisions, and has changed since."""
    cli.citadel.revisions = {
        NEW: document("def main():\n    return 2\n", image="python:2"),
        OLD: document("def main():\n    return 1\n"),
    }
    spec = document("def main():\n    return 3\n")["spec"]
    await cli.put("Workflow", "workflows", "sales", spec, {})
    return cli


async def test_revisions_are_listed(past: Cli) -> None:
    code, out, err = await past.run("history", "sales")
    assert (code, err) == (0, "")
    header, first, second = out.splitlines()
    assert header.split("   ")[0] == "REVISION"
    assert first.split() == ["2b2b2b2b2b2b", *first.split()[1:5], "3"]
    assert second.startswith("1a1a1a1a1a1a   1970-01-")


async def test_a_workflow_that_never_ran_says_so(cli: Cli) -> None:
    told = "no execution of Workflow sales that the journal knows has started\n"
    assert await cli.run("history", "sales") == (0, "", told)
    code, _, err = await cli.run("diff", "sales")
    assert (code, err) == (2, "citadel: Workflow sales: no execution that the journal knows has started\n")


async def test_two_revisions_differ_line_by_line_in_code_and_runtimes(past: Cli) -> None:
    code, out, err = await past.run("diff", "sales", "1a1a1a1a", "2b2b2b2b")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[:2] == ["--- sales 1a1a1a1a1a1a", "+++ sales 2b2b2b2b2b2b"]
    changed = [line for line in lines[2:] if line[0] in "+-"]
    assert changed == [
        "-    image: python:1",
        "+    image: python:2",
        "-            return 1",
        "+            return 2",
    ]


@pytest.mark.parametrize(("given", "before"), [([], "2"), (["1a1a1a1a"], "1")], ids=["the last", "one"])
async def test_a_revision_is_compared_with_the_workflow_of_now(
    past: Cli, given: list[str], before: str
) -> None:
    code, out, _ = await past.run("diff", "sales", *given)
    assert code == 1
    changed = [line.strip("+- ") for line in out.splitlines() if line[0] in "+-"]
    assert changed[1:] == ["sales now", f"return {before}", "return 3"]


async def test_what_is_the_same_prints_nothing(past: Cli) -> None:
    assert await past.run("diff", "sales", "1a1a1a1a", "1a1a1a1a1a") == (0, "", "")


async def test_an_unknown_revision_is_refused_by_the_api_in_its_words(past: Cli) -> None:
    code, _, err = await past.run("diff", "sales", "99999999")
    assert (code, err) == (2, "citadel: Workflow sales: found no execution that ran by revision 99999999\n")
    code, _, err = await past.run("run", "sales", "--revision", "99999999")
    assert (code, err) == (2, "citadel: Workflow sales: found no execution that ran by revision 99999999\n")
    assert past.objects("executions") == []


async def test_a_run_names_the_revision_and_its_inputs_are_checked_by_it(past: Cli) -> None:
    code, out, err = await past.run("run", "sales", "--revision", "1a1a1a1a", "-i", "rows=3", "--name", "x")
    assert (code, out) == (0, "execution.citadel.dev/x created\n"), err
    (made,) = past.objects("executions")
    assert made["spec"] == {"workflowRef": {"name": "sales", "revision": "1a1a1a1a"}, "inputs": {"rows": 3}}
    code, _, err = await past.run("run", "sales", "--revision", "1a1a1a1a", "-i", "lines=3")
    assert code == 2
    assert "lines" in err


@pytest.mark.parametrize("words", [["./flow.yaml"], ["--local", "flow.yaml"]], ids=["file", "local"])
async def test_a_file_has_no_revisions(cli: Cli, words: list[str]) -> None:
    code, _, err = await cli.run("run", *words, "--revision", "1a1a1a1a")
    assert code == 2
    assert "--revision is of a workflow in the cluster" in err


async def test_an_execution_shows_its_revision(cli: Cli) -> None:
    await cli.execution("sales-1", phase="Succeeded", definition=f"sha256:{OLD}")
    _, out, _ = await cli.run("get", "sales-1")
    assert "\nworkflow sales, revision 1a1a1a1a1a1a\n" in out
