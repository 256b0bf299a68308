"""Credentials in what servers say: taken out in every form in which they come back by themselves."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from citadel.core.masking import Mask

KEY = "sk-very/secret+0123456789"


@pytest.mark.parametrize("before", ["", "a", "Bearer ", "Authorization: Bearer ", "x" * 8])
@pytest.mark.parametrize("after", ["", "!", "\r\n", ", said the server"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_it_is_found_wherever_it_begins_in_something_that_is_encoded(
    encode: Callable[[bytes], bytes], before: str, after: str
) -> None:
    said = Mask(KEY).text(encode(f"{before}{KEY}{after}".encode()).decode())
    assert "***" in said
    within = base64.urlsafe_b64decode(said.partition("***")[0].replace("/", "_").replace("+", "-") + "===")
    assert KEY[:2] not in within.decode(errors="replace")


@pytest.mark.parametrize("form", [KEY, quote(KEY, safe=""), json.dumps(KEY)[1:-1]])
def test_it_is_found_in_keys_and_values_of_what_comes_back(form: str) -> None:
    assert Mask(KEY).value({f"x {form}": [form, {"y": 1}]}) == {"x ***": ["***", {"y": 1}]}


def test_what_is_left_of_it_where_a_text_was_cut_off_is_taken_out() -> None:
    mask = Mask(KEY)
    for length in range(6, len(KEY)):
        assert mask.excerpt(f"status 422: it was {KEY[:length]}") == "status 422: it was ***"
    assert mask.excerpt("status 422: it was sk-ve") == "status 422: it was sk-ve"
    assert mask.text("a value that ends in sk-very") == "a value that ends in sk-very"


def test_nothing_is_taken_out_where_there_is_none() -> None:
    assert Mask(None).text("as it is") == Mask("abc").text("as it is") == "as it is"
