"""A pool of connections to PostgreSQL, with one error for "it is away"."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import asyncpg

logger = logging.getLogger(__name__)

#: Limit for a statement and for getting a connection, s. A call waits for it, so it is short.
STATEMENT_SECONDS = 2.0

#: How long `async with` waits for a PostgreSQL that is not there yet, s, and between two tries.
START_SECONDS = 30.0
START_PAUSE = 0.5

#: Limit for closing the pool, s; connections that do not close by then are cut.
CLOSE_SECONDS = 3.0


#: SQLSTATE classes (PostgreSQL, appendix A) after which the same statement may well succeed later: connection
#: exceptions, transaction rollbacks, insufficient resources, operator intervention (shutdown, cancelled),
#: system errors.
PASSING = ("08", "40", "53", "57", "58")


class StoreError(Exception):
    """PostgreSQL refused a statement; the message is PostgreSQL's."""


class StoreUnavailable(StoreError):
    """PostgreSQL is away, or too slow: trying again later makes sense."""


class Database:
    """Opened with `async with`; raises StoreUnavailable when PostgreSQL cannot be reached within
    `start_timeout` s.
    """

    def __init__(self, dsn: str, *, start_timeout: float = START_SECONDS) -> None:
        self._dsn = dsn
        self._start_timeout = start_timeout
        self._pool: asyncpg.Pool | None = None

    async def __aenter__(self) -> Self:
        deadline = asyncio.get_running_loop().time() + self._start_timeout
        while self._pool is None:
            try:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=1,
                    max_size=8,
                    timeout=STATEMENT_SECONDS,
                    command_timeout=STATEMENT_SECONDS,
                )
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                if asyncio.get_running_loop().time() + START_PAUSE > deadline:
                    raise StoreUnavailable(f"PostgreSQL cannot be reached: {describe(error)}") from error
                await asyncio.sleep(START_PAUSE)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await pool.close()
            except TimeoutError:
                logger.warning("connections to PostgreSQL did not close within %g s: cut", CLOSE_SECONDS)
                pool.terminate()

    @property
    def dsn(self) -> str:
        """For connections beside the pool (LISTEN). It has the password in it."""
        return self._dsn

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """A connection, given back at the end. Whatever goes wrong with PostgreSQL in it is raised as
        StoreError.
        """
        if self._pool is None:
            raise StoreError("the database is not open")
        try:
            async with self._pool.acquire(timeout=STATEMENT_SECONDS) as connection:
                yield connection
        except asyncpg.PostgresError as error:
            passing = (error.sqlstate or "").startswith(PASSING)
            raise (StoreUnavailable if passing else StoreError)(describe(error)) from error
        except (asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise StoreUnavailable(describe(error)) from error


def describe(error: BaseException) -> str:
    """An error's message, or its kind where it has none (TimeoutError)."""
    return str(error) or type(error).__name__
