"""A fake API server for each test."""

from collections.abc import AsyncIterator

import pytest

from component.kube.fakeapi import FakeApi, serve_fake_api


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with serve_fake_api() as server:
        yield server
