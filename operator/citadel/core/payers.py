"""Which steps and agents pay for what a step asks of models, beside its execution and the day. Pure."""

from collections.abc import Iterator

from citadel.core.instances import around
from citadel.core.spending import Account, micro
from citadel.core.state import State


def step_accounts(state: State, step: str, namespace: str) -> Iterator[Account]:
    """The accounts of a step, and of all agents that it is, or is a call of; of these also their days."""
    assert state.plan is not None
    assert state.created is not None
    uid = state.created.uid
    for name in (step, *around(step)):
        compiled = state.plan.step(name)
        if compiled.is_loop(name):
            continue
        key, asks = f"step:{uid}/{name}", compiled.spec.agent or compiled.spec.llm
        if asks is not None and asks.budget is not None:
            yield _account(key, f"the budget of step {name}", uid, asks.budget.cost, asks.budget.tokens)
        if compiled.agent is None or compiled.spec.agent is None:
            continue
        agent, budget = compiled.spec.agent.name, compiled.agent.budget
        daily, title = f"agent:{namespace}/{agent}", f"the daily budget of Agent {agent}"
        if budget is None:
            yield _account(key, f"what step {name} spends", uid)
            yield Account(daily, f"what Agent {agent} spends today", daily=True)
            continue
        title = f"{title} in namespace {namespace}"
        yield _account(key, f"the budget of Agent {agent} for step {name}", uid, budget.cost, budget.tokens)
        cost = None if budget.cost_per_day is None else micro(budget.cost_per_day)
        yield Account(daily, title, None, cost, budget.tokens_per_day, daily=True)


def _account(key: str, title: str, uid: str, cost: str | None = None, tokens: int | None = None) -> Account:
    return Account(key, title, uid, None if cost is None else micro(cost), tokens)
