"""The engine: what an execution does next, as pure functions of what happened.

`plan.compile_definition` turns a definition into a Plan, `state.apply` folds events, `decide.decide` says
which events follow. No I/O, no clock, no randomness: time, ids and loaded values are arguments.
"""
