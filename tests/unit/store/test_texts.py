"""What comes in is fit for a database, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import InvalidValue
from citadel.core.values import Inline
from citadel.store.texts import fit, mend


@given(st.text(st.characters(categories=["Cs", "Cc", "L", "So"])))
def test_a_mended_text_can_be_encoded_and_is_as_long(text: str) -> None:
    mended = mend(text)
    assert b"\0" not in mended.encode()
    assert len(mended) == len(text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_good_text_is_left_as_it_is(text: str) -> None:
    assert mend(text) == text


@pytest.mark.parametrize("field", ["reason", "message", "traceback", "log_tail"])
def test_every_text_of_a_failure_is_mended(field: str) -> None:
    failure = Failure(**{"reason": "Error", "message": "boom", field: "a\0b\ud800"})
    facts = [
        ev.AttemptFailed("a", 1, "cx", failure),
        ev.SandboxEnded("cx", failure),
        ev.Rejected("run", "team", "uid", "flow", failure),
    ]
    for fact in facts:
        assert getattr(fit(fact).failure, field) == "a\ufffdb\ufffd"


def test_a_reason_to_stop_is_mended() -> None:
    assert fit(ev.StopRequested("Cancel", "r\0", "m\0")) == ev.StopRequested("Cancel", "r\ufffd", "m\ufffd")


@pytest.mark.parametrize("value", [{"a": "\0"}, "\udfff", [float("nan")], {"\0": 1}])
def test_a_value_that_cannot_be_kept_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue):
        fit(ev.AttemptSucceeded("a", 1, "cx", Inline(value)))  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        fit(ev.Created("run", "team", "uid", "flow", "sha256:0", Inline(value)))  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        fit(ev.SignalReceived("paid", "k", Inline(value)))  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        fit(ev.ApprovalDecided("ok", True, "ann", "", Inline(value), 1.0))  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        fit(ev.ChildFinished("a", 1, "Succeeded", Inline(value)))  # type: ignore[arg-type]
