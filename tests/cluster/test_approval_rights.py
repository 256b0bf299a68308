"""Who may do what to an Approval, as the API server holds it: the roles, the definition's rules, the policy.

The Approvals here are made in the controller's name, of no execution; no journal knows them.
"""

import json
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from live import SYSTEM, environment, kubectl

CONTROLLER = f"system:serviceaccount:{SYSTEM}:citadel-controller"
DIGEST = "sha256:0123"
FORM = {"type": "object", "properties": {"limit": {"type": "integer"}}}
ASKED: dict[str, Any] = {
    "executionRef": {"name": "sales", "uid": "1-2-3"},
    "step": "fix[2].ok",
    "shown": {"total": 12, "deep": {"a": [1]}},
    "form": FORM,
    "approvers": {"users": ["ann"], "groups": ["finance"]},
    "reasonRequired": True,
    "digest": DIGEST,
}


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Ann and everybody of finance may decide, jo is an editor, bob may look."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    here = ("-n", name)
    kubectl("create", "rolebinding", "editors", "--clusterrole=edit", "--user=jo", *here)
    kubectl("create", "rolebinding", "readers", "--clusterrole=view", "--user=bob", *here)
    deciders = ("--user=ann", "--user=fay", "--group=finance")
    kubectl("create", "rolebinding", "deciders", "--clusterrole=citadel-approver", *deciders, *here)
    # Tests write a status in the controller's name; unlike it, kubectl reads before it patches.
    kubectl("create", "role", "reads", "--verb=get", "--resource=approvals.citadel.dev/status", *here)
    kubectl("create", "rolebinding", "reads", "--role=reads", f"--user={CONTROLLER}", *here)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def attempt(user: str, *args: str, groups: tuple[str, ...] = (), stdin: Any = None) -> tuple[bool, str]:
    """Whether kubectl succeeds as a user, and what it says."""
    who = [f"--as={user}", *(f"--as-group={group}" for group in (*groups, "system:authenticated"))]
    text = None if stdin is None else json.dumps(stdin)
    command = ["kubectl", *who, *args]
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment(), timeout=60)
    return done.returncode == 0, done.stdout + done.stderr


def asked(namespace: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": f"a-{uuid.uuid4().hex[:8]}", "namespace": namespace},
        "spec": {**ASKED, **spec},
    }


def made(body: dict[str, Any]) -> str:
    """Makes an Approval in the controller's name; its name."""
    done, told = attempt(CONTROLLER, "create", "-f", "-", stdin=body)
    assert done, told
    return str(body["metadata"]["name"])


@pytest.fixture
def approval(namespace: str) -> str:
    """An Approval that waits."""
    return made(asked(namespace))


def patch(
    namespace: str, name: str, user: str, body: Any, *more: str, groups: tuple[str, ...] = ()
) -> tuple[bool, str]:
    change = ("patch", "approvals", name, "-n", namespace, "--type=merge", "-p", json.dumps(body))
    return attempt(user, *change, *more, groups=groups)


def decide(
    namespace: str, name: str, user: str, *, groups: tuple[str, ...] = (), **changed: Any
) -> tuple[bool, str]:
    """Approves, with everything as it must be but for what is `changed`; None leaves a field out."""
    decision = {"by": user, "approve": True, "reason": "I looked at it", "digest": DIGEST, **changed}
    stated = {key: value for key, value in decision.items() if value is not None}
    return patch(namespace, name, user, {"spec": {"decision": stated}}, groups=groups)


def spec_of(namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", "approvals", name, "-n", namespace, "-o", "json"))
    return dict(found["spec"])


@pytest.mark.parametrize("user", ["jo", "ann", "bob"])
def test_nobody_but_the_controller_makes_an_approval(namespace: str, user: str) -> None:
    done, told = attempt(user, "create", "-f", "-", stdin=asked(namespace))
    assert not done
    assert f'User "{user}" cannot create resource "approvals"' in told


def test_not_even_the_clusters_admin_makes_one(namespace: str) -> None:
    told = kubectl("create", "-f", "-", stdin=json.dumps(asked(namespace)), check=False)
    assert "Approvals are made by Citadel's controller alone" in told


def test_the_controller_makes_none_that_is_decided_already(namespace: str) -> None:
    decision = {"by": CONTROLLER, "approve": True, "reason": "why not", "digest": DIGEST}
    body = asked(namespace, decision=decision, approvers={"users": [CONTROLLER]})
    done, told = attempt(CONTROLLER, "create", "-f", "-", stdin=body)
    assert not done
    assert "an Approval is made without a decision" in told


def test_a_named_approver_decides_once(namespace: str, approval: str) -> None:
    filled = {"limit": 5, "more": {"kept": [1]}}
    done, told = decide(namespace, approval, "ann", form=filled)
    assert done, told
    first = spec_of(namespace, approval)["decision"]
    assert first == {
        "by": "ann",
        "approve": True,
        "reason": "I looked at it",
        "form": filled,
        "digest": DIGEST,
    }
    refusal = "a decision is set once; it can be neither changed nor taken back"
    for changed in ({"approve": False}, {"reason": "another"}, {"form": {"limit": 5, "more": {"kept": [2]}}}):
        done, told = decide(namespace, approval, "ann", **{"form": filled, **changed})
        assert not done, changed
        assert refusal in told
    done, told = patch(namespace, approval, "ann", {"spec": {"decision": None}})
    assert not done
    assert refusal in told
    done, told = decide(namespace, approval, "fay", groups=("finance",))
    assert not done
    assert spec_of(namespace, approval)["decision"] == first


def test_a_member_of_an_approving_group_decides(namespace: str, approval: str) -> None:
    done, told = decide(namespace, approval, "gus", groups=("finance",))
    assert done, told
    assert spec_of(namespace, approval)["decision"]["by"] == "gus"


def test_an_editor_who_is_an_approver_decides(namespace: str) -> None:
    name = made(asked(namespace, approvers={"users": ["jo"]}))
    done, told = decide(namespace, name, "jo")
    assert done, told


@pytest.mark.parametrize("user", ["jo", "fay"])
def test_whoever_may_write_approvals_but_is_no_approver_decides_nothing(
    namespace: str, approval: str, user: str
) -> None:
    done, told = decide(namespace, approval, user)
    assert not done
    assert f"user {user} is not among spec.approvers: users ann; groups finance" in told


def test_the_refusal_names_only_what_may_decide(namespace: str) -> None:
    done, told = decide(namespace, made(asked(namespace, approvers={"groups": ["finance"]})), "fay")
    assert not done
    assert "user fay is not among spec.approvers: groups finance\n" in told


def test_the_clusters_admin_decides_nothing_either_unless_named(namespace: str, approval: str) -> None:
    admin = json.loads(kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
    decision = {"by": admin, "approve": True, "reason": "I may", "digest": DIGEST}
    change = json.dumps({"spec": {"decision": decision}})
    told = kubectl("patch", "approvals", approval, "-n", namespace, "--type=merge", "-p", change, check=False)
    assert f"user {admin} is not among spec.approvers" in told


def test_an_approver_without_the_role_decides_nothing(namespace: str) -> None:
    name = made(asked(namespace, approvers={"users": ["bob"]}))
    done, told = decide(namespace, name, "bob")
    assert not done
    assert 'User "bob" cannot patch resource "approvals"' in told


def test_nobody_decides_in_the_name_of_another(namespace: str, approval: str) -> None:
    for user, groups in (("ann", ()), ("jo", ()), ("gus", ("finance",))):
        done, told = decide(namespace, approval, user, groups=groups, by="fay")
        assert not done
        assert f"spec.decision.by: found fay, expected {user}: nobody decides for somebody else" in told


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"digest": "sha256:4567"}, "expected the digest of this Approval: decide what you have seen"),
        ({"digest": None}, "spec.decision.digest: Required value"),
        ({"reason": None}, "expected a reason: this Approval requires one"),
        ({"reason": "  "}, "expected a reason: this Approval requires one"),
        ({"by": None}, "spec.decision.by: Required value"),
        ({"approve": None}, "spec.decision.approve: Required value"),
    ],
)
def test_a_decision_that_lacks_something_is_refused(
    namespace: str, approval: str, changed: dict[str, Any], message: str
) -> None:
    done, told = decide(namespace, approval, "ann", **changed)
    assert not done
    assert message in told
    assert "decision" not in spec_of(namespace, approval)


def test_without_a_form_none_is_filled_in(namespace: str) -> None:
    body = asked(namespace)
    del body["spec"]["form"]
    done, told = decide(namespace, made(body), "ann", form={"limit": 1})
    assert not done
    assert "this Approval has no form to be filled in" in told


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shown", {"total": 13}),
        ("shown", {"deep": {"a": [2]}}),
        ("form", {"properties": {"limit": {"type": "string"}}}),
        ("approvers", {"users": ["ann", "jo"]}),
        ("reasonRequired", False),
        ("step", "other"),
        ("executionRef", {"uid": "4-5-6"}),
        ("digest", "sha256:4567"),
        ("deadline", "2030-01-01T00:00:00Z"),
    ],
)
def test_what_is_asked_changes_for_nobody(namespace: str, approval: str, field: str, value: Any) -> None:
    for user in ("ann", "jo"):
        done, told = patch(namespace, approval, user, {"spec": {field: value}})
        assert not done
        assert f"{field} cannot be changed after creation; only the decision is yours" in told


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"citadel.dev/execution": "another"}},
        {"annotations": {"a": "b"}},
        {"finalizers": ["example.com/never"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
    ],
)
def test_nothing_is_written_around_the_spec(namespace: str, approval: str, metadata: dict[str, Any]) -> None:
    done, told = patch(namespace, approval, "ann", {"metadata": metadata})
    assert not done
    assert "of an Approval only spec.decision may be written" in told


def test_the_status_is_the_controllers(namespace: str, approval: str) -> None:
    status = {"status": {"phase": "Approved"}}
    done, told = patch(namespace, approval, "jo", status, "--subresource=status")
    assert not done
    assert 'cannot patch resource "approvals/status"' in told
    change = ("--type=merge", "--subresource=status", "-p", json.dumps(status))
    told = kubectl("patch", "approvals", approval, "-n", namespace, *change, check=False)
    assert "the status of an Approval is written by Citadel's controller alone" in told


@pytest.mark.parametrize("phase", ["Expired", "Cancelled"])
def test_what_is_over_takes_no_decision(namespace: str, approval: str, phase: str) -> None:
    body = {"status": {"phase": phase}}
    done, told = patch(namespace, approval, CONTROLLER, body, "--subresource=status")
    assert done, told
    done, told = decide(namespace, approval, "ann")
    assert not done
    assert f"this Approval is {phase}: nothing waits for its decision any more" in told


def test_a_list_tells_of_what_and_how_it_stands(namespace: str, approval: str) -> None:
    header, row = kubectl("get", "approvals", approval, "-n", namespace).splitlines()
    assert header.split() == ["NAME", "EXECUTION", "STEP", "PHASE", "BY", "AGE"]
    assert row.split()[:3] == [approval, "sales", "fix[2].ok"]


@pytest.mark.parametrize("user", ["ann", "jo"])
def test_neither_approvers_nor_editors_delete_approvals(namespace: str, approval: str, user: str) -> None:
    done, told = attempt(user, "delete", "approvals", approval, "-n", namespace)
    assert not done
    assert f'User "{user}" cannot delete resource "approvals"' in told
