"""`citadel get`, `logs`, `cancel`, `suspend`, `resume`: what they show and change, what stands in the way."""

import json
from typing import Any

import pytest

from component.cli.conftest import NAMESPACE, Cli


def chunk(n: int, text: str, step: str = "load") -> dict[str, Any]:
    return {
        "step": step,
        "attempt": 1,
        "n": n,
        "stream": "stdout",
        "at": "2026-01-01T00:00:00Z",
        "text": text,
    }


async def test_executions_are_listed_as_columns(cli: Cli) -> None:
    await cli.execution("sales-1", phase="Running", reason="Running", progress={"text": "1/4"})
    code, out, err = await cli.run("get")
    assert (code, err) == (0, "")
    header, row = out.splitlines()
    assert header.split() == ["NAME", "WORKFLOW", "PHASE", "REASON", "PROGRESS", "DURATION", "AGE"]
    assert row.split()[:5] == ["sales-1", "sales", "Running", "Running", "1/4"]


async def test_none_are_said_on_stderr(cli: Cli) -> None:
    assert await cli.run("get") == (0, "", "There are no executions in namespace team.\n")


async def test_one_is_shown_with_all_its_steps_and_outputs(cli: Cli) -> None:
    await cli.execution("sales-1", phase="Succeeded", reason="Completed", outputs={"rows": 3})
    cli.citadel.steps = [
        {"name": f"s{i}", "status": "Succeeded", "attempt": 1, "startedAt": 1.0, "finishedAt": 1.3}
        for i in range(30)
    ]
    code, out, err = await cli.run("get", "sales-1")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "✔ sales-1  Succeeded  30/30  1.5s"
    assert lines[1].split() == ["├─", "✔", "s0", "Succeeded", "0.3s"]
    assert lines[30].split()[:3] == ["└─", "✔", "s29"]
    assert lines[32:] == ["outputs:", "  {", '    "rows": 3', "  }"]
    assert cli.citadel.authorizations == {"Bearer janes-token"}
    assert not cli.forwarding


async def test_json_of_one_is_the_object_with_every_step(cli: Cli) -> None:
    await cli.execution("sales-1", phase="Succeeded", steps=[])
    cli.citadel.steps = [{"name": "a", "status": "Succeeded", "attempt": 1, "reason": None, "startedAt": 1.5}]
    _, out, _ = await cli.run("get", "sales-1", "-o", "json")
    found = json.loads(out)
    assert (found["kind"], found["status"]["phase"]) == ("Execution", "Succeeded")
    expected = {"name": "a", "status": "Succeeded", "attempt": 1, "startedAt": "1970-01-01T00:00:01.500Z"}
    assert found["status"]["steps"] == [expected]


async def test_json_of_all_is_a_list(cli: Cli) -> None:
    await cli.execution("sales-1")
    _, out, _ = await cli.run("get", "-o", "json")
    assert [item["metadata"]["name"] for item in json.loads(out)["items"]] == ["sales-1"]


async def test_those_that_wait_for_their_turn_are_shown_with_their_places(cli: Cli) -> None:
    await cli.execution("a", phase="Running", reason="Running")
    assert "ConcurrencyLimit" not in (await cli.run("get"))[1]
    assert cli.kubectl == []
    await cli.execution("b", phase="Pending", reason="ConcurrencyLimit")
    assert "ConcurrencyLimit 2/5  " in (await cli.run("get"))[1]


async def test_small_outputs_need_no_tunnel_and_large_ones_come_in_full(cli: Cli) -> None:
    await cli.execution("small", phase="Succeeded", outputs={"a": 1})
    await cli.execution("large", phase="Succeeded", largeOutputs={"digest": "sha256:x", "size": 90_000})
    cli.citadel.outputs = {"rows": ["x" * 100] * 900}
    assert await cli.run("get", "small", "--outputs") == (0, '{\n  "a": 1\n}\n', "")
    assert cli.kubectl == []
    code, out, _ = await cli.run("get", "large", "--outputs")
    assert (code, json.loads(out)) == (0, cli.citadel.outputs)


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        ({"phase": "Running"}, 2, "execution e has not ended (Running): it has no outputs yet"),
        ({"phase": "Failed", "message": "step a: no"}, 1, "execution e has no outputs: Failed: step a: no"),
    ],
)
async def test_outputs_that_are_not_there_are_explained(
    cli: Cli, status: dict[str, Any], code: int, told: str
) -> None:
    await cli.execution("e", None, **status)
    assert await cli.run("get", "e", "--outputs") == (code, "", f"citadel: {told}\n")


async def test_logs_survive_a_broken_connection_without_repetition(cli: Cli) -> None:
    await cli.execution("e", phase="Running")
    cli.citadel.log = [chunk(0, "one\ntw"), chunk(1, "o\n"), chunk(0, "other\n", "b")]
    cli.citadel.cut = 2
    code, out, err = await cli.run("logs", "-f", "e")
    assert (code, out, err) == (0, "load | one\nload | two\nb | other\n", "")
    assert len(cli.kubectl) == 2
    assert not cli.forwarding


async def test_the_tunnel_goes_to_the_api_of_the_release_that_is_named(cli: Cli) -> None:
    await cli.execution("e", phase="Succeeded")
    code, _, err = await cli.run("logs", "e", "--system-namespace", "tools", "--release", "c2")
    told = "execution e has printed nothing; `citadel get e` shows what it does, or took over\n"
    assert (code, err) == (0, told)
    assert cli.kubectl == ["port-forward --namespace=tools --address=127.0.0.1 pod/c2-api-0 :8443"]


async def test_a_server_that_is_not_citadels_gets_no_token(cli: Cli) -> None:
    await cli.execution("e", phase="Succeeded")
    path = "/api/v1/namespaces/citadel-system/configmaps/citadel-ca"
    from datetime import UTC, datetime

    from citadel.controller.certificates import new_authority

    other = new_authority("other", datetime.now(UTC)).certificate.decode()
    await cli.api.change("MODIFIED", path, {**cli.api.objects[path], "data": {"ca.crt": other}})
    code, out, err = await cli.run("get", "e")
    assert (code, cli.citadel.authorizations) == (0, set())
    assert "certificate" in err
    assert "e  Succeeded" in out


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (
            401,
            "expected a bearer token",
            "the api does not know the kubeconfig's user: expected a bearer token",
        ),
        (
            403,
            "user jane may not get executions/log in namespace team",
            "user jane may not get executions/log",
        ),
    ],
)
async def test_what_the_api_refuses_is_said(cli: Cli, status: int, text: str, told: str) -> None:
    await cli.execution("e", phase="Running")
    cli.citadel.status, cli.citadel.text = status, text
    code, out, err = await cli.run("logs", "e")
    assert (code, out) == (3, "")
    assert err.startswith(f"citadel: {told}")


async def test_without_a_tunnel_logs_say_why(cli: Cli) -> None:
    await cli.execution("e", phase="Running")
    cli.refuse('Error from server (NotFound): pods "citadel-api-0" not found')
    code, _, err = await cli.run("logs", "e")
    assert code == 3
    expected = 'Error from server (NotFound): pods "citadel-api-0" not found'
    pod = "pod citadel-api-0 of namespace citadel-system"
    assert err == f"citadel: no connection to the api, {pod}: {expected}\n"


async def test_one_that_the_journal_does_not_know_has_no_log_however_long_one_waits(cli: Cli) -> None:
    await cli.execution("e", phase="Failed", reason="JournalLost", message="it does not run again")
    cli.citadel.status, cli.citadel.text = 404, "Execution e has not started"
    code, out, err = await cli.run("logs", "-f", "e")
    assert (code, out) == (2, "")
    why = "the journal does not know it (Failed: it does not run again)"
    assert err == f"citadel: execution e has no log: {why}\n"


async def test_one_that_does_not_exist_is_said(cli: Cli) -> None:
    for command in ("get", "logs", "cancel", "suspend", "resume"):
        code, out, err = await cli.run(command, "nope")
        assert (code, out) == (2, "")
        assert err.startswith("citadel: Execution nope does not exist in namespace team"), command


async def test_a_cluster_that_is_away_or_refuses_ends_with_3(cli: Cli) -> None:
    cli.api.forbidden.add(f"{NAMESPACE}/executions")
    code, _, err = await cli.run("get")
    assert (code, err.count("\n")) == (3, 1)
    assert err.startswith("citadel: the cluster refused: no right to")
    config = cli.folder / "config"
    config.write_text(config.read_text().replace(cli.api.url, "http://127.0.0.1:1"))
    code, _, err = await cli.run("get")
    assert (code, err.count("\n")) == (3, 1)
    assert err.startswith("citadel: the cluster cannot be reached")
    code, _, err = await cli.run("get", "--context", "other")
    assert (code, err.count("\n")) == (3, 1)
    assert "no context 'other'" in err


@pytest.mark.parametrize(
    ("command", "before", "after", "told"),
    [
        (["cancel"], {}, {"stop": "Cancel"}, "execution e is being cancelled"),
        (["cancel", "--now"], {}, {"stop": "Terminate"}, "execution e ends now"),
        (["cancel", "--now"], {"stop": "Cancel"}, {"stop": "Terminate"}, "execution e ends now"),
        (
            ["cancel"],
            {"stop": "Terminate"},
            {"stop": "Terminate"},
            "already being ended (spec.stop is Terminate)",
        ),
        (["suspend"], {}, {"suspend": True}, "execution e suspended"),
        (["suspend"], {"suspend": True}, {"suspend": True}, "execution e is already suspended"),
        (["resume"], {"suspend": True}, {"suspend": False}, "execution e resumed"),
        (["resume"], {}, {}, "execution e is not suspended"),
    ],
)
async def test_what_is_asked_of_a_running_execution_stands_in_its_spec(
    cli: Cli, command: list[str], before: dict[str, Any], after: dict[str, Any], told: str
) -> None:
    await cli.execution("e", {"workflowRef": {"name": "sales"}, **before}, phase="Running")
    code, out, err = await cli.run(*command, "e")
    assert code == 0
    assert told in out + err
    (found,) = cli.objects("executions")
    assert found["spec"] == {"workflowRef": {"name": "sales"}, **after}


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("cancel", 0, "execution e has already ended: Succeeded; there is nothing to cancel"),
        ("suspend", 2, "citadel: execution e has already ended: Succeeded; it cannot be suspended"),
        ("resume", 2, "citadel: execution e has already ended: Succeeded; it cannot be resumed"),
    ],
)
async def test_nothing_is_asked_of_one_that_has_ended(cli: Cli, command: str, code: int, told: str) -> None:
    await cli.execution("e", phase="Succeeded")
    assert await cli.run(command, "e") == (code, "", f"{told}\n")
    assert not [method for method, _, _ in cli.api.requests if method == "PATCH"]


async def test_connections_are_shown_as_columns_and_as_they_are(cli: Cli) -> None:
    await cli.execution("sales-1", phase="Running")
    assert await cli.run("connections", "sales-1") == (0, "", "execution sales-1 has opened no connections\n")
    opened = {"step": "load", "attempt": 1, "at": 5.0, "host": "api.example.com", "port": 443}
    allowed = {**opened, "address": "93.184.216.34", "verdict": "allowed", "reason": ""}
    refused = {**opened, "address": "", "verdict": "refused", "reason": "not now\x1b[2J"}
    cli.citadel.connections = [
        {**allowed, "sent": 7, "received": 9, "seconds": 1.5},
        {**refused, "sent": 0, "received": 0, "seconds": 0.0},
        {**allowed, "sent": 1, "received": 0, "seconds": None},
    ]
    code, out, err = await cli.run("connections", "sales-1")
    assert (code, err) == (0, "")
    header, *rows = (line.split()[1:] for line in out.splitlines())
    assert header == ["STEP", "DESTINATION", "ADDRESS", "VERDICT", "SENT", "RECEIVED", "DURATION", "REASON"]
    start = ["load/1", "api.example.com:443"]
    assert rows[0] == [*start, "93.184.216.34", "allowed", "7", "9", "1.5s"]
    assert rows[1][:7] == [*start, "-", "refused", "-", "-", "-"]
    assert rows[2] == [*start, "93.184.216.34", "allowed", "1", "0", "open"]
    assert "\x1b" not in out
    _, told, _ = await cli.run("connections", "sales-1", "-o", "json")
    assert json.loads(told) == cli.citadel.connections
