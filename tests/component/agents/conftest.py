"""The agent's own code, which is no part of the operator's package."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from component.agents.doubles import Door

RUNTIMES = Path(__file__).parents[3] / "runtimes"


@pytest.fixture(scope="session")
def package() -> Iterator[Any]:
    """`citadel_agent`, as the image has it."""
    folders = [str(RUNTIMES / name) for name in ("agent", "python")]
    sys.path[:0] = folders
    import citadel_agent.running

    yield citadel_agent
    for folder in folders:
        sys.path.remove(folder)


@pytest.fixture
def run(package: Any) -> Callable[..., Any]:
    """Runs an agent against a door; what it gives, or raises."""
    from citadel_agent.door import Door as Way
    from citadel_agent.running import perform
    from citadel_agent.telling import Teller

    def run(door: Door, **agent: Any) -> Any:
        with door as url, closing(Way(url)) as way:
            return perform({"prompt": "Go on.", **agent}, way, Teller())

    return run
