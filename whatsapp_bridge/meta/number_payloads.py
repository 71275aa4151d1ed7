"""Reads the webhook fields `messages`, `account_settings_update` and `account_update`, with tolerance and bounded.

`messages` brings all that customers write. Of it only permission replies and failures of our own messages are read;
the rest is passed over unread, so that it reaches neither a log nor the database.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whatsapp_bridge.meta.number_events import AccountNotice, MessageFailed, PermissionReply, SettingsChanged
from whatsapp_bridge.meta.payloads import (
    MalformedEvent,
    ReceivedEvent,
    clean,
    digits,
    faults,
    jsonable,
    list_of,
    timestamp,
)

MAX_ID = 512
#: More settings than Meta has; what is longer is not Meta's, characters of JSON.
MAX_SETTINGS = 100_000
#: A temporary permission whose end Meta did not name. Source: Meta, "User call permissions".
TEMPORARY = timedelta(days=7)


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Context(_Model):
    id: str | None = Field(None, max_length=MAX_ID)


class _Reply(_Model):
    response: Literal["accept", "reject"]
    is_permanent: bool = False
    expiration_timestamp: str | int | None = None
    response_source: str = ""


class _Interactive(_Model):
    call_permission_reply: _Reply


class _Message(_Model):
    id: str = Field(min_length=1, max_length=MAX_ID)
    from_: str | None = Field(None, alias="from", max_length=64)
    from_user_id: str | None = Field(None, max_length=256)
    timestamp: str | int
    context: _Context = Field(default_factory=lambda: _Context(id=None))
    interactive: _Interactive


class _Error(_Model):
    code: int
    title: str = ""
    message: str = ""
    error_data: dict[str, Any] = Field(default_factory=dict)


class _Status(_Model):
    id: str = Field(min_length=1, max_length=MAX_ID)
    recipient_id: str | None = Field(None, max_length=64)
    errors: list[_Error] = Field(default_factory=list)


def read_messages(value: dict[str, Any], number_id: str) -> tuple[list[ReceivedEvent], list[str]]:
    """Permission replies and failed messages of a value of `messages`; and what is wrong with others of those."""
    found: list[ReceivedEvent] = []
    wrong: list[str] = []
    for entry, reader in [
        *((entry, _reply) for entry in list_of(value, "messages") if _is_reply(entry)),
        *((entry, _failure) for entry in list_of(value, "statuses") if _is_failure(entry)),
    ]:
        try:
            found.append(reader(entry, number_id))
        except ValidationError as error:
            wrong.append(faults(error))
        except MalformedEvent as error:
            wrong.append(str(error))
    return found, wrong


def settings_number(value: dict[str, Any]) -> str | None:
    """Which number an `account_settings_update` is about."""
    settings = value.get("phone_number_settings")
    found = settings.get("phone_number_id") if isinstance(settings, dict) else None
    return found if isinstance(found, str) else None


def read_settings_update(value: dict[str, Any], number_id: str) -> ReceivedEvent:
    """Read a value of `account_settings_update`. Raises MalformedEvent."""
    settings = value.get("phone_number_settings")
    calling = settings.get("calling") if isinstance(settings, dict) else None
    at = timestamp(value.get("timestamp"))
    if str(value.get("type", "")).lower() != "phone_number_settings" or not isinstance(calling, dict) or at is None:
        raise MalformedEvent("a settings update without type, calling settings or time")
    text = json.dumps(jsonable(calling), sort_keys=True)
    if len(text) > MAX_SETTINGS:
        raise MalformedEvent(f"a settings update of {len(text)} characters")
    event = SettingsChanged(number_id, json.loads(text), at)
    key = f"settings:{number_id}:{at.timestamp():.0f}:{hashlib.sha256(text.encode()).hexdigest()}"
    return ReceivedEvent("settings", key, event, {"phone_number_id": number_id, "calling": event.calling})


def account_number(value: dict[str, Any]) -> str | None:
    """Digits of the number an `account_update` is about."""
    found = value.get("phone_number")
    return digits(found) if isinstance(found, str) else None


def read_account_update(value: dict[str, Any], number_id: str, entry_time: object) -> list[ReceivedEvent]:
    """Read a value of `account_update`; other events than restrictions and violations are none of ours."""
    at = timestamp(entry_time if isinstance(entry_time, int | str) else None) or datetime.now(UTC)
    notices: list[AccountNotice] = []
    if value.get("event") == "ACCOUNT_RESTRICTION":
        for info in list_of(value, "restriction_info"):
            if isinstance(info, dict):
                notices += _notice(number_id, "restriction", info.get("restriction_type"), info, at)
    elif value.get("event") == "ACCOUNT_VIOLATION" and isinstance(info := value.get("violation_info"), dict):
        notices += _notice(number_id, "violation", info.get("violation_type"), info, at)
    return [
        ReceivedEvent(
            f"account_{notice.kind}",
            f"account:{number_id}:{notice.kind}:{notice.type}:{notice.expires_at}:{notice.remediation}:{at.timestamp():.0f}",
            notice,
            {"phone_number_id": number_id, "type": notice.type, "remediation": notice.remediation},
        )
        for notice in notices
    ]


def _notice(
    number_id: str, kind: Literal["restriction", "violation"], name: object, info: dict[str, Any], at: datetime
) -> list[AccountNotice]:
    if not isinstance(name, str) or not clean(name, 100):
        return []
    expiration, remediation = info.get("expiration"), info.get("remediation")
    return [
        AccountNotice(
            number_id,
            kind,
            clean(name, 100),
            timestamp(expiration) if isinstance(expiration, int | str) else None,
            clean(remediation, 1000) if isinstance(remediation, str) else "",
            at,
        )
    ]


def _is_reply(entry: object) -> bool:
    """The key, rather than `type`: published samples lack it."""
    interactive = entry.get("interactive") if isinstance(entry, dict) else None
    return isinstance(interactive, dict) and interactive.get("type") == "call_permission_reply"


def _is_failure(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("status") == "failed" and entry.get("type") != "call"


def _reply(entry: object, number_id: str) -> ReceivedEvent:
    message = _Message.model_validate(entry)
    said = message.interactive.call_permission_reply
    at, number = timestamp(message.timestamp), digits(message.from_)
    scoped_id = clean(message.from_user_id or "", 128) or None
    if at is None:
        raise MalformedEvent("a permission reply without a time")
    if number is None and scoped_id is None:
        raise MalformedEvent("a permission reply that names no user")
    accepted = said.response == "accept"
    permanent = accepted and said.is_permanent
    event = PermissionReply(
        phone_number_id=number_id,
        message_id=message.id,
        number=number,
        scoped_id=scoped_id,
        accepted=accepted,
        permanent=permanent,
        expires_at=(timestamp(said.expiration_timestamp) or at + TEMPORARY) if accepted and not permanent else None,
        context_id=clean(message.context.id or "", MAX_ID) or None,
        automatic=said.response_source.lower() == "automatic",
        at=at,
    )
    body = {"number": number, "scoped_id": scoped_id, "accepted": accepted, "permanent": permanent}
    body |= {"context_id": event.context_id, "automatic": event.automatic, "at": at.isoformat()}
    return ReceivedEvent("permission_reply", f"{message.id}:permission_reply", event, jsonable(body))


def _failure(entry: object, number_id: str) -> ReceivedEvent:
    status = _Status.model_validate(entry)
    first = status.errors[0] if status.errors else _Error(code=0, title="no reason given")
    details = first.error_data.get("details")
    parts = [first.title, first.message, details if isinstance(details, str) else ""]
    text = ": ".join(dict.fromkeys(clean(part, 200) for part in parts if part))
    event = MessageFailed(number_id, status.id, digits(status.recipient_id), first.code, text)
    body = jsonable({"message_id": status.id, "code": first.code, "text": text})
    return ReceivedEvent("message_failed", f"{status.id}:failed", event, body)
