"""The live page's board: read once for everybody who looks at it, and only while somebody does."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ari_app.console.changes import Parts
from ari_app.console.live import Fact, Hub, Subscription
from ari_app.store.console.board import BoardStore, Figures, Snapshot
from ari_app.store.database import Database, StoreError

logger = logging.getLogger(__name__)

#: Words that change the board, by their beginnings.
CONCERNS = ("call:", "waiting:", "device:", "order:", "desk:", "agent:", "group:")

#: After a change the board waits for more so long, s; the longer, the dearer it is to read and draw, so that it takes
#: no more than this share of a core; but never longer than a reader would notice.
CALM_SECONDS = 0.25
CALM_AT_MOST = 0.7
SHARE = 0.04

#: It is read anyhow so often, s: a word that got lost costs no more, and the end of a wrap-up is told by nobody.
LOOK_SECONDS = 5.0

#: Today's figures are counted again so often, s, at most and at least.
FIGURES_SECONDS = 2.0
FIGURES_ANYHOW = 30.0

#: While PostgreSQL is away, s.
AWAY_SECONDS = 2.0


class Board:
    """`with board.watching(zone): await board.next(seen)`; `run` must be running."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._store = BoardStore(database)
        self._hub = hub
        self._viewers = 0
        self._wanted = asyncio.Event()
        self._news = asyncio.Condition()
        self._closed = False
        self._facts: Subscription | None = None
        self.version = 0
        self.snapshot: Snapshot | None = None
        self._zones: Counter[ZoneInfo] = Counter()
        self._figures: dict[datetime, dict[str, Figures]] = {}
        "By the moment at which the day began."
        self._figures_at = 0.0
        self._figures_stale = True
        self._cost = 0.0
        self._drawn: dict[Hashable, Parts] = {}
        self.rows: dict[Hashable, str] = {}
        "Rows that were drawn: for pages to keep."

    @contextmanager
    def watching(self, zone: ZoneInfo) -> Iterator[None]:
        """Somebody looks, whose day is that of `zone`: the board is kept up to date meanwhile."""
        self._viewers += 1
        self._zones[zone] += 1
        self._wanted.set()
        if self._viewers == 1 and self._facts is not None:
            self._facts.put(Fact(""))  # while nobody looked, nothing was read
        try:
            yield
        finally:
            self._viewers -= 1
            self._zones[zone] -= 1
            if not self._viewers:
                self._wanted.clear()
                self.snapshot = None

    async def next(self, seen: int) -> int | None:
        """Wait until there is something newer than version `seen`; None when the console stops."""
        async with self._news:
            await self._news.wait_for(lambda: self._closed or (self.version > seen and self.snapshot is not None))
        return None if self._closed else self.version

    async def now(self) -> Snapshot:
        """For a page: as it is at this moment. Raises StoreError."""
        return self.snapshot or await self._store.snapshot()

    async def figures(self, at: datetime, zone: ZoneInfo) -> dict[str, Figures]:
        """How the day has been until `at`, by group. Raises StoreError when they have to be counted."""
        since = _midnight(at, zone)
        if (known := self._figures.get(since)) is not None:
            return known
        return await self._store.figures(since, at + timedelta(seconds=1))

    def drawn(self, scope: Hashable, draw: Callable[[], Parts]) -> Parts:
        """What this version looks like to all who see the same."""
        if (found := self._drawn.get(scope)) is None:
            found = self._drawn[scope] = draw()
        return found

    def spent(self, seconds: float) -> None:
        """Drawing took so long: it counts as the board's."""
        self._cost += seconds

    async def run(self) -> None:
        """Read whenever something changes and somebody looks, for ever."""
        while not self._closed:
            await self._wanted.wait()
            with self._hub.subscribe() as self._facts:
                await self._keep(self._facts)
            self._facts = None

    async def close(self) -> None:
        """The console stops: nobody waits for news any more."""
        self._closed = True
        await self._tell()

    async def _keep(self, facts: Subscription) -> None:
        self._figures_stale = True
        while self._viewers:
            began = time.perf_counter()
            self._cost = 0.0
            try:
                await self._read()
            except StoreError as error:
                logger.warning("the live page stands still for now: %s", error)
                await asyncio.sleep(AWAY_SECONDS)
                continue
            self._cost += time.perf_counter() - began
            await self._tell()
            if not await self._wait(facts):
                return

    async def _read(self) -> None:
        self.snapshot = await self._store.snapshot()
        clock = time.monotonic()
        at, days = self.snapshot.at, {_midnight(self.snapshot.at, zone) for zone in +self._zones}
        due = clock - self._figures_at > (FIGURES_SECONDS if self._figures_stale else FIGURES_ANYHOW)
        if due or not days <= self._figures.keys():
            until = at + timedelta(seconds=1)
            self._figures = {since: await self._store.figures(since, until) for since in days}
            self._figures_at, self._figures_stale = clock, False
        self.version += 1
        self._drawn.clear()

    async def _wait(self, facts: Subscription) -> bool:
        """Until something changes, and a little longer; False when the console stops."""
        deadline = time.monotonic() + LOOK_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                fact = await facts.next(left)
            except TimeoutError:
                return True
            if fact is None:
                return False
            if self._concerns(fact):
                break
        await asyncio.sleep(min(max(CALM_SECONDS, self._cost / SHARE), CALM_AT_MOST))
        for fact in facts.drained():
            self._concerns(fact)
        return True

    def _concerns(self, fact: Fact) -> bool:
        if fact.missed or (fact.text.startswith("call:") and fact.text.endswith(":ended")):
            self._figures_stale = True
        return fact.missed or fact.text.startswith(CONCERNS)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


def _midnight(at: datetime, zone: ZoneInfo) -> datetime:
    """When the day began there, UTC."""
    return at.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
