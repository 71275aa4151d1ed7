"""Real parts for tests: the Debian closure, PostgreSQL, and a whole stack.

The fixtures keep no event loop: what they start is processes, so a test in its own loop may stop, start and
address them. A module that wants another stack overrides `stack_options`.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ari_app.runtime.debian import Closure, ensure_closure
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.folder import RunFolder
from ari_app.runtime.ports import PortBlock
from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.runtime.speaking import path_with_espeak
from ari_app.runtime.stack import Stack, StackOptions
from ari_app.store.migrate import migrate

#: Tests of real processes with real sound, in real time.
REAL_TIME = ("integration", "e2e", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A machine that stalls for a moment can spoil a call. Such a test has a second try, which the summary names."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.relative_to(folder).parts[0] in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def closure() -> Closure:
    """Asterisk, baresip and SIPp; fetched if the cache is empty (`asterisk-whatsapp fetch` does it beforehand)."""
    return ensure_closure()


@pytest.fixture
def speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """espeak-ng is found, the machine's or a fetched one."""
    try:
        monkeypatch.setenv("PATH", path_with_espeak())
    except UnavailableError as error:
        pytest.skip(f"no speech synthesis: {error}")


@pytest.fixture(scope="session")
def run_folder() -> Iterator[Path]:
    """A folder with a short path, for sockets and for accounts that may not enter pytest's own."""
    with RunFolder() as folder:
        yield folder.path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres(run_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """One PostgreSQL server for the session; take a `database` of it."""
    with PortBlock() as ports:
        server = EmbeddedPostgres(run_folder / "postgres", ports.take())
        try:
            await server.start()
            yield server
        finally:
            await server.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated database to copy: a fraction of the time that migrating anew takes."""
    await migrate(await postgres.create_database("migrated"))
    return "migrated"


@pytest_asyncio.fixture
async def database(postgres: EmbeddedPostgres, migrated: str) -> str:
    """The DSN of a new, migrated database."""
    return await postgres.create_database(f"test_{uuid.uuid4().hex}", like=migrated)


@pytest.fixture(scope="module")
def stack_options() -> StackOptions:
    """What this module's `stack` is made of; override it in the module."""
    return StackOptions()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(closure: Closure, stack_options: StackOptions) -> AsyncIterator[Stack]:
    """Everything, running, for this module's tests."""
    async with Stack.start(stack_options, closure) as running:
        yield running
