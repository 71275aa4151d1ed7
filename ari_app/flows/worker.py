"""Work that is done when somebody calls for it, and by itself every so often, for a call for it may get lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)


async def keep_working(
    what: str, work: Callable[[], Awaitable[float | None]], wake: asyncio.Event, every: float
) -> None:
    """Do `work` at once, whenever `wake` is set, and after `every` seconds; until cancelled.

    `work` returns in how many seconds it has to be done again at the latest, None for `every`. An outage of PostgreSQL,
    or a bug, ends one round and not the worker; `what` has to wait then, says the log.
    """
    while True:
        wake.clear()
        due: float | None = None
        try:
            due = await work()
        except StoreError as error:
            logger.error("%s: waiting for PostgreSQL: %s", what, error)
        except Exception:
            logger.exception("%s: waiting, after a fault of ours", what)
        try:
            async with asyncio.timeout(every if due is None else min(due, every)):
                await wake.wait()
        except TimeoutError:
            continue
