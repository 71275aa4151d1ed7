"""What is sent to ask a user for permission to call: free form or template. No I/O.

Source: Meta, "User call permissions" (bodies), and the messages API's error codes.
"""

from dataclasses import dataclass
from typing import Any

#: The service window is closed: only a template may be sent.
WINDOW_CLOSED = 131047
#: Permanent permission exists already.
PERMANENT_ALREADY = 138017
#: Requests of this kind are limited, per user.
REQUEST_LIMIT = 138009
#: Too much in too short a time, whatever it is about: the request was not taken, and may be tried later.
#: 4 and 80007 are limits of application and account, 130429 and 131056 of the number and of the pair.
THROTTLED = frozenset({4, 613, 80007, 130429, 131056})

#: Seconds between tries, for what Meta has certainly not taken.
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0


@dataclass(frozen=True)
class Wording:
    """What a number says when it asks."""

    text: str | None = None
    "Of the free form; None: WhatsApp's own words only."
    template: str | None = None
    language: str = "en"


def use_template(wording: Wording, *, window_open: bool) -> bool:
    """Outside of the service window, as far as it is known, a template; without one, free form is tried all the same:
    customers' messages open the window too, and are not looked at here."""
    return wording.template is not None and not window_open


def body(user_key: str, wording: Wording, text: str | None, *, template: bool) -> dict[str, Any]:
    """The body of `POST /{phone-number-id}/messages`."""
    to = {"to": user_key} if user_key.isdigit() else {"recipient": user_key}
    message: dict[str, Any] = {"messaging_product": "whatsapp", "recipient_type": "individual", **to}
    if template:
        name = {"name": wording.template, "language": {"code": wording.language}}
        return message | {"type": "template", "template": name}
    interactive: dict[str, Any] = {
        "type": "call_permission_request",
        "action": {"name": "call_permission_request"},
    }
    if words := text or wording.text:
        interactive["body"] = {"text": words}
    return message | {"type": "interactive", "interactive": interactive}


def pause(attempts: int) -> float:
    """Seconds to wait after that many tries."""
    return min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 20), LONGEST_PAUSE)


def message_id(reply: dict[str, Any]) -> str | None:
    """Meta's id of the message that it took."""
    first = _first(reply, "messages")
    found = first.get("id")
    return found if isinstance(found, str) and 1 <= len(found) <= 512 else None


def scoped_id(reply: dict[str, Any]) -> str | None:
    """The user's business-scoped id, if the reply names it."""
    found = _first(reply, "contacts").get("user_id")
    return found if isinstance(found, str) and 1 <= len(found) <= 128 else None


def _first(reply: dict[str, Any], name: str) -> dict[str, Any]:
    found = reply.get(name)
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, dict) else {}
