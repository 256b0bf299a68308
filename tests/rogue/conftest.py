"""The cases are played once, with every control and without the one that each is about."""

import asyncio
import os
from collections.abc import Sequence

import pytest

from hostile.conftest import namespace
from rogue.benign import BENIGN
from rogue.cases import Case
from rogue.catalogue import CASES, some
from rogue.running import Findings, play


def chosen() -> tuple[Case, ...]:
    """All cases, with CITADEL_ROGUE=all; else some of them."""
    return CASES if os.environ.get("CITADEL_ROGUE") == "all" else some()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each case."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", chosen(), ids=lambda case: f"{case.name}: {case.sentence}")


def _played(cases: Sequence[Case]) -> Findings:
    async def run() -> Findings:
        async with namespace() as cluster:
            return await play(cluster, cases)

    return asyncio.run(run())


@pytest.fixture(scope="session")
def findings(request: pytest.FixtureRequest) -> Findings:
    """What became of the cases that are asked for, and of all that an honest model does."""
    # Other tests of the session have cases of their own.
    given = (item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec"))
    asked = {case.shelf or case.name for case in given if isinstance(case, Case)}
    return _played([*(case for case in CASES if (case.shelf or case.name) in asked), *BENIGN])
