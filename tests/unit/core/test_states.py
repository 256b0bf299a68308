"""Some thousand states of each kind of workflow, none of which must not be; `make explore` goes further."""

import pytest

from explore.machine import Explorer
from explore.workflows import WORLDS


@pytest.mark.parametrize("name", WORLDS)
def test_no_order_of_facts_leads_where_it_must_not(name: str) -> None:
    world = WORLDS[name]
    found = Explorer(world.plan, 1500, world.signals, world.pool).run()
    assert found.ended > 0
