"""What the control API takes, as pydantic models; the client sends the same."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

from .payloads import ErrorPlaces
from .phone import Sound
from .webhooks import Shape, Signature, WebhookOptions

Digits = Annotated[str, StringConstraints(pattern=r"^[0-9*#A-D]{1,64}$")]
Number = Annotated[str, StringConstraints(pattern=r"^\d{3,20}$")]


class Model(BaseModel):
    """Unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Behaviour(Model):
    """What user and relay do in one call. `None` means the configured time."""

    ring_s: float | None = Field(default=None, gt=0, description="the user gives up after that")
    first_media_s: float | None = Field(default=None, gt=0)
    media_gap_s: float | None = Field(default=None, gt=0)
    waits_for_media: bool = Field(default=True, description="sends nothing before a packet came in")
    role_conflict: Literal["487", "ignore"] = "487"
    error_places: ErrorPlaces = "both"
    omit_direction: bool = False
    cancel_after_ms: int | None = Field(
        default=None, ge=0, description="hang up that long after placing, if not accepted"
    )
    hangup_after_ms: int | None = Field(default=None, ge=0, description="hang up that long after accept")
    timestamp_offset_s: int = Field(
        default=0, description="added to the connect webhook's timestamp; -120 makes it stale"
    )
    call_id: str | None = Field(default=None, min_length=1, max_length=10_000, description="instead of a fresh wacid")
    sdp: str | None = Field(default=None, description="instead of the relay's offer")
    sdp_omit: list[str] = Field(default=[], description="attributes to leave out of the offer, e.g. fingerprint")
    extra: dict[str, Any] = Field(default={}, description="keys put into the call object of every webhook")


class PlaceCall(Model):
    """A user calls a business number."""

    to: str | None = Field(default=None, description="display number or phone_number_id; default: the first number")
    from_: Number = Field(
        default="16315553602", validation_alias=AliasChoices("from", "from_"), serialization_alias="from"
    )
    name: str = "Ada Example"
    user_id: str | None = Field(default=None, description="BSUID")
    parent_user_id: str | None = None
    username: str | None = None
    hides_number: bool = Field(default=False, description="payloads carry the BSUID only")
    play: Sound = Sound(silence=True)
    record: bool = True
    deeplink_payload: str | None = None
    cta_payload: str | None = None
    webhooks: WebhookOptions = WebhookOptions()
    behaviour: Behaviour = Behaviour()


class UserPlan(Model):
    """What a user does when the business calls. Who has no plan accepts after half a second."""

    number: Number
    name: str = "Ada Example"
    user_id: str | None = Field(default=None, description="BSUID; `recipient` of a connect finds the user by it")
    parent_user_id: str | None = None
    username: str | None = None
    hides_number: bool = False
    permission: bool | Literal["none", "temporary", "permanent"] | None = Field(
        default=True,
        description="for every number: true is permanent and beyond all limits, false is none; null: it stays as it is",
    )
    on_request: Literal["accept", "accept_permanent", "decline", "ignore", "old_client"] = Field(
        default="accept", description="what the user does when asked for permission to call"
    )
    on_request_ms: int = Field(default=300, ge=0, description="delivery of the request to the user's answer")
    callable: bool = Field(default=True, description="false: connect is refused with 138001")
    answer: Literal["accept", "reject", "ignore", "busy"] = Field(
        default="accept", description="busy: REJECTED, and the phone never rings"
    )
    connect_ms: int = Field(default=20, ge=0, description="reply of connect to the connect webhook")
    ringing_ms: int = Field(default=50, ge=0, description="to the status RINGING")
    answer_ms: int = Field(default=500, ge=0, description="to ACCEPTED or REJECTED")
    accepted_delay_ms: int = Field(default=0, ge=0, description="how long ACCEPTED trails the user's answer")
    early_media: bool = Field(default=False, description="the relay sends `play` while it rings already")
    setup: Literal["active", "passive"] = Field(default="active", description="the relay's part in DTLS")
    play: Sound = Sound(silence=True)
    record: bool = True
    webhooks: WebhookOptions = WebhookOptions()
    behaviour: Behaviour = Behaviour()


class CallEvent(Model):
    """A webhook of a call with any event, such as `call_recording_available`."""

    event: str = Field(min_length=1, max_length=100)
    content: dict[str, Any] = {}


class PressDigits(Model):
    """Digits on the phone's keypad."""

    digits: Digits
    duration_ms: int = Field(default=120, ge=40, le=8000)
    gap_ms: int = Field(default=80, ge=20, le=8000)


class GraphFault(Model):
    """Replies of the Graph API that fail, or are late."""

    action: str = Field(default="*", description="connect, pre_accept, accept, reject, terminate or * for all")
    count: int = Field(default=1, ge=1, le=100_000)
    code: int | None = Field(
        default=None, description="Graph error code; none: the request is served (after the delay)"
    )
    http_status: int | None = Field(default=None, ge=200, le=599)
    message: str | None = None
    details: str | None = None
    delay_ms: int = Field(default=0, ge=0, le=120_000, description="before the action; with `applied` after it")
    disconnect: bool = Field(default=False, description="the connection is closed without a reply")
    applied: bool = Field(default=False, description="the action takes place although the reply fails")


class Injection(Model):
    """A POST of anything to the bridge's webhook."""

    body: Any = None
    raw: str | None = Field(default=None, description="sent as it is, UTF-8; instead of body")
    signature: Signature = "good"
    headers: dict[str, str] = {}


class Release(Model):
    """How held webhooks are let go."""

    shape: Shape = "changes"
    backwards: bool = False
    signature: Signature = "good"


class Verification(Model):
    """The GET handshake; the defaults are right, so that a test may get one wrong."""

    verify_token: str | None = None
    mode: str = "subscribe"
    challenge: str | None = None


class NumberState(Model):
    """Switches of a business number."""

    calling_enabled: bool | None = None
    sip_enabled: bool | None = None
    outbound_available: bool | None = Field(default=None, description="false: connect is refused with 138013")
    outbound_suspended: bool | None = Field(default=None, description="true: connect is refused with 138014")
    payment_valid: bool | None = Field(default=None, description="false: connect is refused with 131044")
    concurrent_calls: int | None = Field(default=None, ge=0, description="more are refused with 138002")
    new_calls_a_day: int | None = Field(default=None, ge=0, description="more connects are refused with 138005")
    allowed_users: list[Number] | None = Field(
        default=None, description="a test number: connect of others is refused with 131030; [] is no test number"
    )
