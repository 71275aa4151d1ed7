"""Call ids as Meta writes them, and the users who call."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass


@dataclass(frozen=True)
class User:
    """A WhatsApp user. `number` is digits without `+`."""

    number: str
    name: str
    user_id: str | None = None
    "business-scoped user id (BSUID)"
    parent_user_id: str | None = None
    username: str | None = None
    hides_number: bool = False
    "payloads carry the BSUID only"


def new_call_id(user: str, business: str, *, user_initiated: bool) -> str:
    """A `wacid.` id: opaque, case-sensitive, about 110 characters, in the make-up of Meta's own."""
    tail = secrets.token_hex(16).upper().encode()
    first = b"\x1c\x18" + bytes([len(user)]) + user.encode()
    direction = b"\x15\x02\x00" + (b"\x12" if user_initiated else b"\x11")
    second = b"\x1c\x18" + bytes([len(business)]) + business.encode() + b"\x15\x02\x00\x00"
    return "wacid." + base64.b64encode(first + direction + b"\x18\x20" + tail + second).decode()
