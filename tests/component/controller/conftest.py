"""A cluster for each test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from citadel.kube.client import KubeClient
from citadel.store.sql.database import open_database
from component.controller.cluster import Cluster
from component.controller.clusterapi import ClusterApi
from component.gateway.database import postgres_url, shared_database

__all__ = ["postgres_url", "shared_database"]  # fixtures for all tests here


@pytest.fixture
async def cluster(postgres_url: str) -> AsyncIterator[Cluster]:
    """An API server's double and a database; controllers are started by tests."""
    async with AsyncExitStack() as stack:
        api = ClusterApi()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", api.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        api.url = f"http://{host}:{port}"
        database = open_database(postgres_url, pool_size=4)
        stack.push_async_callback(database.close)
        kube = await stack.enter_async_context(KubeClient(api.config()))
        yield Cluster(api, kube, database, postgres_url, stack)
