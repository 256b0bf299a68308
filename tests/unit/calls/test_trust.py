"""Authorities of one's own: they may come later, and what is none is said and does not stop a process."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from citadel.calls.trust import Trust
from citadel.controller.certificates import new_authority


def names(trust: Trust) -> set[str]:
    """Common names of the authorities that are believed."""
    subjects = (dict(part[0] for part in item["subject"]) for item in trust.context.get_ca_certs())
    return {str(subject.get("commonName")) for subject in subjects}


def test_an_authority_is_believed_once_its_file_is_there_beside_those_of_the_web(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    trust, without = Trust(file), Trust(None)
    assert names(trust) == names(without)
    file.write_bytes(new_authority("ours", datetime.now(UTC)).certificate)
    trust.renew()
    assert names(trust) == names(without) | {"ours CA"}


def test_another_one_is_believed_too_when_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(new_authority("ours", datetime.now(UTC)).certificate)
    trust = Trust(file)
    file.write_bytes(new_authority("the next", datetime.now(UTC)).certificate)
    trust.renew()
    trust.renew()
    assert {"ours CA", "the next CA"} <= names(trust)


@pytest.mark.parametrize("content", [b"no certificate", b"\xff\xfe", b""])
def test_what_is_no_certificate_is_said_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(content)
    assert names(Trust(file)) == names(Trust(None))
    assert bool(caplog.messages) == bool(content)
