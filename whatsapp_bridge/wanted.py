"""What others want of the bridge: PostgreSQL's channel `whatsapp_wanted`, and work that is done when it calls.

A notification that is missed costs seconds: every worker looks by itself, too.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import asyncpg

from whatsapp_bridge.meta.graph import GraphError

logger = logging.getLogger(__name__)

CHANNEL = "whatsapp_wanted"
#: How long a new connection may take, and how long to wait before the next one, s.
CONNECT_TIMEOUT, RECONNECT_AFTER = 5.0, 2.0
#: After an error, s.
PAUSE = 2.0


class Wanted:
    """Wakes workers: `wake(kind)` is set when a notification `<kind>:…` comes."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._events: dict[str, asyncio.Event] = {}

    def wake(self, kind: str) -> asyncio.Event:
        return self._events.setdefault(kind, asyncio.Event())

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is replaced, and everybody looks what was missed."""
        while True:
            try:
                connection = await asyncpg.connect(self._dsn, timeout=CONNECT_TIMEOUT, command_timeout=CONNECT_TIMEOUT)
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, event=lost: event.set())
                try:
                    await connection.add_listener(CHANNEL, self._notified)
                    self.wake_all()
                    await lost.wait()
                finally:
                    with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                        await connection.close(timeout=CONNECT_TIMEOUT)
                logger.warning("PostgreSQL has closed the connection that listens; connecting again")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                logger.warning("listening to PostgreSQL: %s; again in %g s", error or "no answer", RECONNECT_AFTER)
            except Exception:
                # It would take the calls down with it; without it everything only takes longer.
                logger.exception("listening to PostgreSQL: unexpected error; again in %g s", RECONNECT_AFTER)
            await asyncio.sleep(RECONNECT_AFTER)

    def wake_all(self) -> None:
        for event in self._events.values():
            event.set()

    def _notified(self, connection: object, pid: int, channel: str, payload: object) -> None:
        kind = str(payload).partition(":")[0]
        if (event := self._events.get(kind)) is not None:
            event.set()


async def keep_working(
    name: str, work: Callable[[], Awaitable[float | None]], wake: asyncio.Event, every: float
) -> None:
    """Do `work` when `wake` is set, and every so many seconds; until cancelled.

    `work` returns in how many seconds it has to be done again at the latest, None for `every`.
    A failure of the world outside, or a bug, ends one round and not the worker.
    """
    failing = False
    while True:
        wake.clear()
        try:
            due = await work()
            if failing:
                logger.info("%s: works again", name)
            failing = False
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, GraphError) as error:
            # Said once, and not every two seconds of an outage.
            logger.log(
                logging.DEBUG if failing else logging.ERROR,
                "%s: %s; again every %g s",
                *(name, error or type(error).__name__, PAUSE),
            )
            failing, due = True, PAUSE
        except Exception:
            logger.exception("%s: unexpected error; again in %g s", name, every)
            due = every
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every if due is None else min(max(due, 0.0), every)):
                await wake.wait()
