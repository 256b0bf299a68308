"""What may be spent on models: in dollars as decimal strings, which no float rounds, and in tokens."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from citadel.api.meta import Model

#: Dollars: at most six digits on either side of the point, as prices for a million tokens have.
DOLLARS_PATTERN = r"^[0-9]{1,6}(\.[0-9]{1,6})?$"
Dollars = Annotated[str, StringConstraints(pattern=DOLLARS_PATTERN, max_length=13)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000_000)]


class Budget(Model):
    """What the models may cost that one execution asks, those it has its steps run included."""

    cost: Dollars | None = None
    """Dollars, such as 0.50."""
    tokens: Tokens | None = None
    """Tokens, what is sent and what is answered together."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.cost is None and self.tokens is None:
            raise ValueError("found neither cost nor tokens, expected at least one")
        return self


class DailyBudget(Model):
    """What the models may cost that the executions of each namespace ask in one day, as UTC counts days."""

    cost_per_day: Dollars | None = None
    """Dollars, such as 20."""
    tokens_per_day: Tokens | None = None
    """Tokens, what is sent and what is answered together."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.cost_per_day is None and self.tokens_per_day is None:
            raise ValueError("found neither costPerDay nor tokensPerDay, expected at least one")
        return self
