"""`citadel test`: the tests that stand beside the examples."""

from pathlib import Path

import pytest

from component.local.conftest import Citadel

EXAMPLES = Path(__file__).parents[3] / "examples"


NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/workflow.yaml"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("example", NAMES)
def test_an_example_passes_its_own_tests(example: str, citadel: Citadel) -> None:
    done = citadel("test", str(EXAMPLES / example))
    assert done.code == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout


@pytest.mark.parametrize("example", NAMES)
def test_each_example_has_at_least_two_tests(example: str) -> None:
    text = (EXAMPLES / example / "test.yaml").read_text()
    assert text.count("\n- name: ") >= 2
