"""What all handles have in common: a thing in Asterisk, and the subscription to its events."""

from typing import ClassVar, Self

from ari_app.ari.connection import Connection
from ari_app.ari.subscriptions import Subscription


class Handle:
    """A thing in Asterisk that is known by its key (an id, or a recording's name)."""

    kind: ClassVar[str]
    """As ARI writes it before the key: `channel`, `bridge`, `playback`, `recording`."""

    def __init__(self, connection: Connection, key: str, events: Subscription | None) -> None:
        self._connection = connection
        self._events = events
        self.subject = f"{self.kind}:{key}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def events(self) -> Subscription:
        """Events of this thing, from the first use of this property (or from before its creation)."""
        if self._events is None:
            self._events = self._connection.router.subscribe(self.subject)
        return self._events

    def close(self) -> None:
        """Give back the subscription; the thing itself lives on."""
        if self._events is not None:
            self._events.close()
