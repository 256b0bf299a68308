"""`citadel run` in a cluster: what it creates, what it refuses, and how it ends."""

import asyncio
import re
from typing import Any

import pytest

from component.cli.conftest import NAMESPACE, Cli

WORKFLOW = """
apiVersion: citadel.dev/v1alpha1
kind: Workflow
metadata: {name: sales}
spec:
  inputs: {type: object, properties: {region: {type: string}, limit: {type: integer}}}
  steps:
  - name: load
    run: {runtime: python, code: "def main(): return 1"}
"""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["region"],
    "properties": {"region": {"type": "string"}, "limit": {"type": "integer"}},
}


async def test_a_workflow_of_the_cluster_is_run_with_typed_inputs_under_a_readable_name(cli: Cli) -> None:
    await cli.workflow("sales", SCHEMA)
    code, out, err = await cli.run("run", "sales", "-i", "region=007", "-i", "limit=10")
    (execution,) = cli.objects("executions")
    assert re.fullmatch(r"sales-[a-z0-9]{5}", execution["metadata"]["name"])
    assert execution["spec"] == {
        "workflowRef": {"name": "sales"},
        "inputs": {"region": "007", "limit": 10},
    }
    assert (code, out, err) == (0, f"execution.citadel.dev/{execution['metadata']['name']} created\n", "")


async def test_a_file_is_applied_before_it_is_run(cli: Cli) -> None:
    (cli.folder / "sales.yaml").write_text(WORKFLOW)
    code, _, err = await cli.run("run", str(cli.folder / "sales.yaml"), "--name", "first", "-i", "region=x")
    assert (code, err) == (0, "")
    (workflow,) = cli.objects("workflows")
    assert workflow["spec"]["steps"][0]["name"] == "load"
    assert [item["metadata"]["name"] for item in cli.objects("executions")] == ["first"]
    applied = [query for method, _, query in cli.api.requests if method == "PATCH"]
    assert applied == [{"fieldManager": "citadel-cli", "force": "false"}]


async def test_an_execution_in_the_file_gives_inputs_that_the_command_line_overrides(cli: Cli) -> None:
    text = f"""{WORKFLOW}---
apiVersion: citadel.dev/v1alpha1
kind: Execution
metadata: {{name: sales-1}}
spec: {{workflowRef: {{name: sales}}, inputs: {{region: emea, limit: 5}}}}
"""
    code, _, err = await cli.run("run", "-", "-i", "limit=6", stdin=text)
    assert (code, err) == (0, "")
    (execution,) = cli.objects("executions")
    assert execution["spec"]["inputs"] == {"region": "emea", "limit": 6}


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["nope"], 2, "citadel: Workflow nope does not exist in namespace team"),
        (["sales"], 2, "citadel: inputs.region: found nothing, expected a value: it is required"),
        (["sales", "-i", "region=x", "-i", "limit=ten"], 2, 'inputs.limit: found "ten", expected integer'),
        (["sales", "-i", "region=x", "-i", "regoin=y"], 2, "inputs.regoin: found an input that is not"),
        (["sales", "-i", "region"], 2, "found 'region', expected name=value or name:=JSON"),
        (
            ["sales", "-i", "region=x", "--name", "taken"],
            2,
            "Execution taken exists already in namespace team",
        ),
        (["sales", "-i", "region=x", "--name", "Not_OK"], 2, "Execution: found 'Not_OK', expected a name"),
        (["./no/such.yaml"], 2, "no/such.yaml: No such file"),
    ],
)
async def test_what_is_wrong_is_said_in_a_line_and_nothing_is_created(
    cli: Cli, args: list[str], code: int, told: str
) -> None:
    await cli.workflow("sales", SCHEMA)
    await cli.execution("taken")
    found, out, err = await cli.run("run", *args)
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err
    assert len(cli.objects("executions")) == 1


async def test_what_is_wrong_in_a_file_is_said_with_line_and_column(cli: Cli) -> None:
    code, _, err = await cli.run("run", "-", stdin=WORKFLOW.replace("runtime: python", "runtimes: python"))
    assert code == 2
    assert re.search(r"^citadel: -:\d+:\d+: spec\.steps\[0\]\.run", err, re.MULTILINE), err
    assert not cli.api.objects.keys() & {f"{NAMESPACE}/workflows/sales"}


async def test_a_name_that_is_taken_is_drawn_again(cli: Cli) -> None:
    from component.kube.fakeapi import Fault

    await cli.workflow("sales")
    taken = {"reason": "AlreadyExists", "message": "exists"}
    cli.api.faults.append(Fault("POST", 409, body=taken))
    code, _, err = await cli.run("run", "sales")
    assert (code, err) == (0, "")
    assert len(cli.objects("executions")) == 1


async def ends(cli: Cli, **status: Any) -> None:
    """Plays the controller: the one Execution runs, then ends so."""
    await cli.api.watched()
    (execution,) = cli.objects("executions")
    path = f"{NAMESPACE}/executions/{execution['metadata']['name']}"
    await cli.api.change("MODIFIED", path, {**execution, "status": {"phase": "Running"}})
    cli.citadel.steps = [{"name": "load", "status": "Succeeded", "attempt": 1}]
    await cli.api.change("MODIFIED", path, {**execution, "status": status})


async def test_waiting_ends_with_the_execution_and_prints_outputs_alone_on_stdout(cli: Cli) -> None:
    await cli.workflow("sales")
    player = asyncio.create_task(ends(cli, phase="Succeeded", outputs={"rows": 3}))
    code, out, err = await cli.run("run", "sales", "--wait", "--name", "s1")
    await player
    assert (code, out) == (0, '{\n  "rows": 3\n}\n')
    assert err.splitlines()[0] == "execution.citadel.dev/s1 created"
    assert "load  Succeeded" in err.splitlines()
    assert err.splitlines()[-1] == "s1  Succeeded  1/1  1.5s"
    assert not cli.forwarding


async def test_waiting_for_one_that_fails_ends_with_1_and_says_why(cli: Cli) -> None:
    await cli.workflow("sales")
    player = asyncio.create_task(ends(cli, phase="Failed", reason="Error", message="step load: no\nrows"))
    code, out, err = await cli.run("run", "sales", "--wait")
    await player
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].endswith("Failed  1/1  1.5s: step load: no rows")


async def test_without_a_right_to_forward_ports_waiting_works_from_the_status(cli: Cli) -> None:
    await cli.workflow("sales")
    cli.refuse("error: jane cannot create pods/portforward")
    progress = {"done": 1, "total": 1, "text": "1/1"}
    player = asyncio.create_task(ends(cli, phase="Succeeded", outputs={}, progress=progress))
    code, out, err = await cli.run("run", "sales", "--wait")
    await player
    assert (code, out) == (0, "{}\n")
    assert "only steps that the status names are shown" in err
    assert "jane cannot create pods/portforward" in err


async def test_one_that_is_deleted_while_waited_for_ends_with_1(cli: Cli) -> None:
    await cli.workflow("sales")

    async def deleted() -> None:
        await cli.api.watched()
        (execution,) = cli.objects("executions")
        path = f"{NAMESPACE}/executions/{execution['metadata']['name']}"
        await cli.api.change("DELETED", path, execution)

    player = asyncio.create_task(deleted())
    code, _, err = await cli.run("run", "sales", "--wait", "--name", "s1")
    await player
    assert code == 1
    assert err.splitlines()[-1] == "citadel: execution s1 was deleted before it ended"


async def test_one_that_goes_as_soon_as_it_has_ended_is_shown_all_the_same(cli: Cli) -> None:
    await cli.workflow("sales")

    async def ends_and_goes() -> None:
        await ends(cli, phase="Succeeded", outputs={"rows": 3})
        (execution,) = cli.objects("executions")
        await cli.api.change("DELETED", f"{NAMESPACE}/executions/s1", execution)

    player = asyncio.create_task(ends_and_goes())
    code, out, err = await cli.run("run", "sales", "--wait", "--name", "s1")
    await player
    assert (code, out) == (0, '{\n  "rows": 3\n}\n')
    assert err.splitlines()[-1].startswith("s1  Succeeded")


async def test_logs_go_to_stdout_before_the_outputs(cli: Cli) -> None:
    await cli.workflow("sales")
    cli.citadel.log = [{"step": "load", "attempt": 1, "n": 0, "stream": "stdout", "at": "", "text": "hi\n"}]
    player = asyncio.create_task(ends(cli, phase="Succeeded", outputs={"a": 1}))
    code, out, _ = await cli.run("run", "sales", "--logs")
    await player
    assert (code, out) == (0, 'load | hi\n{\n  "a": 1\n}\n')


async def test_a_trigger_is_started_by_hand_with_what_it_says(cli: Cli) -> None:
    spec = {
        "workflowRef": {"name": "sales"},
        "inputs": {"at": "${trigger.scheduledTime}", "by": "${trigger.name}"},
        "cron": {"schedule": "@daily"},
        "suspend": True,
    }
    await cli.put("Trigger", "triggers", "nightly", spec, {})
    code, out, err = await cli.run("trigger", "nightly")
    assert (code, err) == (0, "")
    (made,) = cli.objects("executions")
    metadata = made["metadata"]
    assert out == f"execution.citadel.dev/{metadata['name']} created\n"
    assert metadata["name"].startswith("nightly-manual-")
    assert metadata["labels"] == {"citadel.dev/trigger": "nightly"}
    at = metadata["annotations"].pop("citadel.dev/scheduled-time")
    assert metadata["annotations"] == {"citadel.dev/instantiate": "manual"}
    assert made["spec"] == {"workflowRef": {"name": "sales"}, "inputs": {"at": at, "by": "nightly"}}


@pytest.mark.parametrize(
    ("schedule", "name", "message"),
    [
        ("@daily", "other", "Trigger other does not exist in namespace team"),
        ("61 * * * *", "nightly", "Trigger nightly: spec.cron.schedule: found '61' as minute"),
    ],
)
async def test_a_trigger_that_cannot_be_started_is_told(
    cli: Cli, schedule: str, name: str, message: str
) -> None:
    spec = {"workflowRef": {"name": "sales"}, "cron": {"schedule": schedule}}
    await cli.put("Trigger", "triggers", "nightly", spec, {})
    code, _, err = await cli.run("trigger", name)
    assert code == 2
    assert message in err
    assert cli.objects("executions") == []
