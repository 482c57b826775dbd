"""Budget guard: the cost of all calls never exceeds the budget, in any order and at any cost of a call."""

from hypothesis import given
from hypothesis import strategies as st

from aiquery.config.budget import Budget
from aiquery.inference.scheduling.budget_guard import BudgetGuard, Cost

calls = st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1), st.booleans()), max_size=60)


@given(calls, st.integers(0, 3000), st.integers(0, 40), st.integers(1, 20))
def test_spent_never_exceeds_the_budget(calls, max_tokens, max_requests, in_flight):
    budget = Budget(max_tokens=max_tokens, max_requests=max_requests, max_cost_usd=max_tokens / 1e6)
    budget_guard = BudgetGuard(budget)
    reserved = []
    for tokens, share, is_reported in calls:
        max_cost = Cost(tokens, tokens / 1e6)
        while not budget_guard.reserve(max_cost, 0.0):
            if not reserved:
                assert budget_guard.reached is not None
                break
            budget_guard.settle(*reserved.pop(0))
        else:
            cost = Cost(tokens * share, tokens * share / 1e6)
            reserved.append((max_cost, cost if is_reported else None))
        if len(reserved) >= in_flight:
            budget_guard.settle(*reserved.pop(0))
        assert budget_guard.spent.tokens <= max_tokens
        assert budget_guard.spent.usd <= max_tokens / 1e6 + 1e-12
        assert budget_guard.requests <= max_requests


def test_the_time_limit_counts_from_the_first_request():
    budget_guard = BudgetGuard(Budget(max_seconds=10))
    assert budget_guard.reserve(Cost(), 100.0)
    budget_guard.settle(Cost(), Cost())
    assert budget_guard.reserve(Cost(), 109.0)
    budget_guard.settle(Cost(), Cost())
    assert not budget_guard.reserve(Cost(), 110.0)
    assert budget_guard.reached == "max_seconds = 10"
