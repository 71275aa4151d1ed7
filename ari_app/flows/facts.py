"""What the bridge tells of calls, permissions and invitations, by PostgreSQL: for flows that wait for it."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ari_app.ari import Subscription
from ari_app.ari.events import Event
from ari_app.store.database import Database
from ari_app.store.listening import listen

logger = logging.getLogger(__name__)

#: Where the bridge tells (sql/0011, 0012), and where it is told what is wanted of us (sql/0015).
FACTS = "whatsapp_facts"
WANTED = "pbx_wanted"


class Told(Event):
    """To a flow: the bridge has written something new of what the flow watches; or it may have, when the connection
    to PostgreSQL had been lost. To be read there.
    """

    type: str = "Told"
    key: str


class Facts:
    """One for all calls of the process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: dict[str, list[Subscription]] = defaultdict(list)
        self._wakers: list[tuple[str, str, Callable[[], None]]] = []

    @contextmanager
    def watching(self, events: Subscription, key: str) -> Iterator[None]:
        """`Told` comes to `events` for this key: `call:<id>`, `request:<id>`, or `permission:<number id>:<user>`."""
        self._watchers[key].append(events)
        try:
            yield
        finally:
            self._watchers[key].remove(events)
            if not self._watchers[key]:
                del self._watchers[key]

    def wake(self, channel: str, beginning: str, waker: Callable[[], None]) -> None:
        """Call `waker` for every word of `channel` that begins so, and whenever words may have got lost."""
        self._wakers.append((channel, beginning, waker))

    async def run(self) -> None:
        """Listen until cancelled."""
        await listen(self._database.dsn, (FACTS, WANTED), self._told, self._begun)

    def _told(self, channel: str, word: str) -> None:
        for where, beginning, waker in self._wakers:
            if where == channel and word.startswith(beginning):
                waker()
        if channel == FACTS:
            key = word if word.startswith("permission:") else word.rpartition(":")[0]
            for events in self._watchers.get(key, ()):
                events.put(Told(key=key))

    def _begun(self) -> None:
        for key, watchers in self._watchers.items():
            for events in watchers:
                events.put(Told(key=key))
        for _, __, waker in self._wakers:
            waker()
