"""Which versions fit which ranges."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citadel.api.versions import VERSION_PATTERN, VERSION_RANGE_PATTERN
from citadel.core.versions import InvalidVersion, fits


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


@given(st.from_regex(VERSION_PATTERN, fullmatch=True), st.from_regex(VERSION_RANGE_PATTERN, fullmatch=True))
@settings(deadline=None)
def test_whatever_a_spec_may_say_can_be_compared(version: str, wanted: str) -> None:
    assert fits(version, wanted) in (True, False)


@pytest.mark.parametrize("wanted", ["~=1", ">=1.*", "<1.*", "~=1.2.*", "===1.0", ">1, ~=2", "1.0", ""])
def test_a_range_that_has_no_meaning_is_none(wanted: str) -> None:
    assert not re.fullmatch(VERSION_RANGE_PATTERN, wanted)


@pytest.mark.parametrize("wanted", ["==1.2.*", "!=1.*", "~=1.2", ">= 1.0 , <2", "<=3", "==1"])
def test_ranges_that_people_write(wanted: str) -> None:
    assert re.fullmatch(VERSION_RANGE_PATTERN, wanted)


@pytest.mark.parametrize("version", ["banane é", "latest", "", "1.2.3.x", "-"])
def test_a_version_that_is_none_is_told(version: str) -> None:
    with pytest.raises(InvalidVersion):
        fits(version, ">=1")
