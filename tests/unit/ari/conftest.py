"""A client against an ARI server inside the process."""

from collections.abc import AsyncIterator

import pytest

from ari_app.ari import AriClient
from ari_app.ari.testing import FakeAri


@pytest.fixture
async def ari() -> AsyncIterator[FakeAri]:
    async with FakeAri() as server:
        yield server


@pytest.fixture
async def client(ari: FakeAri) -> AsyncIterator[AriClient]:
    async with AriClient(ari.url, ari.username, ari.password, "app", request_timeout=2.0) as client:
        yield client
