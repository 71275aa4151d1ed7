"""What page and simulator say to each other: JSON over a websocket. The page is a stranger: all is bounded."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..models import Number
from .description import MAX_LENGTH

MAX_MESSAGE = 2 * MAX_LENGTH

Name = Annotated[str, Field(min_length=1, max_length=60)]
CallId = Annotated[str, Field(min_length=1, max_length=10_000)]
Sdp = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SwitchOn(_Said):
    """The phone belongs to this user from now on; who it was before hangs up."""

    type: Literal["on"]
    number: Number
    name: Name


class PlaceCall(_Said):
    """The user calls."""

    type: Literal["call"]
    to: Annotated[str, Field(pattern=r"^\d{1,64}$")]
    "phone_number_id or display number"
    sdp: Sdp


class Description(_Said):
    """The browser's answer to the SDP of a business that calls, sent before anybody answers."""

    type: Literal["description"]
    call: CallId
    sdp: Sdp


class Act(_Said):
    """The user presses a button of a call."""

    type: Literal["accept", "decline", "hangup"]
    call: CallId


class Stats(_Said):
    """What the browser's WebRTC counted, once a second."""

    type: Literal["stats"]
    call: CallId
    connected: bool
    "ICE and DTLS are up"
    failed: bool = False
    role: Literal["client", "server"] | None = None
    "the browser's in DTLS"
    packets_in: Annotated[int, Field(ge=0, le=2**53)] = 0
    bytes_in: Annotated[int, Field(ge=0, le=2**53)] = 0
    packets_out: Annotated[int, Field(ge=0, le=2**53)] = 0
    bytes_out: Annotated[int, Field(ge=0, le=2**53)] = 0
    jitter_s: Annotated[float, Field(ge=0, le=60)] = 0.0


class Permit(_Said):
    """The user answers a business that asked for permission to call."""

    type: Literal["permit"]
    request: Annotated[str, Field(min_length=1, max_length=300)]
    answer: Literal["accept", "accept_permanent", "decline"]


class Profile(_Said):
    """The user grants permission in the business's profile, or takes it back."""

    type: Literal["profile"]
    number: Annotated[str, Field(min_length=1, max_length=64)]
    "phone_number_id"
    grants: bool


_Any = SwitchOn | PlaceCall | Description | Act | Stats | Permit | Profile
said: TypeAdapter[_Any] = TypeAdapter(Annotated[_Any, Field(discriminator="type")])

Told = dict[str, Any]
"""To the page. `type` is ready, taken, refused or permissions; of a call: calling, sdp, connected, ended, offer,
incoming or press."""
