"""One console for each file of tests of this folder; each test has users and browsers of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from ari_app.runtime.postgres import EmbeddedPostgres
from tests.integration.console.desk import Desk, open_desk
from tests.integration.console.history import History, write_history


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def desk(postgres: EmbeddedPostgres, run_folder: Path) -> AsyncIterator[Desk]:
    async with open_desk(postgres, run_folder / "console") as running:
        yield running


@pytest_asyncio.fixture(autouse=True)
async def no_attempts(desk: Desk) -> None:
    """All these browsers have one address; what one test tries must not count in the next."""
    await desk.fetch("DELETE FROM console.sign_in_attempts")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def history(desk: Desk) -> History:
    return await write_history(desk)
