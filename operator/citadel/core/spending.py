"""What calls of models cost, and whether budgets let them through: whole numbers, and no I/O.

Money is counted in millionths of a millionth of a dollar: so a price for a million tokens, with its six
digits behind the point, is a whole number for one token, and no sum is ever rounded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from citadel.api.budget import Budget
from citadel.api.model import ModelSpec, Prices
from citadel.core.events import Usage
from citadel.core.policy import Policy

DOLLAR = 10**12
_MILLION = 10**6
#: Tokens that a provider may add to what is sent, in all and for each message: marks of roles, of beginnings.
FRAME_TOKENS, MESSAGE_TOKENS = 64, 16


@dataclass(frozen=True)
class Amount:
    """What something takes: money and tokens."""

    cost: int = 0
    tokens: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.cost + other.cost, self.tokens + other.tokens)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.cost - other.cost, self.tokens - other.tokens)


@dataclass(frozen=True)
class Account:
    """What is spent together, and how much that may be; without limits it is counted alone."""

    key: str
    title: str
    """What messages call its budget."""
    uid: str | None = None
    """The execution that it ends with, if it is of one."""
    cost: int | None = None
    tokens: int | None = None
    daily: bool = False
    """Whether it begins anew each day."""

    def on(self, day: str) -> "Account":
        """The account of this day, where days count."""
        return replace(self, key=f"{self.key}:{day}", daily=False) if self.daily else self

    def refusal(self, spent: Amount, need: Amount) -> str | None:
        """Why a call that may need so much is refused, with this spent already; None if it is not."""
        for name, limit, has, wants in (
            ("cost", self.cost, spent.cost, need.cost),
            ("tokens", self.tokens, spent.tokens, need.tokens),
        ):
            if limit is not None and has + wants > limit:
                told = dollars if name == "cost" else str
                unit = "" if name == "cost" else " tokens"
                return (
                    f"{self.title}: {name} is {told(limit)}{unit}, {told(has)} is spent or reserved, "
                    f"and this call could take {told(wants)}"
                )
        return None


@dataclass(frozen=True)
class Turn:
    """A call of an agent: made only while its attempt has a grant, and has asked less than `limit` times."""

    limit: int | None = None
    begins: bool = True
    """Whether it counts: not when the same call is tried again, or elsewhere."""


@dataclass(frozen=True)
class Reservation:
    """One call of a provider that is about to be made, and all it may take."""

    uid: str
    step: str
    attempt: int
    namespace: str
    model: str
    """`namespace/name` of the Model that is asked."""
    need: Amount
    max_tokens: int
    """Those of the need that are for the answer."""
    accounts: tuple[Account, ...]
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    turn: Turn | None = None
    provider: str = ""
    """Who provides it, for people."""
    digest: str | None = None
    """Of the request, where its answer is recorded and not paid for twice."""


@lru_cache(1000)
def micro(text: str) -> int:
    """Dollars as they are written, in millionths of a millionth of one."""
    return int(Decimal(text) * DOLLAR)


def dollars(cost: int) -> str:
    """An amount of money for people and statuses: `0.0012`, without a sign of the currency."""
    whole, _, rest = f"{Decimal(cost) / DOLLAR:.12f}".rstrip("0").partition(".")
    return f"{whole}.{rest:0<2}"


def upper_bound(messages: Sequence[str], max_tokens: int, prices: Prices | None, framing: int = 0) -> Amount:
    """The most that a call can take: no tokeniser makes more than one token of a byte.

    `framing` are tokens that the provider adds for more than messages.
    """
    sent = sum(len(text.encode()) + MESSAGE_TOKENS for text in messages) + FRAME_TOKENS + framing
    if prices is None:
        return Amount(0, sent + max_tokens)
    dearest = max(_per_token(prices.input), _per_token(prices.cached_input or prices.input))
    return Amount(sent * dearest + max_tokens * _per_token(prices.output), sent + max_tokens)


def cost_of(input_tokens: int, cached_tokens: int, output_tokens: int, prices: Prices | None) -> int:
    """What a call cost; of the tokens that were sent `cached_tokens` were in the provider's cache."""
    if prices is None:
        return 0
    fresh = max(0, input_tokens - cached_tokens)
    cached = cached_tokens * _per_token(prices.cached_input or prices.input)
    return fresh * _per_token(prices.input) + cached + output_tokens * _per_token(prices.output)


def _per_token(price: str) -> int:
    return micro(price) // _MILLION


def account_of(budget: Budget | None, uid: str, title: str) -> Account:
    """The account of an execution."""
    if budget is None:
        return Account(f"execution:{uid}", title, uid)
    cost = None if budget.cost is None else micro(budget.cost)
    return Account(f"execution:{uid}", title, uid, cost, budget.tokens)


def day_accounts(policies: Iterable[Policy], namespace: str) -> Iterator[Account]:
    """The accounts of a namespace's day: one that is counted alone, and one for each policy that bounds it.

    A policy that cannot be understood permits nothing.
    """
    key = f"day:{namespace}"
    yield Account(key, f"what namespace {namespace} spends today", daily=True)
    for policy in policies:
        title = f"the daily budget of namespace {namespace} (ExecutionPolicy {policy.name})"
        if policy.spec is None:
            yield Account(key, f"{title}, which cannot be understood", tokens=0, daily=True)
        elif (budget := policy.spec.budget) is not None:
            cost = None if budget.cost_per_day is None else micro(budget.cost_per_day)
            yield Account(key, title, None, cost, budget.tokens_per_day, daily=True)


def unpriced(accounts: Iterable[Account], name: str, spec: ModelSpec) -> str | None:
    """Why a Model without prices cannot be asked under these budgets; None if it can."""
    if spec.prices is not None or spec.provider == "scripted":
        return None
    found = next((account for account in accounts if account.cost is not None), None)
    if found is None:
        return None
    return f"{found.title} is in dollars, but Model {name} has no prices: nobody can say what a call may cost"


def first_refusal(accounts: Iterable[Account], spent: Mapping[str, Amount], need: Amount) -> str | None:
    """Why a call is refused, by the first account that does not let it through; None if all do."""
    found = (account.refusal(spent.get(account.key, Amount()), need) for account in accounts)
    return next((why for why in found if why is not None), None)


def add(one: Usage | None, other: Usage | None) -> Usage | None:
    """What both took; whom the later one asked."""
    if one is None or other is None:
        return one or other
    return Usage(
        model=other.model,
        provider=other.provider,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cost=one.cost + other.cost,
        calls=one.calls + other.calls,
        estimated=one.estimated or other.estimated,
    )
