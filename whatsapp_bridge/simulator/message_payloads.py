"""Webhook values of the field `messages`: permission replies in all their shapes, statuses, a customer's text."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from .config import NumberConfig
from .errors import title_of
from .identity import User

Source = Literal["user_action", "automatic"]


@dataclass(frozen=True)
class Reply:
    """What a permission reply says. Times are unix seconds."""

    accepts: bool
    at: int
    context_id: str | None = None
    "wamid of the request, wacid of the user's call, or none: from the profile, or revoked by Meta."
    permanent: bool = False
    expires_at: int | None = None
    source: Source = "user_action"
    expiration_as: Literal["string", "integer"] = "string"
    omit_type: bool = False
    "As in some of Meta's published fragments."
    message_id: str | None = None


def new_message_id(user: str) -> str:
    """A `wamid.` id: opaque, about 60 characters."""
    head = b"\x1c\x18" + bytes([len(user)]) + user.encode() + b"\x15\x02\x00\x11\x18\x12"
    return "wamid." + base64.b64encode(head + secrets.token_hex(9).upper().encode() + b"\x00").decode()


def permission_reply(number: NumberConfig, user: User, reply: Reply) -> dict[str, Any]:
    """The `value` of a call_permission_reply."""
    message = _from(user, reply.message_id or new_message_id(user.number), reply.at)
    if reply.context_id is not None:
        message["context"] = {"from": user.number, "id": reply.context_id}
        if user.hides_number:
            del message["context"]["from"]
    if not reply.omit_type:
        message["type"] = "interactive"
    content: dict[str, Any] = {"response": "accept" if reply.accepts else "reject"}
    if reply.accepts:
        content["is_permanent"] = reply.permanent
        if reply.expires_at is not None:
            as_text = reply.expiration_as == "string"
            content["expiration_timestamp"] = str(reply.expires_at) if as_text else reply.expires_at
    content["response_source"] = reply.source
    message["interactive"] = {"type": "call_permission_reply", "call_permission_reply": content}
    return _value(number) | {"contacts": [_contact(user)], "messages": [message]}


def text_message(number: NumberConfig, user: User, text: str, at: int) -> dict[str, Any]:
    """The `value` of a customer's ordinary message."""
    message = _from(user, new_message_id(user.number), at) | {"type": "text", "text": {"body": text}}
    return _value(number) | {"contacts": [_contact(user)], "messages": [message]}


def message_status(
    number: NumberConfig, user: User, message_id: str, status: str, at: int, error: int | None = None
) -> dict[str, Any]:
    """The `value` of a message's status: sent, delivered, read, failed."""
    entry: dict[str, Any] = {"id": message_id, "status": status, "timestamp": str(at)}
    if not user.hides_number:
        entry["recipient_id"] = user.number
    if user.user_id is not None:
        entry["recipient_user_id"] = user.user_id
    if error is not None:
        title = title_of(error)
        entry["errors"] = [{"code": error, "title": title, "message": title, "error_data": {"details": title}}]
    return _value(number) | {"statuses": [entry]}


def _value(number: NumberConfig) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": number.display_number, "phone_number_id": number.phone_number_id},
    }


def _from(user: User, message_id: str, at: int) -> dict[str, Any]:
    message: dict[str, Any] = {}
    if not user.hides_number:
        message["from"] = user.number
    if user.user_id is not None:
        message["from_user_id"] = user.user_id
    if user.parent_user_id is not None:
        message["from_parent_user_id"] = user.parent_user_id
    return message | {"id": message_id, "timestamp": str(at)}


def _contact(user: User) -> dict[str, Any]:
    contact: dict[str, Any] = {"profile": {"name": user.name}}
    if user.username is not None:
        contact["profile"]["username"] = user.username
    if not user.hides_number:
        contact["wa_id"] = user.number
    if user.user_id is not None:
        contact["user_id"] = user.user_id
    return contact
