"""Hearing what PostgreSQL tells (NOTIFY), for as long as the process runs."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import asyncpg

from ari_app.store.database import STATEMENT_SECONDS, describe

logger = logging.getLogger(__name__)

#: Between two tries to listen again, s.
LISTEN_PAUSE = 2.0

#: An idle connection is asked so often whether it is still there, s.
LISTEN_CHECK = 30.0


async def listen(
    dsn: str, channels: Sequence[str], told: Callable[[str, str], None], begun: Callable[[], None]
) -> None:
    """Call `told(channel, payload)` for every word, for ever; `begun` whenever listening begins (again), because what
    was said before is not told.
    """
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=STATEMENT_SECONDS)
            try:
                await _listen(connection, channels, told, begun)
            finally:
                await _close(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            logger.warning("PostgreSQL tells nothing of %s for now: %s", ", ".join(channels), describe(error))
            await asyncio.sleep(LISTEN_PAUSE)


async def _listen(
    connection: asyncpg.Connection,
    channels: Sequence[str],
    told: Callable[[str, str], None],
    begun: Callable[[], None],
) -> None:
    cut = asyncio.Event()
    connection.add_termination_listener(lambda _: cut.set())

    def on_word(_: object, __: int, channel: object, payload: object) -> None:
        told(str(channel), str(payload))

    for channel in channels:
        await connection.add_listener(channel, on_word)
    begun()
    while not cut.is_set():
        try:
            async with asyncio.timeout(LISTEN_CHECK):
                await cut.wait()
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=STATEMENT_SECONDS)
    raise ConnectionResetError("the connection was cut")


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=STATEMENT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()
