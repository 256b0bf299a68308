"""Every proof that the threat model names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
PROOFS = sorted(set(re.findall(r"`((?:tests|runtimes)/[^`]+?)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("path", "name"), PROOFS)
def test_a_proof_that_is_named_exists(path: str, name: str) -> None:
    defined = rf"^\s*(?:async )?(?:def |func )?{name}(?:\(|:)"
    assert re.search(defined, (ROOT / path).read_text(), re.MULTILINE), f"{path} has no {name}"


def test_every_control_has_a_proof() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    controls = PAGE.split("## Boundaries and controls")[1].split("## Out of scope")[0]
    inside = [row for row in rows if row in controls and not row.startswith(("| control", "| ---"))]
    assert len(inside) > 20
    assert [row for row in inside if "::" not in row and "make " not in row] == []


def test_the_page_names_no_test_in_another_way() -> None:
    assert len(re.findall(r"test_\w+`", PAGE)) == len(re.findall(r"`tests/[^`]+::test_\w+`", PAGE))
