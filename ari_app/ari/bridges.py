"""Bridges: where channels hear each other."""

from collections.abc import Sequence

from ari_app.ari import playbacks, recordings
from ari_app.ari.connection import Connection
from ari_app.ari.errors import Conflict, NotFound
from ari_app.ari.handle import Handle
from ari_app.ari.ids import object_id
from ari_app.ari.models import BridgeData
from ari_app.ari.playbacks import Playback
from ari_app.ari.recordings import LiveRecording
from ari_app.ari.requests import segment
from ari_app.ari.subscriptions import Subscription


class Bridge(Handle):
    """A bridge. `data` is the last snapshot that a request brought, None when only the id is known."""

    kind = "bridge"

    def __init__(
        self,
        connection: Connection,
        bridge_id: str,
        data: BridgeData | None = None,
        events: Subscription | None = None,
    ) -> None:
        super().__init__(connection, bridge_id, events)
        self.path = f"/bridges/{segment(bridge_id)}"
        self.id = bridge_id
        self.data = data

    def __repr__(self) -> str:
        return f"<Bridge {self.id}>"

    async def refresh(self) -> BridgeData:
        """Read the snapshot anew. Raises NotFound."""
        self.data = BridgeData.model_validate(await self._connection.requests.get(self.path))
        return self.data

    async def add_channel(
        self,
        *channel_ids: str,
        mute: bool = False,
        absorb_dtmf: bool = False,
        inhibit_connected_line_updates: bool = False,
    ) -> None:
        """Raises BadRequest or NotFound (channel or bridge is gone), Conflict, Unprocessable (not in Stasis).

        With `inhibit_connected_line_updates` the phones go on showing what they showed while they rang.
        """
        await self._connection.requests.post(
            self.path + "/addChannel",
            channel=channel_ids,
            mute=mute,
            absorbDTMF=absorb_dtmf,
            inhibitConnectedLineUpdates=inhibit_connected_line_updates,
        )

    async def remove_channel(self, *channel_ids: str) -> None:
        """Raises BadRequest or NotFound (channel or bridge is gone), Unprocessable (channel not in this
        bridge).
        """
        await self._connection.requests.post(self.path + "/removeChannel", channel=channel_ids)

    async def destroy(self) -> None:
        """Channels in it stay alive, in Stasis. A bridge that is gone, or about to be (409), is no error.

        Hang channels up before, not after: a bridge that dissolves can overwrite their hangup cause
        (asterisk#1124).
        """
        try:
            await self._connection.requests.delete(self.path)
        except (NotFound, Conflict):
            return

    async def play(self, media: str | Sequence[str], *, playback_id: str | None = None) -> Playback:
        """Play `sound:…`, `recording:…`, `tone:…` to all in it. Raises NotFound, Conflict."""
        return await playbacks.start(self._connection, self.path, media, playback_id or object_id())

    async def start_moh(self, music_class: str | None = None) -> None:
        """Music on hold for all in it. Raises NotFound, Conflict."""
        await self._connection.requests.post(self.path + "/moh", mohClass=music_class)

    async def stop_moh(self) -> None:
        """Raises NotFound, Conflict (no music was playing)."""
        await self._connection.requests.delete(self.path + "/moh")

    async def record(self, name: str, audio_format: str = "wav", *, max_seconds: int = 0) -> LiveRecording:
        """Record the mix. `max_seconds` 0 is without limit. Raises NotFound, Conflict (name taken),
        Unprocessable.
        """
        return await recordings.start(
            self._connection, self.path, name, audio_format, maxDurationSeconds=max_seconds, ifExists="fail"
        )


class Bridges:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def handle(self, bridge_id: str, data: BridgeData | None = None) -> Bridge:
        """A handle for a bridge known by id; nothing is asked of Asterisk."""
        return Bridge(self._connection, bridge_id, data)

    async def create(
        self, *, bridge_type: str = "mixing", bridge_id: str | None = None, name: str | None = None
    ) -> Bridge:
        """`bridge_type`: `mixing` or `holding`, with attributes after commas (`dtmf_events`,
        `proxy_media`).
        """
        bridge_id = bridge_id or object_id()
        subject = "bridge:" + bridge_id
        bridge = Bridge(self._connection, bridge_id, events=self._connection.router.subscribe(subject))
        try:
            with self._connection.router.pending(subject):
                data = await self._connection.requests.post(bridge.path, type=bridge_type, name=name)
            bridge.data = BridgeData.model_validate(data)
        except BaseException:
            bridge.close()
            raise
        return bridge

    async def get(self, bridge_id: str) -> Bridge:
        """Raises NotFound."""
        bridge = self.handle(bridge_id)
        await bridge.refresh()
        return bridge

    async def list(self) -> list[Bridge]:
        """All bridges of this Asterisk, not only ours."""
        found = [BridgeData.model_validate(item) for item in await self._connection.requests.get("/bridges")]
        return [self.handle(data.id, data) for data in found]

    async def destroy(self, bridge_id: str) -> None:
        """Destroy a bridge known by id; one that is gone already is no error."""
        await self.handle(bridge_id).destroy()
