"""After the event websocket was cut: tell every watched handle what it may have missed.

Asterisk keeps no events for an application that is not connected ("Inactive Stasis app missed message") and
sends no second StasisStart after a reconnect. So the world is read anew, and told as events: a watched
channel, bridge or playback that is gone gets its last event (hangup cause 0: nobody can tell any more), one
that is there gets a ChannelStateChange with its present state. Whoever waits for an answer or a hangup
thereby gets it, a little late.
"""

from typing import Any

from ari_app.ari.connection import Connection
from ari_app.ari.errors import NotFound
from ari_app.ari.requests import segment

CAUSE_TEXT = "gone when the event websocket came back"


async def resync(connection: Connection) -> None:
    """Read channels, bridges and playbacks, and publish what differs. Raises AriError when Asterisk does not
    answer.
    """
    router = connection.router
    if channels := router.watched("channel"):
        alive = {data["id"]: data for data in await connection.requests.get("/channels")}
        for channel_id in channels:
            if data := alive.get(channel_id):
                _publish(connection, "ChannelStateChange", channel=data)
            else:
                _publish(connection, "ChannelDestroyed", channel={"id": channel_id}, cause=0, cause_txt=CAUSE_TEXT)
    if bridges := router.watched("bridge"):
        present = {data["id"] for data in await connection.requests.get("/bridges")}
        for bridge_id in bridges:
            if bridge_id not in present:
                _publish(connection, "BridgeDestroyed", bridge={"id": bridge_id})
    for playback_id in router.watched("playback"):
        try:
            await connection.requests.get(f"/playbacks/{segment(playback_id)}")
        except NotFound:
            _publish(connection, "PlaybackFinished", playback={"id": playback_id, "state": "done"})
    for name in router.watched("recording"):
        try:
            await connection.requests.get(f"/recordings/live/{segment(name)}")
        except NotFound:
            _publish(connection, "RecordingFinished", recording={"name": name, "state": "done"})
    router.publish({"type": "Reconnected", "application": connection.app})


def _publish(connection: Connection, event_type: str, **fields: Any) -> None:
    connection.router.publish({"type": event_type, "application": connection.app, **fields})
