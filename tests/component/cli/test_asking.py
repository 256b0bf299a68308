"""`citadel approvals`, `approve`, `reject` and `signal`: what is shown, what is written, what is refused."""

import json
from typing import Any

import pytest

from component.cli.conftest import NAMESPACE, Cli
from component.kube.fakeapi import Fault

FORM = {
    "type": "object",
    "required": ["limit"],
    "properties": {"limit": {"type": "integer"}, "currency": {"type": "string", "default": "EUR"}},
}


async def asks(cli: Cli, step: str = "ok", execution: str = "sales-1", **spec: Any) -> str:
    """An Approval in the cluster; its name."""
    name = f"{execution}-{step}"
    asked = {
        "executionRef": {"name": execution, "uid": "uid-1"},
        "step": step,
        "shown": {"total": 5},
        "approvers": {"users": ["jane"], "groups": ["finance"]},
        "reasonRequired": False,
        "digest": f"sha256:{step}",
        **spec,
    }
    await cli.put("Approval", "approvals", name, asked, {"phase": "Pending"})
    return name


def decision(cli: Cli, name: str) -> Any:
    return cli.api.objects[f"{NAMESPACE}/approvals/{name}"]["spec"].get("decision")


def known_as(cli: Cli, user: str) -> None:
    """The API server says that this is who asks."""
    cli.api.faults.append(Fault("POST", 201, body={"status": {"userInfo": {"username": user}}}))


async def test_what_waits_is_listed_and_what_is_decided_is_not(cli: Cli) -> None:
    await asks(cli, "fix[2].ok", deadline="2030-01-01T00:00:00Z")
    await asks(cli, "done", decision={"by": "jane", "approve": True, "digest": "x"})
    code, out, err = await cli.run("approvals")
    assert (code, err) == (0, "")
    header, row = out.splitlines()
    assert header.split() == ["EXECUTION", "STEP", "APPROVERS", "DEADLINE", "AGE"]
    assert row.split()[:6] == ["sales-1", "fix[2].ok", "jane,", "group", "finance", "2030-01-01T00:00:00Z"]


async def test_nothing_that_waits_is_said_on_stderr(cli: Cli) -> None:
    assert await cli.run("approvals") == (0, "", "Nothing waits for a decision in namespace team.\n")


async def test_all_that_is_asked_is_shown(cli: Cli) -> None:
    await asks(cli, form=FORM, reasonRequired=True)
    await asks(cli, execution="other")
    code, out, _ = await cli.run("approvals", "sales-1")
    assert code == 0
    assert out.startswith("step ok of execution sales-1 asks jane, group finance\nshown:\n  {\n")
    assert '    "total": 5' in out
    assert "form to fill in (JSON Schema):" in out
    assert "a reason is required" in out
    assert "other" not in out


async def test_an_execution_tells_what_it_waits_for(cli: Cli) -> None:
    await cli.execution("sales-1", phase="Waiting", reason="WaitingForApproval")
    await asks(cli, "fix[2].ok")
    _, out, _ = await cli.run("get", "sales-1")
    assert "step fix[2].ok waits for a decision by jane, group finance" in out
    assert "`citadel approve sales-1 'fix[2].ok'`" in out


async def test_a_decision_is_in_the_name_of_who_decides_and_repeats_the_digest(cli: Cli) -> None:
    name = await asks(cli)
    known_as(cli, "jane")
    code, out, err = await cli.run("approve", "sales-1", "--reason", "fine")
    assert (code, err) == (0, "")
    assert out == "step ok of execution sales-1 approved by jane\n"
    assert decision(cli, name) == {"by": "jane", "approve": True, "reason": "fine", "digest": "sha256:ok"}


async def test_a_rejection_needs_no_form(cli: Cli) -> None:
    name = await asks(cli, form=FORM)
    known_as(cli, "jane")
    assert (await cli.run("reject", "sales-1", "ok"))[1] == (
        "step ok of execution sales-1 rejected by jane\n"
    )
    assert decision(cli, name)["approve"] is False


@pytest.mark.parametrize("by_file", [False, True])
async def test_a_form_is_filled_in_with_the_types_and_defaults_that_it_wants(cli: Cli, by_file: bool) -> None:
    name = await asks(cli, form=FORM)
    known_as(cli, "jane")
    given = ("-f", "-") if by_file else ("-i", "limit=7")
    code, _, err = await cli.run("approve", "sales-1", *given, stdin='{"limit": 7}')
    assert (code, err) == (0, "")
    assert decision(cli, name)["form"] == {"limit": 7, "currency": "EUR"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("approve", "sales-1", "ok"), "step ok requires a reason: add --reason"),
        (("reject", "sales-1", "ok", "--reason", " "), "step ok requires a reason: add --reason"),
        (("approve", "sales-1", "form"), "form.limit: found nothing, expected a value: it is required"),
        (
            ("approve", "sales-1", "form", "-i", "limit=much"),
            'form.limit: found "much", expected integer',
        ),
        (
            ("approve", "sales-1", "plain", "-i", "x=1"),
            "the step has no form to be filled in: leave out -i and -f",
        ),
        (("approve", "sales-1"), "waits for 3 decisions; name the step: "),
        (("approve", "sales-1", "no"), "step: found 'no', expected one that waits for a decision: "),
        (("approve", "sales-2"), "execution sales-2 of namespace team waits for no decision"),
    ],
)
async def test_what_cannot_be_decided_so_is_refused_before_anything_is_written(
    cli: Cli, args: tuple[str, ...], message: str
) -> None:
    names = [
        await asks(cli, reasonRequired=True),
        await asks(cli, "form", form=FORM),
        await asks(cli, "plain"),
    ]
    known_as(cli, "jane")
    code, out, err = await cli.run(*args)
    assert (code, out) == (2, "")
    assert message in err
    assert [decision(cli, name) for name in names] == [None, None, None]


async def test_a_refusal_of_the_cluster_is_passed_on(cli: Cli) -> None:
    await asks(cli)
    known_as(cli, "jane")
    text = "user jane is not among spec.approvers"
    cli.api.faults.append(Fault("PATCH", 403, body={"reason": "Forbidden", "message": text}))
    code, _, err = await cli.run("approve", "sales-1")
    assert (code, err) == (3, f"citadel: the cluster refused: {text}\n")


async def test_a_signal_is_sent_with_what_is_given(cli: Cli) -> None:
    args = ("-i", "amount:=12.5", "-i", "by=card", "--key", "invoice-7")
    assert await cli.run("signal", "sales-1", "payment", *args) == (
        0,
        "signal payment sent to execution sales-1\n",
        "",
    )
    assert cli.citadel.signals == [
        {"name": "payment", "key": "invoice-7", "payload": {"amount": 12.5, "by": "card"}}
    ]


async def test_a_payload_may_come_from_a_file_or_be_nothing(cli: Cli) -> None:
    await cli.run("signal", "sales-1", "payment", "-f", "-", stdin="[1, 2]")
    await cli.run("signal", "sales-1", "payment")
    assert [sent["payload"] for sent in cli.citadel.signals] == [[1, 2], None]
    first, second = (sent["key"] for sent in cli.citadel.signals)
    assert first != second


async def test_a_signal_that_came_too_early_is_sent_again_as_the_same(cli: Cli) -> None:
    cli.citadel.unready = 2
    assert (await cli.run("signal", "sales-1", "payment"))[0] == 0
    assert len(cli.citadel.signals) == 3
    assert len({json.dumps(sent) for sent in cli.citadel.signals}) == 1


async def test_a_signal_for_what_has_ended_is_refused(cli: Cli) -> None:
    cli.citadel.status = 409
    cli.citadel.text = "Execution sales-1 has ended (Succeeded): it takes no signals"
    code, _, err = await cli.run("signal", "sales-1", "payment")
    assert (code, err) == (2, f"citadel: {cli.citadel.text}\n")
