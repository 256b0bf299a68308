"""Each case has a sandbox of its own: a real runner and shim, as the tests of the runtimes start them."""

from pathlib import Path

import pytest

from component.runtimes.conftest import Site, binaries, builds, site, tls
from component.runtimes.gateway import Gateway, Json, Result
from conformance.languages import Language, languages

__all__ = ["binaries", "builds", "site", "tls"]


class Sandbox:
    """A sandbox of one language, and what its gateway saw."""

    def __init__(self, language: Language, gateway: Gateway, temporary: Path) -> None:
        self.language, self.gateway, self.temporary = language, gateway, temporary

    async def assign(self, name: str, step: str = "", **fields: Json) -> str:
        """Give it the code of this name; returns the step's name."""
        step = step or name
        env = {"TMPDIR": str(self.temporary)} | fields.pop("env", {})
        variables = [{"name": key, "value": value} for key, value in env.items()]
        await self.gateway.assign(step, env=variables, **self.language.fields(name), **fields)
        return step

    async def run(self, name: str, step: str = "", **fields: Json) -> Result:
        """Run the code of this name to its end."""
        return await self.gateway.result(await self.assign(name, step, **fields))


@pytest.fixture(params=languages(), ids=lambda language: language.name)
def language(request: pytest.FixtureRequest) -> Language:
    """Each language."""
    found: Language = request.param
    return found


@pytest.fixture
async def sandbox(language: Language, site: Site) -> Sandbox:
    """A sandbox of each language."""
    await site.language(language.name)
    return Sandbox(language, site.gateway, site.binaries / "tmp")
