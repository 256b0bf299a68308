"""Every state that an execution can get into, as far as the budget goes."""
