"""What providers say of failures."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from citadel.llm.failing import seconds_of, told_without


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("7", 7.0), ("0.5", 0.5), ("-1", 0.0), ("soon", None), ("nan", None), ("inf", None)],
)
def test_when_to_ask_again_is_told_in_seconds(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_or_as_a_date() -> None:
    then = datetime.now(UTC) + timedelta(seconds=60)
    found = seconds_of(format_datetime(then, usegmt=True))
    assert found is not None
    assert 55 < found <= 60
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_no_message_holds_a_secret_or_has_no_end() -> None:
    told = told_without(ValueError("key abc-secret of " + "x" * 1000), "abc-secret", "other")
    assert told.startswith("key *** of x")
    assert len(told) == 512
