"""`citadel agents` and `citadel tools`: what can be run and called, by whom it is shared, and why not."""

import json
from typing import Any

import pytest

from component.cli.conftest import NAMESPACE, Cli
from component.cli.test_asking import asks
from component.kube.fakeapi import Fault

SHARED = NAMESPACE.replace("/team", "/citadel-system")
OTHER = NAMESPACE.replace("/team", "/other")


async def have(
    cli: Cli, name: str, where: str = NAMESPACE, plural: str = "agents", ready: Any = True, **spec: Any
) -> None:
    """An object whose condition is this: true, or why not; None before anybody looked."""
    namespace = where.rpartition("/")[2]
    condition = {"type": "Ready", "status": "True" if ready is True else "False"}
    if ready is not True:
        condition |= {"reason": "ModelNotFound", "message": str(ready)}
    status = {} if ready is None else {"observedGeneration": 1, "conditions": [condition]}
    body = {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": plural.removesuffix("s").capitalize(),
        "metadata": {"name": name, "namespace": namespace, "generation": 1, "managedFields": []},
        "spec": {"model": "writer", **spec} if plural == "agents" else spec,
        "status": status,
    }
    await cli.api.change("ADDED", f"{where}/{plural}/{name}", body)


async def test_agents_are_listed_with_what_they_can_and_why_they_cannot(cli: Cli) -> None:
    await have(cli, "critic", capabilities=["review", "sentiment"], version="1.2.0")
    await have(cli, "broken", ready="Agent broken, model: Model x exists neither here\nnor there")
    await have(cli, "new", ready=None)
    await have(cli, "helper", SHARED)
    await have(cli, "critic", SHARED, version="9.9.9")
    await have(cli, "hidden", OTHER)
    code, out, err = await cli.run("agents")
    assert (code, err) == (0, "")
    header, broken, critic, new, helper = out.splitlines()
    assert header.split() == ["NAMESPACE", "NAME", "MODEL", "CAPABILITIES", "VERSION", "READY", "WHY"]
    assert broken.split()[:4] == ["team", "broken", "writer", "False"]
    assert broken.endswith("ModelNotFound: Agent broken, model: Model x exists neither here nor there")
    assert critic.split() == ["team", "critic", "writer", "review,sentiment", "1.2.0", "True"]
    assert new.split() == ["team", "new", "writer", "Unknown"]
    assert helper.split() == ["citadel-system", "helper", "writer", "True"]


async def test_those_of_one_capability_are_found_here_or_everywhere(cli: Cli) -> None:
    await have(cli, "critic", capabilities=["review"])
    await have(cli, "writer", capabilities=["write"])
    await have(cli, "shared", SHARED, capabilities=["review", "write"])
    await have(cli, "far", OTHER, capabilities=["review"])
    _, out, _ = await cli.run("agents", "--capability", "review", "-o", "name")
    assert out.splitlines() == ["agent.citadel.dev/critic", "agent.citadel.dev/shared"]
    _, out, _ = await cli.run("agents", "--capability", "review", "-A")
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["other", "far"],
        ["team", "critic"],
        ["citadel-system", "shared"],
    ]
    said = "There are no agents with the capability rev in namespace team, nor shared ones.\n"
    assert await cli.run("agents", "--capability", "rev") == (0, "", said)
    nobody = "There are no agents with the capability rev in any namespace.\n"
    assert await cli.run("agents", "--capability", "rev", "-A") == (0, "", nobody)


async def test_objects_are_given_as_json_and_yaml(cli: Cli) -> None:
    await have(cli, "critic", version="1.0.0", system="Zwei\nZeilen: ü")
    _, out, _ = await cli.run("agents", "-o", "json")
    (item,) = json.loads(out)["items"]
    assert (item["kind"], item["spec"]["version"]) == ("Agent", "1.0.0")
    assert "managedFields" not in item["metadata"]
    _, out, _ = await cli.run("agents", "-o", "yaml")
    assert "kind: Agent" in out
    assert "system: |-" in out
    _, out, _ = await cli.run("agents", "--capability", "x", "-o", "json")
    assert json.loads(out)["items"] == []


async def test_tools_say_of_what_kind_they_are(cli: Cli) -> None:
    url = "https://crm.example.com/v1/${args.id}"
    await have(cli, "crm", plural="tools", http={"url": url}, version="2.0.0")
    await have(cli, "hub", SHARED, "tools", "no digest is pinned", mcp={"url": "https://mcp.example.com"})
    await have(cli, "publish", plural="tools", workflow={"name": "flow"})
    code, out, err = await cli.run("tools")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["NAMESPACE", "NAME", "KIND", "WHERE", "VERSION", "READY", "WHY"]
    assert rows[1] == ["team", "crm", "http", url, "2.0.0", "True"]
    assert rows[2] == ["team", "publish", "workflow", "flow", "True"]
    assert rows[3][:5] == ["citadel-system", "hub", "mcp", "https://mcp.example.com", "False"]


async def test_who_may_not_see_shared_ones_sees_their_own(cli: Cli) -> None:
    metadata = {"name": "critic", "namespace": "team", "generation": 1}
    own = {"items": [{"metadata": metadata, "spec": {"model": "writer"}}], "metadata": {}}
    forbidden = {"kind": "Status", "message": "agents is forbidden", "reason": "Forbidden"}
    cli.api.faults += [Fault("GET", 200, body=own), Fault("GET", 403, body=forbidden)]
    code, out, err = await cli.run("agents")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["critic"]
    assert "shared ones are not listed" in err


async def test_the_shell_proposes_capabilities(cli: Cli) -> None:
    await have(cli, "critic", capabilities=["review", "rate"])
    await have(cli, "helper", SHARED, capabilities=["read"])
    typed = {"COMP_WORDS": "citadel agents --capability r", "COMP_CWORD": "3"}
    _, out, _ = await cli.run(env={"_CITADEL_COMPLETE": "bash_complete", **typed})
    assert [line.partition(",")[2] for line in out.splitlines()] == ["rate", "read", "review"]


@pytest.mark.parametrize("execution", [(), ("sales-1",)])
async def test_a_call_that_asks_is_shown_with_tool_arguments_and_digest(
    cli: Cli, execution: tuple[str, ...]
) -> None:
    shown = {"tool": "pay", "arguments": {"to": "Zoë", "amount": 5}, "digest": "sha256:abc"}
    await asks(cli, "write.pay[1].approve", shown=shown)
    _, out, _ = await cli.run("approvals", *execution)
    if execution:
        assert "the agent wants to call its tool pay with:" in out
        assert '"to": "Zoë"' in out
        assert "digest of these arguments, which alone are sent: sha256:abc" in out
    else:
        header, row = out.splitlines()
        assert header.split()[-1] == "TOOL"
        assert row.endswith('pay {"to": "Zoë", "amount": 5}')
