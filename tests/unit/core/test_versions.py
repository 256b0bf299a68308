"""Which versions fit which ranges."""

import pytest

from citadel.core.versions import fits


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("1.2.0", ">=1.0,<2", True),
        ("2.0.0", ">=1.0,<2", False),
        ("1.2.0", "==1.2.*", True),
        ("1.2.9", "~=1.2.3", True),
        ("1.3.0", "~=1.2.3", False),
        ("1.2.0", "!= 1.2.0", False),
        ("1.10.0", ">1.9", True),
        ("2.0.0-rc.1", "<2", False),
        ("2.0.0-rc.1", ">=2", False),
        ("2.0.0-rc.1", ">=1.9", True),
        ("2.0.0-nightly.x", ">=2", False),
        ("2.0.0-nightly.x", ">=1", True),
        ("1.0.0+build.5", "==1.0.0", True),
        ("1", ">=1", True),
    ],
)
def test_versions_fit_as_people_expect(version: str, wanted: str, expected: bool) -> None:
    assert fits(version, wanted) is expected
