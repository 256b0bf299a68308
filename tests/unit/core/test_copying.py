"""Copies of states are as those of the standard library."""

import dataclasses

import pytest

from citadel.core.copying import replace
from citadel.core.state import Scope, State


def test_a_copy_differs_in_what_was_changed_alone() -> None:
    state = State(seq=3, failing=True)
    changed = replace(state, seq=4)
    assert changed == dataclasses.replace(state, seq=4)
    assert (state.seq, changed.seq, changed.failing) == (3, 4, True)


def test_a_copy_is_as_frozen_as_what_it_is_of() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(State(), seq=1).seq = 2  # type: ignore[misc]


@pytest.mark.parametrize("item", [State(), Scope(1)])
def test_what_is_no_field_is_named(item: object) -> None:
    with pytest.raises(TypeError, match="nothing"):
        replace(item, nothing=1)
