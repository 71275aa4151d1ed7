"""Events of Asterisk's REST Interface, one model each, told apart by `type`.

The class name is the ARI name. An event that is not listed becomes an `UnknownEvent`, which keeps all its
fields.
"""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from ari_app.ari.models import (
    BridgeData,
    ChannelData,
    DeviceStateData,
    EndpointData,
    LiveRecordingData,
    Model,
    PlaybackData,
)


class Event(Model):
    type: str
    application: str = ""
    timestamp: datetime | None = None
    asterisk_id: str = ""


class UnknownEvent(Event):
    model_config = ConfigDict(extra="allow", frozen=True)


class Reconnected(Event):
    """Ours, not Asterisk's: the event websocket is back after a cut, and events of the time between are lost.

    Comes to `client.events()` after every watched handle has been brought up to date (see `resync.py`).
    """

    type: str = "Reconnected"


class ApplicationReplaced(Event):
    """Another websocket has taken over our application. This one gets nothing more."""


class ChannelEvent(Event):
    channel: ChannelData


class StasisStart(ChannelEvent):
    args: list[str] = Field(default_factory=list)
    replace_channel: ChannelData | None = None


class StasisEnd(ChannelEvent):
    """The channel left the application: it hung up, or it was sent on in the dialplan."""


class ChannelCreated(ChannelEvent):
    pass


class ChannelDestroyed(ChannelEvent):
    """The last event of a channel. `cause` is Q.850; 0 when Asterisk did not know or we were not told."""

    cause: int = 0
    cause_txt: str = ""
    tech_cause: int | None = None
    "The technology's own cause: the last SIP status of a PJSIP channel."


class ChannelStateChange(ChannelEvent):
    pass


class ChannelHangupRequest(ChannelEvent):
    """Somebody wants the channel gone. When it was ARI, `cause` is 32, a flag and no Q.850 cause (Asterisk
    22.10):
    the true one comes with ChannelDestroyed."""

    cause: int | None = None
    soft: bool = False


class ChannelDtmfReceived(ChannelEvent):
    """A digit ended. `digit` is one of 0-9 A-D * #."""

    digit: str
    duration_ms: int = 0


class ChannelVarset(Event):
    """`channel` is missing for a global variable."""

    channel: ChannelData | None = None
    variable: str
    value: str = ""


class ChannelHold(ChannelEvent):
    musicclass: str = ""


class ChannelUnhold(ChannelEvent):
    pass


class ChannelTalkingStarted(ChannelEvent):
    pass


class ChannelTalkingFinished(ChannelEvent):
    duration: int = 0
    """ms of talk"""


class ChannelCallerId(ChannelEvent):
    caller_presentation: int = 0
    caller_presentation_txt: str = ""


class ChannelConnectedLine(ChannelEvent):
    pass


class ChannelUserevent(Event):
    channel: ChannelData | None = None
    eventname: str
    userevent: dict[str, Any] = Field(default_factory=dict)


class BridgeEvent(Event):
    bridge: BridgeData


class BridgeCreated(BridgeEvent):
    pass


class BridgeDestroyed(BridgeEvent):
    pass


class BridgeMerged(BridgeEvent):
    bridge_from: BridgeData


class ChannelEnteredBridge(BridgeEvent):
    channel: ChannelData


class ChannelLeftBridge(BridgeEvent):
    channel: ChannelData


class BridgeAttendedTransfer(Event):
    """A phone connected the two calls that it had. `result` is Success, or why not.

    The legs are the phone's own two channels; those that are in no bridge have their place in the dialplan.
    """

    transferer_first_leg: ChannelData
    transferer_second_leg: ChannelData
    transferee: ChannelData | None = None
    transfer_target: ChannelData | None = None
    result: str = ""


class Dial(Event):
    """Progress of a dial. `dialstatus` is empty at the start, then RINGING, PROGRESS, ANSWER, BUSY, NOANSWER,
    …
    """

    peer: ChannelData
    caller: ChannelData | None = None
    forward: str = ""
    forwarded: ChannelData | None = None
    dialstring: str = ""
    dialstatus: str = ""


class PlaybackEvent(Event):
    playback: PlaybackData


class PlaybackStarted(PlaybackEvent):
    pass


class PlaybackContinuing(PlaybackEvent):
    pass


class PlaybackFinished(PlaybackEvent):
    pass


class RecordingEvent(Event):
    recording: LiveRecordingData


class RecordingStarted(RecordingEvent):
    pass


class RecordingFinished(RecordingEvent):
    pass


class RecordingFailed(RecordingEvent):
    pass


class DeviceStateChanged(Event):
    device_state: DeviceStateData


class EndpointStateChange(Event):
    endpoint: EndpointData


def _leaves(kind: type[Event]) -> dict[str, type[Event]]:
    """Event classes by ARI name: those without subclasses of their own."""
    found: dict[str, type[Event]] = {}
    for sub in kind.__subclasses__():
        found |= _leaves(sub) or {sub.__name__: sub}
    return found


KNOWN: dict[str, type[Event]] = {name: kind for name, kind in _leaves(Event).items() if kind is not UnknownEvent}


def parse(raw: dict[str, Any]) -> Event:
    """Make an event of decoded JSON. Raises pydantic.ValidationError when a known event lacks what defines
    it.
    """
    kind = KNOWN.get(raw.get("type", ""), UnknownEvent)
    return kind.model_validate(raw)


def subjects(raw: dict[str, Any]) -> list[str]:
    """What an event (decoded JSON) is about, as ARI writes it: `channel:<id>`, `bridge:<id>`,
    `playback:<id>`, …

    A playback or recording event is about its target as well, so that a channel's subscriber sees its prompts
    end.
    """
    found = []
    for field in ("channel", "peer", "caller", "forwarded", "replace_channel", "transferer_first_leg"):
        if (part := raw.get(field)) is not None and raw.get("type") != "PeerStatusChange":  # its peer is no channel
            found.append("channel:" + part["id"])
    for field in ("bridge", "bridge_from"):
        if (part := raw.get(field)) is not None:
            found.append("bridge:" + part["id"])
    if (part := raw.get("playback")) is not None:
        found += ["playback:" + part["id"], part.get("target_uri", "")]
    if (part := raw.get("recording")) is not None:
        found += ["recording:" + part["name"], part.get("target_uri", "")]
    if (part := raw.get("endpoint")) is not None:
        found.append(f"endpoint:{part['technology']}/{part['resource']}")
    if (part := raw.get("device_state")) is not None:
        found.append("deviceState:" + part["name"])
    return found


#: Events after which nothing more comes for the first of their subjects.
LAST_WORDS = frozenset(
    {"ChannelDestroyed", "BridgeDestroyed", "PlaybackFinished", "RecordingFinished", "RecordingFailed"}
)
