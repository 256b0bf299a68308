"""The arithmetic of what models cost: bounds, prices, refusals."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citadel.api.budget import Budget
from citadel.api.model import ModelSpec, Prices
from citadel.core.policy import read_policy
from citadel.core.spending import (
    DOLLAR,
    Account,
    Amount,
    account_of,
    cost_of,
    day_accounts,
    dollars,
    first_refusal,
    micro,
    unpriced,
    upper_bound,
)

PRICES = st.decimals(0, 999_999, places=6).map(lambda value: f"{value:f}")


@given(PRICES, PRICES, st.text(max_size=200), st.integers(1, 10_000), st.data())
def test_no_call_costs_more_than_was_reserved_for_it(
    sent: str, answered: str, text: str, most: int, data: st.DataObject
) -> None:
    prices = Prices(input=sent, output=answered)
    bound = upper_bound([text], most, prices)
    took = data.draw(st.integers(0, bound.tokens - most))
    cached = data.draw(st.integers(0, took))
    given_back = data.draw(st.integers(0, most))
    assert cost_of(took, cached, given_back, prices) <= bound.cost
    assert took + given_back <= bound.tokens


@given(PRICES, st.integers(0, 10**6))
def test_prices_are_exact_for_any_number_of_tokens(price: str, tokens: int) -> None:
    cost = cost_of(tokens, 0, 0, Prices(input=price, output="0"))
    assert Decimal(cost) == Decimal(price) * tokens * DOLLAR / 10**6
    assert Decimal(dollars(cost)) == Decimal(cost) / DOLLAR


def test_what_a_provider_has_in_its_cache_may_be_dearer_and_is_reserved_so() -> None:
    prices = Prices(input="1", output="0", cached_input="2")
    assert upper_bound(["x"], 1, prices).cost == 2 * upper_bound(["x"], 1, Prices(input="1", output="0")).cost
    assert cost_of(10, 4, 0, prices) == micro("0.000014")


def test_a_refusal_names_the_budget_what_is_spent_and_what_the_call_could_cost() -> None:
    account = account_of(Budget(cost="0.50"), "u", "the budget of Workflow x for Execution y")
    why = first_refusal([account], {account.key: Amount(micro("0.499"), 7)}, Amount(micro("0.002"), 9))
    assert why == (
        "the budget of Workflow x for Execution y: cost is 0.50, 0.499 is spent or reserved, "
        "and this call could take 0.002"
    )
    exactly = Amount(micro("0.001"), 9)
    assert first_refusal([account], {account.key: Amount(micro("0.499"), 7)}, exactly) is None


def test_of_several_policies_each_bounds_the_same_day_and_a_broken_one_permits_nothing() -> None:
    def policy(name: str, spec: object) -> object:
        return read_policy(
            {
                "apiVersion": "citadel.dev/v1alpha1",
                "kind": "ExecutionPolicy",
                "metadata": {"name": name},
                "spec": spec,
            }
        )

    some = [policy("a", {"budget": {"costPerDay": "1"}}), policy("b", {"budget": {"tokensPerDay": 10}})]
    accounts = list(day_accounts(some, "team"))  # type: ignore[arg-type]
    assert {account.on("2026-01-02").key for account in accounts} == {"day:team:2026-01-02"}
    assert first_refusal(accounts, {}, Amount(0, 10)) is None
    assert "ExecutionPolicy b" in str(first_refusal(accounts, {}, Amount(0, 11)))
    broken = list(day_accounts([policy("c", {"budget": {"costPerDay": "free"}})], "team"))  # type: ignore[list-item]
    assert "ExecutionPolicy c" in str(first_refusal(broken, {}, Amount(0, 1)))


def test_a_model_without_prices_is_refused_where_dollars_count() -> None:
    bound, free = Account("a", "the budget", cost=1), Account("a", "the budget", tokens=1)
    real = ModelSpec.model_validate({"provider": "openai", "model": "m"})
    scripted = ModelSpec.model_validate({"provider": "scripted", "script": [{"text": "x"}]})
    assert "has no prices" in str(unpriced([free, bound], "m", real))
    assert unpriced([free], "m", real) is None
    assert unpriced([bound], "m", scripted) is None


@pytest.mark.parametrize(
    ("cost", "told"), [(0, "0.00"), (DOLLAR, "1.00"), (1, "0.000000000001"), (DOLLAR // 2, "0.50")]
)
def test_money_is_told_in_dollars(cost: int, told: str) -> None:
    assert dollars(cost) == told
