"""Async client of Asterisk's REST Interface: requests, typed events, handles that hear their own events.

Successor of ari-py (PyPI `ari`), which does not run on Python 3: the same shape, async on aiohttp, typed.
"""

from ari_app.ari.bridges import Bridge
from ari_app.ari.channel import Channel
from ari_app.ari.client import AriClient
from ari_app.ari.errors import (
    AriClosed,
    AriError,
    AriHttpError,
    AriReplaced,
    AriUnavailable,
    BadRequest,
    ChannelGone,
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    ServerError,
    Unauthorized,
    Unprocessable,
)
from ari_app.ari.ids import channel_id, object_id
from ari_app.ari.playbacks import Playback
from ari_app.ari.recordings import LiveRecording
from ari_app.ari.subscriptions import Subscription

__all__ = [
    "AriClient",
    "AriClosed",
    "AriError",
    "AriHttpError",
    "AriReplaced",
    "AriUnavailable",
    "BadRequest",
    "Bridge",
    "Channel",
    "ChannelGone",
    "Conflict",
    "Forbidden",
    "LiveRecording",
    "NotFound",
    "Playback",
    "PreconditionFailed",
    "ServerError",
    "Subscription",
    "Unauthorized",
    "Unprocessable",
    "channel_id",
    "object_id",
]
