"""`--archived`: executions whose objects are gone, as the api tells them."""

import json
from typing import Any

import pytest

from component.cli.conftest import Cli

STEP = {"name": "load", "status": "Succeeded", "attempt": 1, "startedAt": 1.0, "finishedAt": 2.0}


def archived(name: str, **status: Any) -> dict[str, Any]:
    at = "2026-01-01T00:00:00Z"
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": name, "namespace": "team", "uid": f"uid-{name}", "creationTimestamp": at},
        "spec": {"workflowRef": {"name": "sales"}},
        "status": {"phase": "Succeeded", "progress": {"text": "1/1"}, "startedAt": at, "finishedAt": at}
        | status,
    }


@pytest.fixture(autouse=True)
async def past(cli: Cli) -> None:
    await cli.execution("now", phase="Running")
    cli.citadel.archived = {
        "old": archived("old", outputs={"rows": 3}),
        "bad": archived("bad", phase="Failed"),
    }
    cli.citadel.steps = [STEP]


async def test_the_archive_is_listed_as_the_others_are(cli: Cli) -> None:
    code, out, err = await cli.run("get", "--archived")
    assert (code, err) == (0, "")
    header, first, second = out.splitlines()
    assert header.split() == ["NAME", "WORKFLOW", "PHASE", "REASON", "PROGRESS", "DURATION", "AGE"]
    assert first.split()[:4] == ["old", "sales", "Succeeded", "1/1"]
    assert second.split()[:3] == ["bad", "sales", "Failed"]
    _, out, _ = await cli.run("get", "--archived", "-o", "json")
    assert [item["metadata"]["name"] for item in json.loads(out)["items"]] == ["old", "bad"]


async def test_one_of_it_is_shown_with_its_steps_outputs_and_log(cli: Cli) -> None:
    cli.citadel.log = [
        {"step": "load", "attempt": 1, "n": 0, "stream": "stdout", "at": "", "text": "hello\n"}
    ]
    cli.citadel.outputs = {"big": True}
    code, out, err = await cli.run("get", "old", "--archived")
    assert (code, err) == (0, "")
    assert "load" in out
    assert '"rows": 3' in out
    assert (await cli.run("get", "old", "--archived", "--outputs"))[1] == '{\n  "rows": 3\n}\n'
    assert (await cli.run("get", "old", "--archived", "--outputs", "--step", "load"))[1] == (
        '{\n  "big": true\n}\n'
    )
    assert (await cli.run("logs", "old", "--archived"))[1] == "load | hello\n"
    code, _, err = await cli.run("connections", "old", "--archived")
    assert (code, err) == (0, "execution old has opened no connections\n")


@pytest.mark.parametrize("command", [("get",), ("get", "--outputs"), ("logs",), ("connections",)])
async def test_what_has_its_object_is_not_of_the_archive(cli: Cli, command: tuple[str, ...]) -> None:
    code, _, err = await cli.run(*command, "now", "--archived")
    assert (code, err) == (2, "citadel: Execution now is not in the archive of namespace team\n")


async def test_more_than_one_answer_has_is_told(cli: Cli) -> None:
    cli.citadel.archived["third"] = archived("third")
    assert (await cli.run("get", "--archived"))[2] == "citadel: only the newest 3 are shown\n"


async def test_the_archive_is_of_one_namespace(cli: Cli) -> None:
    code, _, err = await cli.run("get", "--archived", "-A")
    assert code == 2
    assert "leave out --all-namespaces" in err
