"""The same hostile code under gVisor. The twins are those of the other file: they are about the code."""

import pytest

from hostile.conftest import Findings
from hostile.corpus import CASES, Case

ASKED = [case for case in CASES if not case.gvisor]


@pytest.mark.parametrize("case", ASKED, ids=lambda case: case.sentence)
def test_under_gvisor(gvisor_findings: Findings, case: Case) -> None:
    said = gvisor_findings.sandboxes[case.name]
    assert "got" not in said, f"{case.sentence}: it got {said['got']}"
    assert said["held"]


def test_the_kernel_that_was_asked_is_gvisors(gvisor_findings: Findings) -> None:
    with open("/proc/version") as ours:
        assert gvisor_findings.kernel != ours.read()
    assert gvisor_findings.kernel.startswith("Linux version 4.")
