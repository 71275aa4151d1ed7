"""Prompts that are being played on a channel or bridge."""

from collections.abc import Sequence

from ari_app.ari.connection import Connection
from ari_app.ari.errors import NotFound
from ari_app.ari.events import PlaybackFinished
from ari_app.ari.handle import Handle
from ari_app.ari.models import PlaybackData
from ari_app.ari.requests import segment
from ari_app.ari.subscriptions import Subscription


class Playback(Handle):
    """A prompt that is being played. Its events come to `events` from before it was asked for."""

    kind = "playback"

    def __init__(self, connection: Connection, playback_id: str, events: Subscription | None = None) -> None:
        super().__init__(connection, playback_id, events)
        self.id = playback_id

    def __repr__(self) -> str:
        return f"<Playback {self.id}>"

    async def finished(self, timeout: float) -> PlaybackData:
        """Wait until it was played, stopped or has failed (`state` tells). Raises TimeoutError after
        `timeout` s.
        """
        return (await self.events.wait_for(PlaybackFinished, timeout=timeout)).playback

    async def get(self) -> PlaybackData:
        """Raises NotFound when it is over."""
        return PlaybackData.model_validate(await self._connection.requests.get(f"/playbacks/{segment(self.id)}"))

    async def control(self, operation: str) -> None:
        """`restart`, `pause`, `unpause`, `reverse` or `forward`. Raises NotFound, Conflict."""
        await self._connection.requests.post(f"/playbacks/{segment(self.id)}/control", operation=operation)

    async def stop(self) -> None:
        """Stop it; one that is over already is no error."""
        try:
            await self._connection.requests.delete(f"/playbacks/{segment(self.id)}")
        except NotFound:
            return


class Playbacks:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def handle(self, playback_id: str) -> Playback:
        """A handle for a playback known by id; nothing is asked of Asterisk."""
        return Playback(self._connection, playback_id)

    async def get(self, playback_id: str) -> PlaybackData:
        """Raises NotFound when it is over."""
        return await self.handle(playback_id).get()


async def start(
    connection: Connection, target: str, media: str | Sequence[str], playback_id: str, **params: str
) -> Playback:
    """Play `media` on `target` (`/channels/<id>` or `/bridges/<id>`), listening before asking."""
    subject = "playback:" + playback_id
    playback = Playback(connection, playback_id, connection.router.subscribe(subject))
    try:
        with connection.router.pending(subject):
            await connection.requests.post(f"{target}/play/{segment(playback_id)}", media=media, **params)
    except BaseException:
        playback.close()
        raise
    return playback
