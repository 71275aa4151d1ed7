"""What Meta's `calls` webhooks hold, read with tolerance and bounded.

Meta's documentation and its live service differ in places (lists where strings stand, errors in either of two
places, fields that come and go), so everything that can be missing is optional, unknown fields are ignored,
and one malformed call never spoils the others of the same POST.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whatsapp_bridge.meta.number_events import NumberEvent

MAX_CALL_ID = 512
MAX_NAME = 128
MAX_PAYLOAD = 512

Direction = Literal["inbound", "outbound"]


class MalformedEvent(ValueError):
    """An event of a webhook cannot be used; the message says what is wrong with it."""


def clean(text: str, limit: int) -> str:
    """Untrusted text made safe to store and show: no control characters, no lone surrogates, bounded."""
    printable = "".join(c for c in text[: 4 * limit] if unicodedata.category(c) not in ("Cc", "Cs", "Cf", "Zl", "Zp"))
    return " ".join(printable.split())[:limit]


@dataclass(frozen=True)
class User:
    """The WhatsApp user at the other end."""

    id: str
    "Business-scoped id where Meta gives one, else the number."
    number: str | None
    "E.164 digits; None for users who show a username instead."
    name: str


@dataclass(frozen=True)
class CallError:
    code: int
    text: str


@dataclass(frozen=True)
class Connect:
    """A call begins: Meta's offer (inbound) or answer (outbound)."""

    call_id: str
    phone_number_id: str
    direction: Direction
    user: User
    sdp: str
    timestamp: datetime | None
    payload: str
    "What the call button or link carried, cleaned; anyone can write a link."
    opaque: str = ""
    "Outbound: what we gave the call when we asked for it."


@dataclass(frozen=True)
class Terminate:
    """A call is over, whoever ended it."""

    call_id: str
    phone_number_id: str
    status: str
    "COMPLETED or FAILED; an unanswered call counts as completed."
    start: datetime | None
    "When it was answered; None if it never was."
    end: datetime | None
    duration: int | None
    "Seconds, None if it was never answered."
    error: CallError | None
    opaque: str = ""


@dataclass(frozen=True)
class Status:
    """Progress of an outbound call: RINGING, ACCEPTED, REJECTED."""

    call_id: str
    phone_number_id: str
    status: str
    user_number: str | None = None
    opaque: str = ""


CallEvent = Connect | Terminate | Status
Event = CallEvent | NumberEvent


@dataclass(frozen=True)
class ReceivedEvent:
    """One event of a webhook, with what is stored of it."""

    kind: str
    key: str
    "The same for every delivery of the same event."
    event: Event
    body: dict[str, Any]

    @property
    def call_id(self) -> str | None:
        """Meta's id of the call it is about, if it is about one."""
        return self.event.call_id if isinstance(self.event, CallEvent) else None


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Session(_Model):
    sdp: str
    sdp_type: str = ""


class _Error(_Model):
    code: int
    title: str = ""
    message: str = ""
    error_data: dict[str, Any] = Field(default_factory=dict)


class _Call(_Model):
    id: str = Field(min_length=1, max_length=MAX_CALL_ID, pattern=r"^[\x21-\x7e]+$")
    event: str
    direction: str = ""
    from_: str | None = Field(None, alias="from")
    from_user_id: str | None = None
    to: str | None = None
    timestamp: str | int | None = None
    session: _Session | None = None
    status: str | list[str] = ""
    start_time: str | int | None = None
    end_time: str | int | None = None
    duration: int | None = None
    errors: list[_Error] = Field(default_factory=list)
    cta_payload: str | None = None
    deeplink_payload: str | None = None
    biz_opaque_callback_data: str | None = None


class _Status(_Model):
    id: str = Field(min_length=1, max_length=MAX_CALL_ID, pattern=r"^[\x21-\x7e]+$")
    type: str = ""
    status: str
    recipient_id: str | None = None
    biz_opaque_callback_data: str | None = None


class _Profile(_Model):
    name: str = ""
    username: str = ""


class _Contact(_Model):
    profile: _Profile = _Profile()
    wa_id: str | None = None
    user_id: str | None = None


def phone_number_id(value: dict[str, Any]) -> str | None:
    """Which business number the `value` of a change is about."""
    metadata = value.get("metadata")
    found = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
    return found if isinstance(found, str) else None


def read_call(value: dict[str, Any], number_id: str, entry: object) -> ReceivedEvent:
    """Read one element of `value.calls`. Raises MalformedEvent."""
    try:
        call = _Call.model_validate(entry)
        value_errors = [_Error.model_validate(e) for e in list_of(value, "errors")]
        contacts = [_Contact.model_validate(c) for c in list_of(value, "contacts")]
    except ValidationError as error:
        raise MalformedEvent(faults(error)) from error
    event: CallEvent
    match call.event:
        case "connect":
            event = _connect(call, number_id, contacts)
        case "terminate":
            event = _terminate(call, number_id, value_errors)
        case other:
            raise MalformedEvent(f"unknown event {clean(other, 40)!r} for call {call.id[:40]}")
    return ReceivedEvent(call.event, f"{call.id}:{call.event}", event, _stored(value, "calls", entry))


def read_status(value: dict[str, Any], number_id: str, entry: object) -> ReceivedEvent:
    """Read one element of `value.statuses`. Raises MalformedEvent."""
    try:
        status = _Status.model_validate(entry)
    except ValidationError as error:
        raise MalformedEvent(faults(error)) from error
    name = clean(status.status, 40).upper()
    opaque = clean(status.biz_opaque_callback_data or "", MAX_PAYLOAD)
    event = Status(status.id, number_id, name, digits(status.recipient_id), opaque)
    return ReceivedEvent(f"status:{name}", f"{status.id}:{name}", event, _stored(value, "statuses", entry))


def _connect(call: _Call, number_id: str, contacts: list[_Contact]) -> Connect:
    if call.session is None:
        raise MalformedEvent(f"connect of call {call.id[:40]} without a session")
    outbound = call.direction == "BUSINESS_INITIATED" or (not call.direction and call.session.sdp_type == "answer")
    contact = contacts[0] if contacts else _Contact()
    number = digits(call.to if outbound else call.from_) or digits(contact.wa_id)
    name = clean(contact.profile.name or contact.profile.username, MAX_NAME)
    identity = clean(call.from_user_id or contact.user_id or "", 128) or number or "anonymous"
    return Connect(
        call_id=call.id,
        phone_number_id=number_id,
        direction="outbound" if outbound else "inbound",
        user=User(identity, number, name),
        sdp=call.session.sdp,
        timestamp=timestamp(call.timestamp),
        payload=clean(call.cta_payload or call.deeplink_payload or "", MAX_PAYLOAD),
        opaque=clean(call.biz_opaque_callback_data or "", MAX_PAYLOAD),
    )


def _terminate(call: _Call, number_id: str, value_errors: list[_Error]) -> Terminate:
    status = call.status[0] if isinstance(call.status, list) and call.status else call.status
    errors = call.errors or value_errors
    error = None
    if errors:
        first = errors[0]
        details = first.error_data.get("details")
        parts = [first.title, first.message, details if isinstance(details, str) else ""]
        text = ": ".join(dict.fromkeys(clean(part, 200) for part in parts if part))
        error = CallError(first.code, text)
    return Terminate(
        call_id=call.id,
        phone_number_id=number_id,
        status=clean(str(status), 20).upper(),
        start=timestamp(call.start_time),
        end=timestamp(call.end_time),
        duration=call.duration,
        error=error,
        opaque=clean(call.biz_opaque_callback_data or "", MAX_PAYLOAD),
    )


def list_of(value: dict[str, Any], name: str) -> list[Any]:
    """The list of that name, empty if it is no list."""
    found = value.get(name)
    return found if isinstance(found, list) else []


def digits(text: str | None) -> str | None:
    """A phone number's digits; None if there are none, or more than E.164 has."""
    found = re.sub(r"[^0-9]", "", text or "")
    return found if 1 <= len(found) <= 15 else None


def timestamp(value: str | int | None) -> datetime | None:
    """Unix seconds, as Meta writes them: text or number."""
    try:
        return datetime.fromtimestamp(int(value), UTC) if value is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def faults(error: ValidationError) -> str:
    """What is wrong, without what was given."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:4])


def _stored(value: dict[str, Any], name: str, entry: object) -> dict[str, Any]:
    """The event with its surroundings."""
    stored: dict[str, Any] = jsonable(
        {k: value[k] for k in ("metadata", "contacts", "errors") if k in value} | {name: [entry]}
    )
    return stored


def jsonable(node: Any) -> Any:
    """Without what jsonb does not take: NUL and lone surrogates."""
    match node:
        case str():
            return re.sub(r"[\x00\ud800-\udfff]", "", node)
        case dict():
            return {jsonable(str(k)): jsonable(v) for k, v in node.items()}
        case list():
            return [jsonable(v) for v in node]
        case _:
            return node
