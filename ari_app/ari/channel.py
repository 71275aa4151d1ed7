"""A channel: one leg of a call."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from ari_app.ari import playbacks, recordings
from ari_app.ari.connection import Connection
from ari_app.ari.errors import AriClosed, ChannelGone, NotFound
from ari_app.ari.events import ChannelDestroyed, Event
from ari_app.ari.handle import Handle
from ari_app.ari.ids import channel_id, object_id
from ari_app.ari.models import ChannelData
from ari_app.ari.playbacks import Playback
from ari_app.ari.recordings import LiveRecording
from ari_app.ari.requests import segment
from ari_app.ari.subscriptions import Subscription

E = TypeVar("E", bound=Event)

#: How Asterisk words the 404 of a variable that is not set; that of a missing channel is worded differently.
VARIABLE_NOT_SET = "variable was not found"


class Channel(Handle):
    """One leg of a call. `data` is the last snapshot that a request brought, None when only the id is known.

    All requests may raise NotFound (the channel is gone: the other side hung up first), Conflict (it is not
    in a Stasis application), AriUnavailable; what else is raised, the methods say.
    """

    kind = "channel"

    def __init__(
        self,
        connection: Connection,
        channel_id: str,
        data: ChannelData | None = None,
        events: Subscription | None = None,
    ) -> None:
        super().__init__(connection, channel_id, events)
        self._path = f"/channels/{segment(channel_id)}"
        self.id = channel_id
        self.data = data

    def __repr__(self) -> str:
        return f"<Channel {self.id} {self.data.name if self.data else ''}>"

    async def wait_for(self, *types: type[E], timeout: float, where: Callable[[E], bool] | None = None) -> E:
        """The next event of `types` of this channel; those before it are discarded.

        Raises ChannelGone when the channel is destroyed instead, TimeoutError after `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            async for event in self.events:
                if isinstance(event, types) and (where is None or where(event)):
                    return event
                if isinstance(event, ChannelDestroyed) and event.channel.id == self.id:
                    raise ChannelGone(self.id, event.cause, event.cause_txt)
        raise AriClosed(f"nothing more comes from channel {self.id}")

    async def refresh(self) -> ChannelData:
        """Read the snapshot anew."""
        self.data = ChannelData.model_validate(await self._connection.requests.get(self._path))
        return self.data

    async def answer(self) -> None:
        """Raises PreconditionFailed for a channel that we dialled ourselves."""
        await self._connection.requests.post(self._path + "/answer")

    async def hangup(self, *, reason_code: int | None = None, reason: str | None = None) -> None:
        """Hang up with a Q.850 cause (or ARI's word for one: `normal`, `busy`, …). One that is gone is no
        error.
        """
        try:
            await self._connection.requests.delete(self._path, reason_code=reason_code, reason=reason)
        except NotFound:
            return

    async def dial(self, *, timeout: int | None = None, caller: str | None = None) -> None:
        """Dial a channel made by `create`, at most `timeout` s. Raises Conflict before its StasisStart has
        come.

        At the end of the time Asterisk hangs it up with cause 19 (no answer).
        """
        await self._connection.requests.post(self._path + "/dial", timeout=timeout, caller=caller)

    async def ring(self) -> None:
        """Tell the caller that it rings."""
        await self._connection.requests.post(self._path + "/ring")

    async def stop_ringing(self) -> None:
        await self._connection.requests.delete(self._path + "/ring")

    async def play(
        self,
        media: str | Sequence[str],
        *,
        playback_id: str | None = None,
        language: str | None = None,
        offset_ms: int | None = None,
    ) -> Playback:
        """Play `sound:…`, `recording:…`, `tone:…`, `number:…`, `digits:…`, `characters:…`; several in turn.
        `offset_ms` of the first one are left out.

        A sound that does not exist is no error here: its PlaybackFinished has state `failed`.
        """
        params = {} if language is None else {"lang": language}
        if offset_ms is not None:
            params["offsetms"] = str(offset_ms)
        return await playbacks.start(self._connection, self._path, media, playback_id or object_id(), **params)

    async def start_moh(self, music_class: str | None = None) -> None:
        """Music on hold."""
        await self._connection.requests.post(self._path + "/moh", mohClass=music_class)

    async def stop_moh(self) -> None:
        await self._connection.requests.delete(self._path + "/moh")

    async def start_silence(self) -> None:
        """Send silence, so that the far end sees media."""
        await self._connection.requests.post(self._path + "/silence")

    async def stop_silence(self) -> None:
        await self._connection.requests.delete(self._path + "/silence")

    async def get_variable(self, name: str) -> str | None:
        """A variable or function (`CHANNEL(linkedid)`); None when it is not set."""
        try:
            answer = await self._connection.requests.get(self._path + "/variable", variable=name)
        except NotFound as error:
            if VARIABLE_NOT_SET in error.message:
                return None
            raise
        return str(answer["value"])

    async def set_variable(self, name: str, value: str) -> None:
        """Set a variable or write to a function. `value` is taken as it is: the dialplan does not expand
        it.
        """
        await self._connection.requests.post(self._path + "/variable", variable=name, value=value)

    async def send_dtmf(
        self,
        digits: str,
        *,
        duration: int | None = None,
        between: int | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> None:
        """Send digits (0-9 A-D * #); times in ms. Asterisk's own are 100 ms for each digit and between
        two.
        """
        await self._connection.requests.post(
            self._path + "/dtmf", dtmf=digits, duration=duration, between=between, before=before, after=after
        )

    async def mute(self, direction: str = "both") -> None:
        """`direction`: `in` (from the far end), `out`, `both`."""
        await self._connection.requests.post(self._path + "/mute", direction=direction)

    async def unmute(self, direction: str = "both") -> None:
        await self._connection.requests.delete(self._path + "/mute", direction=direction)

    async def hold(self) -> None:
        await self._connection.requests.post(self._path + "/hold")

    async def unhold(self) -> None:
        await self._connection.requests.delete(self._path + "/hold")

    async def continue_in_dialplan(
        self, *, context: str | None = None, extension: str | None = None, priority: int | None = None
    ) -> None:
        """Leave the application; without a place, go on after `Stasis()`."""
        await self._connection.requests.post(
            self._path + "/continue", context=context, extension=extension, priority=priority
        )

    async def redirect(self, endpoint: str) -> None:
        """Send the caller's device to another endpoint of the same technology. Raises Unprocessable, and
        others.
        """
        await self._connection.requests.post(self._path + "/redirect", endpoint=endpoint)

    async def snoop(
        self, spy: str, *, whisper: str = "none", app_args: Sequence[str] = (), snoop_id: str | None = None
    ) -> "Channel":
        """A channel in our application that hears this one; it is to be used after its StasisStart.

        `spy`: `in` (what the far end says), `out` (what it is sent), `both`. `whisper`: who else hears what the snoop
        channel is sent: `out` (the far end alone), `in` (those with whom it is joined), `both`, `none`. It ends with
        this channel. To us StasisEnd is its last word, no ChannelDestroyed comes, so the handle is to be closed; and
        Asterisk writes a CDR for it, with a linkedid of its own (both measured, 22.10.1).
        """
        snoop = Channel(self._connection, snoop_id or channel_id())
        snoop._events = self._connection.router.subscribe("channel:" + snoop.id)
        path = f"{self._path}/snoop/{segment(snoop.id)}"
        try:
            with self._connection.router.pending("channel:" + snoop.id):
                data = await self._connection.requests.post(
                    path, spy=spy, whisper=whisper, app=self._connection.app, appArgs=app_args or None
                )
        except BaseException:
            snoop.close()
            raise
        snoop.data = ChannelData.model_validate(data)
        return snoop

    async def record(
        self,
        name: str,
        audio_format: str = "wav",
        *,
        max_seconds: int = 0,
        max_silence_seconds: int = 0,
        beep: bool = False,
        terminate_on: str = "none",
    ) -> LiveRecording:
        """Record what this channel says. 0 s is without limit. Raises Conflict (or name taken),
        Unprocessable.

        A channel that was made by `create` and dialled stays in an invisible bridge of Asterisk's until it is
        put into another: its recording ends at once as `failed` (measured, 22.10.1). Record its bridge
        instead.
        """
        return await recordings.start(
            self._connection,
            self._path,
            name,
            audio_format,
            maxDurationSeconds=max_seconds,
            maxSilenceSeconds=max_silence_seconds,
            beep=beep,
            terminateOn=terminate_on,
            ifExists="fail",
        )
