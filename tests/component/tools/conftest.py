"""The world of these tests, and what tools call, as fixtures."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from component.tools.servers import Crm, Server, crm, serving
from component.tools.world import HOST, World


@pytest.fixture
async def world(postgres_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield await World.make(stack, postgres_url, tmp_path)


@pytest.fixture
async def server(world: World) -> AsyncIterator[Server]:
    async with serving(world.tls.server) as found:
        world.allow = (f"{HOST}:{found.port}",)
        yield found


@pytest.fixture(params=["2026-07-28", "2025-11-25"])
async def mcp_server(world: World, request: pytest.FixtureRequest) -> AsyncIterator[Crm]:
    """A real server, of the protocol's newer and of its older era."""
    async with crm(world.tls.folder, older=request.param < "2026") as found:
        world.allow = (f"{HOST}:{found.port}",)
        yield found
