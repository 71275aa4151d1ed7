"""Graph API errors: the codes calling knows, their HTTP status, and the body Meta wraps them in."""

from __future__ import annotations

import base64
import secrets
from typing import Any, Final

# code -> (HTTP status, message)
_TABLE: Final[dict[int, tuple[int, str]]] = {
    100: (400, "Invalid parameter"),
    190: (401, "Invalid OAuth access token - Cannot parse access token"),
    613: (429, "Calls to this api have exceeded the rate limit"),
    2500: (400, "Unknown path components"),
    131009: (400, "Parameter value is not valid"),
    131026: (400, "Message undeliverable"),
    131030: (400, "Recipient phone number not in allowed list"),
    131047: (400, "Re-engagement message"),
    131044: (400, "Business eligibility payment issue"),
    131055: (400, "Method not allowed: calls of this number are signalled by SIP"),
    138000: (401, "Calling not enabled"),
    138001: (400, "Receiver uncallable"),
    138002: (429, "Concurrent calls limit reached"),
    138003: (400, "Duplicate call"),
    138004: (500, "Connection error"),
    138005: (429, "Call rate limit exceeded"),
    138006: (401, "No approved call permission from the recipient"),
    138007: (500, "Connection timed out"),
    138008: (400, "SDP Validation error"),
    132000: (400, "Number of parameters does not match the expected number of params"),
    132001: (404, "Template name does not exist in the translation"),
    138009: (400, "Call permission request limit reached"),
    138012: (400, "Limit of connected business-initiated calls reached"),
    138013: (400, "Business-initiated calling is not available"),
    138014: (400, "Calling is suspended for this number"),
    138015: (400, "Calling cannot be enabled"),
    138017: (400, "Permanent call permission exists already"),
    138018: (400, "Calling cannot be enabled: nobody takes the calls"),
    138021: (400, "Client received no media for a long time"),
}


class GraphError(Exception):
    """A request that Meta would refuse.

    `details` goes to `error_data.details`; `http` overrides the status that belongs to the code.
    """

    def __init__(
        self, code: int, details: str | None = None, *, message: str | None = None, http: int | None = None
    ) -> None:
        status, text = _TABLE.get(code, (400, "Unknown error"))
        self.code = code
        self.details = details
        self.message = message or text
        self.http = http or status
        super().__init__(f"({code}) {self.message}" + (f": {details}" if details else ""))

    def body(self) -> dict[str, Any]:
        """The JSON body of the reply."""
        error: dict[str, Any] = {
            "message": f"(#{self.code}) {self.message}",
            "type": "OAuthException",
            "code": self.code,
        }
        if self.details is not None:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        error["fbtrace_id"] = base64.urlsafe_b64encode(secrets.token_bytes(9)).decode()
        return {"error": error}


def title_of(code: int) -> str:
    """The words Meta has for `code`, for the `errors` list of a webhook."""
    return _TABLE.get(code, (0, "Unknown error"))[1]
