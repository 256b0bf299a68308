"""Some thousand states of each kind of workflow, none of which must not be; `make explore` goes further."""

import pytest

from explore.machine import Explorer
from explore.workflows import SIGNALS, WORKFLOWS


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_order_of_facts_leads_where_it_must_not(name: str) -> None:
    found = Explorer(WORKFLOWS[name], 1500, SIGNALS).run()
    assert found.ended > 0
