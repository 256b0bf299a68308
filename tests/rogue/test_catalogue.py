"""What is played of the hostile model's cases, and what they are about. Needs no cluster."""

from rogue.cases import WITHOUT, Control
from rogue.catalogue import CASES, kind, some

LISTED = {f"{name}{number:02}" for name in ("LLM", "ASI") for number in range(1, 11)}


def test_the_tests_play_two_hundred_cases_and_some_of_every_control_and_kind() -> None:
    played = some()
    assert len(played) >= 200
    assert {case.control for case in played} == set(Control)
    assert {kind(case) for case in played} == {kind(case) for case in CASES}


def test_a_case_is_told_from_others_by_its_name() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert not [(one, other) for one in names for other in names if one.endswith(f"-{other}")]


def test_those_of_a_shelf_are_about_one_control() -> None:
    controls = {(case.shelf, case.control) for case in CASES if case.shelf}
    assert len(controls) == len({shelf for shelf, _ in controls})


def test_each_risk_of_the_lists_has_a_case_or_a_reason_why_it_has_none() -> None:
    about = {risk for case in CASES for risk in case.owasp.split()}
    assert about | WITHOUT.keys() == LISTED
    assert not about & WITHOUT.keys()
