"""Policies at the moment an attempt is handed out: its pod may have been made before them."""

from typing import Any

from build import chain, definition, python_step
from component.gateway.conftest import Site


def policy(**spec: Any) -> dict[str, Any]:
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "ExecutionPolicy"}
    return {**kind, "metadata": {"name": "strict"}, "spec": spec}


async def test_an_attempt_that_a_policy_refuses_is_not_handed_out_and_fails(site: Site) -> None:
    await site.database.policies.put("team", [policy(images={"allow": []})])
    (sandbox,) = await site.start(chain(1))
    runner = await site.runner(sandbox)
    assert (await runner.register()).assignment is None
    state = await site.state()
    assert state.finished is not None
    assert (state.finished.phase, state.finished.reason) == ("Failed", "PolicyDenied")
    assert "ExecutionPolicy strict, spec.images.allow" in state.finished.message


async def test_a_policy_of_another_namespace_changes_nothing(site: Site) -> None:
    await site.database.policies.put("other", [policy(images={"allow": []})])
    (sandbox,) = await site.start(chain(1))
    assert (await (await site.runner(sandbox)).register()).step == "s0"


async def test_egress_that_no_policy_allows_is_not_handed_out(site: Site) -> None:
    steps = definition(python_step("a", network={"egress": ["api.example.com:443"]}))
    (sandbox,) = await site.start(steps)
    assert (await (await site.runner(sandbox)).register()).assignment is None
    state = await site.state()
    assert state.finished is not None
    assert "no ExecutionPolicy of namespace team allows egress" in state.finished.message


async def test_egress_that_a_policy_allows_is_handed_out(site: Site) -> None:
    await site.database.policies.put("team", [policy(egress={"allow": ["*.example.com:443"]})])
    steps = definition(python_step("a", network={"egress": ["api.example.com:443"]}))
    (sandbox,) = await site.start(steps)
    assignment = (await (await site.runner(sandbox)).register()).assignment
    assert assignment["egress"] == ["api.example.com:443"]
