"""Webhook bodies of the field `calls`, with the key sets and key order of live ones. Pure functions."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from .config import NumberConfig
from .errors import title_of
from .identity import User

Change = tuple[str, str, dict[str, Any]]
"""WABA id, webhook field, value."""
Direction = Literal["USER_INITIATED", "BUSINESS_INITIATED"]
ErrorPlaces = Literal["both", "value", "call", "none"]


@dataclass(frozen=True)
class Ending:
    """How a call ended, as the terminate webhook tells it. Times are unix seconds."""

    status: Literal["COMPLETED", "FAILED"]
    timestamp: int
    start: int | None = None
    end: int | None = None
    errors: tuple[int, ...] = ()


@dataclass(frozen=True)
class CallFacts:
    """What every webhook of a call says of it."""

    id: str
    number: NumberConfig
    user: User
    direction: Direction
    deeplink_payload: str | None = None
    cta_payload: str | None = None
    omit_direction: bool = False
    error_places: ErrorPlaces = "both"
    extra: dict[str, Any] = field(default_factory=dict)


def connect(facts: CallFacts, timestamp: int, sdp: str, sdp_type: str, opaque: str | None = None) -> dict[str, Any]:
    """The `value` of a connect webhook."""
    call = _call(facts, "connect", timestamp)
    _payloads(facts, call, opaque)
    call["session"] = {"sdp": sdp, "sdp_type": sdp_type}
    return _value(facts, contacts=True) | {"calls": [call | facts.extra]}


def terminate(facts: CallFacts, ending: Ending, opaque: str | None = None) -> dict[str, Any]:
    """The `value` of a terminate webhook."""
    call = _call(facts, "terminate", ending.timestamp)
    _payloads(facts, call, opaque)
    call["status"] = ending.status
    if ending.start is not None and ending.end is not None:
        call["start_time"] = str(ending.start)
        call["end_time"] = str(ending.end)
        call["duration"] = ending.end - ending.start
    errors = [_error(code) for code in ending.errors]
    if errors and facts.error_places in ("both", "call"):
        call["errors"] = errors
    # Contacts came to terminate webhooks together with business-scoped ids.
    value = _value(facts, contacts=facts.user.user_id is not None) | {"calls": [call | facts.extra]}
    if errors and facts.error_places in ("both", "value"):
        value["errors"] = errors
    return value


def status(facts: CallFacts, state: str, timestamp: int, opaque: str | None = None) -> dict[str, Any]:
    """The `value` of a RINGING, ACCEPTED or REJECTED status."""
    entry: dict[str, Any] = {"id": facts.id, "timestamp": str(timestamp), "type": "call", "status": state}
    if not facts.user.hides_number:
        entry["recipient_id"] = facts.user.number
    if facts.user.user_id is not None:
        entry["recipient_user_id"] = facts.user.user_id
    if facts.user.parent_user_id is not None:
        entry["recipient_parent_user_id"] = facts.user.parent_user_id
    if opaque is not None:
        entry["biz_opaque_callback_data"] = opaque
    return _value(facts, contacts=False) | {"statuses": [entry | facts.extra]}


def event(facts: CallFacts, name: str, timestamp: int, content: dict[str, Any]) -> dict[str, Any]:
    """The `value` of any other event of a call."""
    return _value(facts, contacts=True) | {"calls": [_call(facts, name, timestamp) | content]}


def envelope(changes: list[Change], shape: str = "changes") -> dict[str, Any]:
    """One POST's body. `shape`: every value a change, an entry, or those of `calls` merged into few."""
    if shape == "entries":
        entries = [_entry(waba, [(name, value)]) for waba, name, value in changes]
    else:
        by_waba: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for waba, name, value in changes:
            by_waba.setdefault(waba, []).append((name, value))
        entries = [_entry(waba, _merged(parts) if shape == "merged" else parts) for waba, parts in by_waba.items()]
    return {"object": "whatsapp_business_account", "entry": entries}


def serialise(body: Any, *, shuffle: bool = False, escape_slashes: bool = False) -> bytes:
    """ASCII-only JSON, as Meta signs it."""
    if shuffle:
        body = _shuffled(body)
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"))
    return (text.replace("/", "\\/") if escape_slashes else text).encode("ascii")


def _value(facts: CallFacts, *, contacts: bool) -> dict[str, Any]:
    value: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "metadata": {
            "display_phone_number": facts.number.display_number,
            "phone_number_id": facts.number.phone_number_id,
        },
    }
    if contacts:
        value["contacts"] = [_contact(facts.user)]
    return value


def _contact(user: User) -> dict[str, Any]:
    profile: dict[str, Any] = {"name": user.name}
    if user.username is not None:
        profile["username"] = user.username
    contact: dict[str, Any] = {"profile": profile}
    if not user.hides_number:
        contact["wa_id"] = user.number
    if user.user_id is not None:
        contact["user_id"] = user.user_id
    if user.parent_user_id is not None:
        contact["parent_user_id"] = user.parent_user_id
    return contact


def _call(facts: CallFacts, event: str, timestamp: int) -> dict[str, Any]:
    user, business = facts.user.number, facts.number.display_number
    inbound = facts.direction == "USER_INITIATED"
    call: dict[str, Any] = {"id": facts.id}
    role = "from" if inbound else "to"
    if inbound:
        if not facts.user.hides_number:
            call["from"] = user
        call["to"] = business
    else:
        call["from"] = business
        if not facts.user.hides_number:
            call["to"] = user
    if facts.user.user_id is not None:
        call[f"{role}_user_id"] = facts.user.user_id
    if facts.user.parent_user_id is not None:
        call[f"{role}_parent_user_id"] = facts.user.parent_user_id
    call["event"] = event
    call["timestamp"] = str(timestamp)
    if not facts.omit_direction:
        call["direction"] = facts.direction
    return call


def _payloads(facts: CallFacts, call: dict[str, Any], opaque: str | None) -> None:
    given = {
        "deeplink_payload": facts.deeplink_payload,
        "cta_payload": facts.cta_payload,
        "biz_opaque_callback_data": opaque,
    }
    call.update({key: text for key, text in given.items() if text is not None})


def _error(code: int) -> dict[str, Any]:
    title = title_of(code)
    return {"code": code, "title": title, "message": title, "error_data": {"details": f"{title} ({code})"}}


def _entry(waba: str, parts: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": waba, "changes": [{"value": value, "field": name} for name, value in parts]}
    if any(name == "account_update" for name, _ in parts):
        entry["time"] = int(time.time())
    return entry


def _merged(parts: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Values of the same number become one, with several calls in it."""
    merged: dict[str, dict[str, Any]] = {}
    for value in (value for name, value in parts if name == "calls"):
        target = merged.setdefault(value["metadata"]["phone_number_id"], {})
        for key, content in value.items():
            if isinstance(content, list):
                known = target.setdefault(key, [])
                known += [item for item in content if key != "contacts" or item not in known]
            else:
                target[key] = content
    others = [(name, value) for name, value in parts if name != "calls"]
    return [("calls", value) for value in merged.values()] + others


def _shuffled(body: Any) -> Any:
    if isinstance(body, dict):
        keys = list(body)
        random.shuffle(keys)
        return {key: _shuffled(body[key]) for key in keys}
    if isinstance(body, list):
        return [_shuffled(item) for item in body]
    return body
