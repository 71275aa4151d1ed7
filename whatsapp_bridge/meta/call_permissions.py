"""Meta's answer to `GET /{phone-number-id}/call_permissions`, read with tolerance.

Source: Meta, "User call permissions". Its table names the end `expiration`, its sample `expiration_time`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from whatsapp_bridge.meta.invitation import Status
from whatsapp_bridge.meta.payloads import timestamp

_STATUSES: dict[object, Status] = {"no_permission": "none", "temporary": "temporary", "permanent": "permanent"}


@dataclass(frozen=True)
class Answer:
    """What Meta says of one user and one number."""

    status: Status
    expires_at: datetime | None = None
    can_call: bool | None = None
    can_request: bool | None = None
    call_limit_until: datetime | None = None
    "When a limit that is reached frees the next call."
    request_limit_until: datetime | None = None


def read(reply: dict[str, Any]) -> Answer:
    """A status that nobody knows yet is `unknown`; so is one that is missing."""
    permission = reply.get("permission")
    permission = permission if isinstance(permission, dict) else {}
    status = _STATUSES.get(permission.get("status"), "unknown")
    expires_at = _moment(permission.get("expiration_time", permission.get("expiration")))
    can_call, call_limit = _action(reply, "start_call")
    can_request, request_limit = _action(reply, "send_call_permission_request")
    return Answer(
        status, expires_at if status == "temporary" else None, can_call, can_request, call_limit, request_limit
    )


def query_of(user_key: str) -> dict[str, str]:
    """Whom the question is about: a number, or a business-scoped id."""
    return {"user_wa_id": user_key} if user_key.isdigit() else {"recipient": user_key}


def _action(reply: dict[str, Any], name: str) -> tuple[bool | None, datetime | None]:
    actions = reply.get("actions")
    for action in actions if isinstance(actions, list) else []:
        if isinstance(action, dict) and action.get("action_name") == name:
            limits = action.get("limits")
            ends = [
                end
                for limit in (limits if isinstance(limits, list) else [])
                if isinstance(limit, dict) and (end := _moment(limit.get("limit_expiration_time")))
            ]
            possible = action.get("can_perform_action")
            return possible if isinstance(possible, bool) else None, max(ends, default=None)
    return None, None


def _moment(value: object) -> datetime | None:
    return timestamp(value) if isinstance(value, int | str) else None
