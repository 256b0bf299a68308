"""Approvals as they are made: names, labels, what fits into them, and what their digest stands for."""

import re
from dataclasses import replace
from typing import Any

import pytest

from citadel.api.actions import Approval, Approvers
from citadel.api.approval import ApprovalPhase
from citadel.api.conditions import Condition
from citadel.api.meta import DNS_SUBDOMAIN_PATTERN
from citadel.render.approval import (
    Question,
    approval,
    approval_name,
    approval_status,
    label_value,
    question_digest,
)
from citadel.render.status import timestamp

LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
ASKS = Approval(approvers=Approvers(users=("ann",), groups=("finance",)), form={"type": "object"})
QUESTION = Question("sales", "uid-1", "team", "fix[2].ok", ASKS, {"total": 5}, 1_700_000_000.0)


@pytest.mark.parametrize(
    ("execution", "step", "name"),
    [
        ("sales", "ok", r"sales-ok-[0-9a-f]{8}"),
        ("sales-1", "fix[2].askThem", r"sales-1-fix-2-askthem-[0-9a-f]{8}"),
        ("a.b", "x_y", r"a\.b-x-y-[0-9a-f]{8}"),
        ("e" * 253, "ok", r"e{244}-[0-9a-f]{8}"),
    ],
)
def test_a_name_is_readable_and_one_of_an_object(execution: str, step: str, name: str) -> None:
    found = approval_name(execution, "uid-1", step)
    assert re.fullmatch(name, found)
    assert re.fullmatch(DNS_SUBDOMAIN_PATTERN, found)
    assert len(found) <= 253


def test_names_that_read_the_same_are_of_one_execution_and_step_alone() -> None:
    names = {
        approval_name(execution, uid, step)
        for execution, uid, step in (
            ("a", "uid-1", "b[1].c"),
            ("a", "uid-1", "b.1.c"),
            ("a", "uid-1", "B[1].c"),
            ("a", "uid-2", "b[1].c"),
            ("a-b", "uid-1", "1.c"),
        )
    }
    assert len(names) == 5


@pytest.mark.parametrize("text", ["sales", "fix[2].ok", "s" * 63, "s" * 64, "e" * 200, "[]", "a_"])
def test_labels_are_values_of_labels_and_tell_names_apart(text: str) -> None:
    assert re.fullmatch(LABEL, label_value(text))
    assert label_value(text) != label_value(f"{text}x")


def test_a_name_that_fits_is_its_own_label() -> None:
    assert label_value("sales-1.b") == "sales-1.b"


def changed(**fields: Any) -> Question:
    asks = {name: fields.pop(name) for name in ("approvers", "form") if name in fields}
    return replace(QUESTION, asks=ASKS.model_copy(update=asks), **fields)


@pytest.mark.parametrize(
    "other",
    [
        changed(uid="uid-2"),
        changed(step="fix[1].ok"),
        changed(shown={"total": 6}),
        changed(form={"type": "object", "required": ["x"]}),
        changed(approvers=Approvers(users=("ann", "eve"), groups=("finance",))),
        changed(approvers=Approvers(users=("finance",), groups=("ann",))),
    ],
)
def test_the_digest_stands_for_all_that_is_decided_about(other: Question) -> None:
    assert question_digest(other) != question_digest(QUESTION)
    assert question_digest(changed()) == question_digest(QUESTION)


def test_an_approval_says_what_is_asked_and_of_whom() -> None:
    assert approval(QUESTION)["spec"] == {
        "executionRef": {"name": "sales", "uid": "uid-1"},
        "step": "fix[2].ok",
        "shown": {"total": 5},
        "form": {"type": "object"},
        "approvers": {"users": ["ann"], "groups": ["finance"]},
        "reasonRequired": False,
        "deadline": timestamp(1_700_000_000.0),
        "digest": question_digest(QUESTION),
    }


@pytest.mark.parametrize("shown", [{"x": "y" * 40_000}, {"x": [{"n": 2**63}]}, {"x": -(2**70)}])
def test_what_an_object_cannot_show_as_it_is_is_named_by_its_digest(shown: Any) -> None:
    question = replace(QUESTION, shown=shown)
    spec = approval(question)["spec"]
    assert "shown" not in spec
    assert spec["shownLarge"]["digest"].startswith("sha256:")
    assert spec["digest"] == question_digest(question)


def test_a_status_keeps_the_time_of_its_last_change() -> None:
    first = approval_status(ApprovalPhase.PENDING, "", 100.0)
    before = tuple(Condition.model_validate(item) for item in first["conditions"])
    again = approval_status(ApprovalPhase.PENDING, "decide again", 200.0, before)
    assert again["conditions"] == [{**first["conditions"][0], "message": "decide again"}]
    ended = approval_status(ApprovalPhase.EXPIRED, "nobody decided", 300.0, before)
    (condition,) = ended["conditions"]
    assert (ended["phase"], condition["status"], condition["reason"]) == ("Expired", "False", "Expired")
    assert condition["lastTransitionTime"] == timestamp(300.0)
