"""Keeps `reports.records` up to date with the calls that have changed.

By asking again and again rather than by NOTIFY: a notification that cannot be queued fails the transaction that sends
it, and that would be Asterisk's CDR. It costs nothing where the view is concerned, which is right all the time.
"""

import asyncio
import logging

from ari_app.store.database import Database, StoreError, StoreUnavailable, describe

logger = logging.getLogger(__name__)

#: Calls that are done in one statement: some 50 ms.
BATCH = 500

#: Between two looks when there was nothing (more) to do, s.
PAUSE = 0.5

#: After a failure, s.
FAILURE_PAUSE = 5.0

#: So often we look for calls that were not marked, and so far back, s.
MISSING_EVERY = 600.0
MISSING_WITHIN = 7200.0

#: Limit for a batch on a machine that has much else to do, s.
BATCH_SECONDS = 30.0

#: Limit for looking through all CDRs there are: some 10 s for ten millions.
MARK_SECONDS = 600.0


class RecordUpkeep:
    """One for the process; several processes on one database take turns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._look_at = 0.0

    async def run(self) -> None:
        """For ever. What fails is logged, and tried again."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if clock() >= self._look_at:
                    await self.mark_missing(MISSING_WITHIN)
                    self._look_at = clock() + MISSING_EVERY
                while await self.refresh() == BATCH:
                    pass
                await asyncio.sleep(PAUSE)
            except StoreUnavailable as error:
                logger.warning("call records are not refreshed for now: %s", describe(error))
                await asyncio.sleep(FAILURE_PAUSE)
            except StoreError as error:
                logger.error("call records cannot be refreshed; reports are right, but slow: %s", describe(error))
                await asyncio.sleep(FAILURE_PAUSE)

    async def refresh(self, most: int = BATCH) -> int:
        """Make the records of up to `most` calls; how many that were. Raises StoreError."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval("SELECT reports.refresh($1)", most, timeout=BATCH_SECONDS))

    async def mark_missing(self, seconds: float | None) -> int:
        """Have the records made of calls of the last `seconds` (None: of all) whose mark was lost; how many.

        Raises StoreError.
        """
        statement = "SELECT reports.mark_missing(coalesce(now() - $1::float8 * interval '1 second', '-infinity'))"
        async with self._database.connection() as connection:
            count = int(await connection.fetchval(statement, seconds, timeout=MARK_SECONDS))
        if count:
            logger.warning("%d calls had CDRs but no record: they get one", count)
        return count
