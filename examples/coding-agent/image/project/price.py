"""Prices as people write them."""

from decimal import Decimal, InvalidOperation


def parse_price(text: str) -> Decimal:
    """The price that a text such as 1234.50 means; raises ValueError for one that is none."""
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{text!r} is no price") from None
