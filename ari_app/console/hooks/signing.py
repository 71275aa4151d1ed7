"""How deliveries are signed, and when they are tried again. Pure.

The headers and the signature are those of Standard Webhooks (specification 1.0.0): HMAC-SHA256 (RFC 2104) over id, time
and body.
"""

import base64
import hmac
from datetime import timedelta

#: A receiver refuses what is older, or newer, s.
REPLAY_SECONDS = 300

#: Pauses between attempts, s: each is FACTOR times the one before. After GIVE_UP it is dead.
FIRST_PAUSE = 5.0
FACTOR = 3.0
LONGEST_PAUSE = 1800.0
GIVE_UP = 86_400.0


def shown(secret: bytes) -> str:
    """As receivers get it."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def signature(secret: bytes, message_id: str, seconds: int, body: bytes) -> str:
    """`seconds` is Unix time."""
    code = hmac.digest(secret, f"{message_id}.{seconds}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(code).decode()}"


def headers(secret: bytes, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": signature(secret, message_id, seconds, body),
    }


def is_genuine(secret: bytes, given: dict[str, str], body: bytes, now: float) -> bool:
    """As a receiver checks it."""
    try:
        seconds = int(given["webhook-timestamp"])
    except (KeyError, ValueError):
        return False
    if abs(now - seconds) > REPLAY_SECONDS:
        return False
    wanted = signature(secret, given.get("webhook-id", ""), seconds, body).encode()
    return any(hmac.compare_digest(wanted, one.encode()) for one in given.get("webhook-signature", "").split())


def pause(attempts: int, age: float, chance: float) -> timedelta | None:
    """Until the next attempt after so many, of what is `age` s old; None: it is given up.

    `chance` (0 to 1) spreads those of systems that went down together by a fifth either way.
    """
    if age >= GIVE_UP:
        return None
    seconds = min(FIRST_PAUSE * FACTOR ** min(attempts - 1, 10), LONGEST_PAUSE)
    return timedelta(seconds=seconds * (0.8 + 0.4 * chance))
