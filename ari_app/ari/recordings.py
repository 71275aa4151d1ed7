"""Recordings: being made, and stored in Asterisk."""

from collections.abc import AsyncIterator

from ari_app.ari.connection import Connection
from ari_app.ari.errors import NotFound
from ari_app.ari.events import RecordingFailed, RecordingFinished
from ari_app.ari.handle import Handle
from ari_app.ari.models import LiveRecordingData
from ari_app.ari.requests import Value, segment
from ari_app.ari.subscriptions import Subscription


class LiveRecording(Handle):
    """A recording in progress, known by its name (without folder and extension)."""

    kind = "recording"

    def __init__(self, connection: Connection, name: str, events: Subscription | None = None) -> None:
        super().__init__(connection, name, events)
        self._path = f"/recordings/live/{segment(name)}"
        self.name = name

    def __repr__(self) -> str:
        return f"<LiveRecording {self.name}>"

    async def finished(self, timeout: float) -> LiveRecordingData:
        """Wait for its end (`state` tells how). Raises TimeoutError after `timeout` s."""
        event = await self.events.wait_for(RecordingFinished, RecordingFailed, timeout=timeout)
        return event.recording

    async def get(self) -> LiveRecordingData:
        """Raises NotFound when it is over."""
        return LiveRecordingData.model_validate(await self._connection.requests.get(self._path))

    async def stop(self) -> None:
        """Stop and keep it; one that is over already is no error."""
        try:
            await self._connection.requests.post(self._path + "/stop")
        except NotFound:
            return

    async def discard(self) -> None:
        """Stop it and throw it away; one that is over already is no error (and is kept)."""
        try:
            await self._connection.requests.delete(self._path)
        except NotFound:
            return

    async def pause(self) -> None:
        """Raises NotFound, Conflict."""
        await self._connection.requests.post(self._path + "/pause")

    async def unpause(self) -> None:
        """Raises NotFound, Conflict."""
        await self._connection.requests.delete(self._path + "/pause")

    async def mute(self) -> None:
        """Record silence from now on; unlike `pause`, time goes on in the file. Raises NotFound, Conflict."""
        await self._connection.requests.post(self._path + "/mute")

    async def unmute(self) -> None:
        """Raises NotFound, Conflict."""
        await self._connection.requests.delete(self._path + "/mute")


class Recordings:
    """Recordings in the making, and those that Asterisk keeps in its spool folder, by name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def handle(self, name: str) -> LiveRecording:
        """A handle for a live recording known by name; nothing is asked of Asterisk."""
        return LiveRecording(self._connection, name)

    async def stored(self) -> list[str]:
        """Names of what Asterisk keeps; those in the making are among them."""
        return [str(item["name"]) for item in await self._connection.requests.get("/recordings/stored")]

    async def is_live(self, name: str) -> bool:
        """Whether it is being made just now."""
        try:
            await self._connection.requests.get(f"/recordings/live/{segment(name)}")
        except NotFound:
            return False
        return True

    def read(self, name: str, chunk: int) -> AsyncIterator[bytes]:
        """The bytes of a stored recording's file, `chunk` at a time (the last may be shorter).

        Raises NotFound, AriUnavailable.
        """
        return self._connection.requests.download(f"/recordings/stored/{segment(name)}/file", chunk)

    async def delete(self, name: str) -> None:
        """Delete a stored recording; one that is not there is no error."""
        try:
            await self._connection.requests.delete(f"/recordings/stored/{segment(name)}")
        except NotFound:
            return


async def start(connection: Connection, target: str, name: str, audio_format: str, **params: Value) -> LiveRecording:
    """Record `target` (`/channels/<id>` or `/bridges/<id>`), listening before asking."""
    recording = LiveRecording(connection, name, connection.router.subscribe("recording:" + name))
    try:
        await connection.requests.post(f"{target}/record", name=name, format=audio_format, **params)
    except BaseException:
        recording.close()
        raise
    return recording
