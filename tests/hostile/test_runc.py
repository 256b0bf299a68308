"""Hostile code in sandboxes of a real cluster: it gets nothing, and does where a control is missing."""

import pytest

from hostile.conftest import Findings
from hostile.corpus import CASES, Case

sentences = pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)


@sentences
def test_in_a_sandbox(findings: Findings, case: Case) -> None:
    said = findings.sandboxes[case.name]
    assert "got" not in said, f"{case.sentence}: it got {said['got']}"
    assert said["held"]


@sentences
def test_where_its_control_is_missing_it_succeeds(findings: Findings, case: Case) -> None:
    said = findings.twins[case.name]
    assert "got" in said, f"{case.sentence}: proves nothing, as with {case.twin.value} it is held too: {said}"
