"""What Asterisk says of its objects, as pydantic models.

Fields that this version does not know are ignored and all but the ids may be missing, so that an older or
newer Asterisk does not break us. Names follow Asterisk's `rest-api/api-docs`.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class CallerId(Model):
    name: str = ""
    number: str = ""


class DialplanPlace(Model):
    context: str = ""
    exten: str = ""
    priority: int = 0
    app_name: str = ""
    app_data: str = ""


class ChannelData(Model):
    """A channel's snapshot. `state` is Down, Rsrved, OffHook, Dialing, Ring, Ringing, Up, Busy, … or
    Unknown.
    """

    id: str
    name: str = ""
    state: str = "Unknown"
    caller: CallerId = CallerId()
    connected: CallerId = CallerId()
    accountcode: str = ""
    dialplan: DialplanPlace = DialplanPlace()
    creationtime: datetime | None = None
    language: str = ""
    protocol_id: str = ""
    caller_rdnis: str = ""
    channelvars: dict[str, str] = Field(default_factory=dict)


class BridgeData(Model):
    id: str
    name: str = ""
    technology: str = ""
    bridge_type: str = ""
    bridge_class: str = ""
    creator: str = ""
    channels: list[str] = Field(default_factory=list)
    creationtime: datetime | None = None


class PlaybackData(Model):
    """`state` is queued, playing, continuing, done, failed or cancelled."""

    id: str
    media_uri: str = ""
    next_media_uri: str = ""
    target_uri: str = ""
    language: str = ""
    state: str = ""


class LiveRecordingData(Model):
    """`state` is queued, recording, paused, done, failed or canceled; the durations are in s."""

    name: str
    format: str = ""
    target_uri: str = ""
    state: str = ""
    duration: int | None = None
    talking_duration: int | None = None
    silence_duration: int | None = None
    cause: str = ""


class EndpointData(Model):
    """`state` is online, offline, unknown, or missing where the technology cannot tell."""

    technology: str
    resource: str
    state: str | None = None
    channel_ids: list[str] = Field(default_factory=list)


class DeviceStateData(Model):
    """`state` is UNKNOWN, NOT_INUSE, INUSE, BUSY, INVALID, UNAVAILABLE, RINGING, RINGINUSE or ONHOLD."""

    name: str
    state: str = "UNKNOWN"


class ApplicationData(Model):
    """What a Stasis application is subscribed to, by id."""

    name: str
    channel_ids: list[str] = Field(default_factory=list)
    bridge_ids: list[str] = Field(default_factory=list)
    endpoint_ids: list[str] = Field(default_factory=list)
    device_names: list[str] = Field(default_factory=list)


class SystemInfo(Model):
    version: str = ""
    entity_id: str = ""


class StatusInfo(Model):
    startup_time: datetime | None = None
    last_reload_time: datetime | None = None


class AsteriskInfo(Model):
    system: SystemInfo = SystemInfo()
    status: StatusInfo = StatusInfo()
