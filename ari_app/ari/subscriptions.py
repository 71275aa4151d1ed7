"""Who hears which event.

A `Router` looks up the subjects of an event in a dict and hands it to those who watch them; nobody else is
asked, and an event that nobody wants is never made into a model. A `Subscription` is one consumer's bounded
queue.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from ari_app.ari.errors import AriClosed, AriError
from ari_app.ari.events import LAST_WORDS, Event, parse, subjects

logger = logging.getLogger(__name__)

#: Events that one handle's subscriber may leave unread. A call that nobody listens to produces a handful a
#: second.
HANDLE_QUEUE = 256

#: Events that an application-wide subscriber may leave unread.
APPLICATION_QUEUE = 10_000

E = TypeVar("E", bound=Event)


class Subscription:
    """One consumer's events, in the order in which Asterisk sent them.

    A context manager: leaving it gives the subscription back. When the queue is full the oldest event is
    dropped (and that is logged once), so that the last words of a channel always arrive. Only one task may
    wait at a time. Iteration ends when the subscription is closed or all that it watched is gone; it raises
    when the client failed.
    """

    def __init__(self, router: "Router", types: tuple[type[Event], ...], limit: int, *, everything: bool) -> None:
        self._router = router
        self._types = frozenset(kind.__name__ for kind in types)
        self._limit = limit
        self._everything = everything
        self._queue: deque[Event] = deque()
        self._subjects: set[str] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self._failure: AriError | None = None
        self.dropped = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._next()
        if event is None:
            raise StopAsyncIteration
        return event

    def watch(self, subject: str) -> None:
        """Also hear of `subject` (`channel:<id>`, …) from now on."""
        if self._closed:
            raise AriClosed("this subscription is closed")
        self._subjects.add(subject)
        self._router.add(subject, self)

    def unwatch(self, subject: str) -> None:
        """Hear no more of `subject`; what is queued stays queued."""
        self._subjects.discard(subject)
        self._router.discard(subject, self)
        self._wake()

    def close(self) -> None:
        """Give the subscription back. Safe to call twice."""
        self._closed = True
        self._router.forget(self, self._subjects)
        self._subjects.clear()
        self._queue.clear()
        self._wake()

    async def wait_for(self, *types: type[E], timeout: float, where: Callable[[E], bool] | None = None) -> E:
        """The next event of one of `types` (for which `where` holds); those before it are discarded.

        Raises TimeoutError after `timeout` seconds, AriClosed when no such event can come any more.
        """
        async with asyncio.timeout(timeout):
            while True:
                event = await self._next()
                if event is None:
                    names = ", ".join(kind.__name__ for kind in types)
                    raise AriClosed(f"nothing is left that could bring {names}")
                if isinstance(event, types) and (where is None or where(event)):
                    return event

    def wants(self, event_type: str) -> bool:
        return not self._types or event_type in self._types

    def put(self, event: Event) -> None:
        """Queue an event; called by the router."""
        if self._closed:
            return
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self.dropped += 1
            if self.dropped == 1:
                watched = ", ".join(sorted(self._subjects)) or "the application"
                logger.warning("nobody reads the events of %s: the oldest are dropped", watched)
        self._queue.append(event)
        self._wake()

    def lost(self, subject: str) -> None:
        """`subject` has said its last words; called by the router."""
        self._subjects.discard(subject)
        self._wake()

    def fail(self, error: AriError) -> None:
        """No event will come any more; called by the router."""
        self._failure = error
        self._wake()

    async def _next(self) -> Event | None:
        while not self._queue:
            if self._failure is not None:
                raise self._failure
            if self._closed or not (self._everything or self._subjects):
                return None
            if self._waiter is not None:
                raise RuntimeError("two tasks wait on one subscription; let each have its own")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Router:
    """Hands events to subscriptions, by subject."""

    def __init__(self) -> None:
        self._by_subject: dict[str, list[Subscription]] = {}
        self._everything: list[Subscription] = []
        self._failure: AriError | None = None
        self._pending: set[str] = set()

    def __len__(self) -> int:
        """How many (subject, subscription) pairs and application-wide subscriptions there are."""
        return sum(len(found) for found in self._by_subject.values()) + len(self._everything)

    def subscribe(self, *watched: str, types: tuple[type[Event], ...] = (), limit: int = HANDLE_QUEUE) -> Subscription:
        """A subscription to the subjects `watched`; `types` leaves out all other events."""
        subscription = Subscription(self, types, limit, everything=False)
        for subject in watched:
            subscription.watch(subject)
        if self._failure is not None:
            subscription.fail(self._failure)
        return subscription

    def subscribe_all(self, types: tuple[type[Event], ...] = (), limit: int = APPLICATION_QUEUE) -> Subscription:
        """A subscription to all events of the application."""
        subscription = Subscription(self, types, limit, everything=True)
        self._everything.append(subscription)
        if self._failure is not None:
            subscription.fail(self._failure)
        return subscription

    def watched(self, kind: str) -> list[str]:
        """Ids of the watched subjects of one kind (`channel`, `bridge`, `playback`, …) that exist or did
        exist.
        """
        prefix = kind + ":"
        return [
            subject.removeprefix(prefix)
            for subject in self._by_subject
            if subject.startswith(prefix) and subject not in self._pending
        ]

    @contextmanager
    def pending(self, subject: str) -> Iterator[None]:
        """While `subject` is being created: that Asterisk does not know it yet says nothing."""
        self._pending.add(subject)
        try:
            yield
        finally:
            self._pending.discard(subject)

    def add(self, subject: str, subscription: Subscription) -> None:
        found = self._by_subject.setdefault(subject, [])
        if subscription not in found:
            found.append(subscription)

    def discard(self, subject: str, subscription: Subscription) -> None:
        found = self._by_subject.get(subject, [])
        if subscription in found:
            found.remove(subscription)
        if not found:
            self._by_subject.pop(subject, None)

    def forget(self, subscription: Subscription, subjects_of_it: set[str]) -> None:
        for subject in subjects_of_it:
            self.discard(subject, subscription)
        if subscription in self._everything:
            self._everything.remove(subscription)

    def publish(self, raw: dict[str, Any]) -> None:
        """Deliver one event, given as decoded JSON. Malformed events are logged and dropped."""
        event_type = raw.get("type")
        try:
            about = subjects(raw)
        except (KeyError, TypeError, AttributeError):
            about = []
            event_type = None
        if not isinstance(event_type, str):
            logger.warning("a malformed event from Asterisk was dropped: %.64r", raw.get("type"))
            return
        receivers: list[Subscription] = []
        for subject in about:
            for subscription in self._by_subject.get(subject, ()):
                if subscription not in receivers and subscription.wants(event_type):
                    receivers.append(subscription)
        receivers += [subscription for subscription in self._everything if subscription.wants(event_type)]
        if receivers:
            try:
                event = parse(raw)
            except ValidationError as error:
                logger.warning("malformed %.64s event from Asterisk dropped: %s", event_type, error.errors()[0]["msg"])
                return
            for subscription in receivers:
                subscription.put(event)
        if event_type in LAST_WORDS and about:
            self._retire(about[0])

    def fail(self, error: AriError) -> None:
        """Tell every waiting consumer, now and later, that no event will come any more."""
        self._failure = error
        for subscription in {*self._everything, *(s for found in self._by_subject.values() for s in found)}:
            subscription.fail(error)

    def _retire(self, subject: str) -> None:
        for subscription in self._by_subject.pop(subject, []):
            subscription.lost(subject)
