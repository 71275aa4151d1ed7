"""What the API says when something is not done: problem details (RFC 9457), with an `error_id` for programs."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field

CONTENT_TYPE = "application/problem+json"

#: What each `error_id` means; the page for people lists them.
ERRORS = {
    "not_understood": "The request is not HTTP or JSON as described here.",
    "no_token": "The request has no token, or one that is not valid (any longer).",
    "not_allowed": "The token's role may not do this.",
    "not_found": "There is nothing at this address, or nothing that this token may see.",
    "method": "The address does not know this method.",
    "too_large": "The body is larger than is taken.",
    "media_type": "The body has another type than the operation takes.",
    "invalid": "The body or a parameter is not as described; errors says which part.",
    "refused": "It is against a rule, or against how things are now; detail says why, errors where.",
    "outdated": "Somebody else has changed the entry since its version.",
    "key_reused": "The Idempotency-Key belongs to another request.",
    "key_in_use": "A request with this Idempotency-Key is being done, or nobody knows whether it was: look before you "
    "ask with another key.",
    "too_many": "More requests than the token may make; Retry-After says in how many seconds there is room.",
    "unavailable": "PostgreSQL is away or too busy; the same request may well succeed later.",
    "fault": "A fault of ours; reference is in the console's log.",
}


class Part(BaseModel):
    """What is wrong with one part of a request."""

    field: str = Field(description="Path of the part, such as body/groups/0")
    message: str


class ProblemDetails(BaseModel):
    """RFC 9457"""

    type: str = Field(description="Address of what the error_id means")
    title: str
    status: int
    detail: str
    error_id: str = Field(description="For programs", json_schema_extra={"enum": list(ERRORS)})
    errors: list[Part] = Field(default_factory=list)
    reference: str | None = Field(None, description="Of a fault: what to look for in the console's log")


class Problem(Exception):
    """Nothing was done. `detail` is for people."""

    def __init__(
        self,
        status: int,
        error_id: str,
        detail: str,
        *,
        errors: list[Part] | None = None,
        headers: Mapping[str, str] | None = None,
        reference: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.error_id = error_id
        self.headers = headers
        self.details = ProblemDetails(
            type=f"/api/v1/docs#{error_id}",
            title=ERRORS[error_id],
            status=status,
            detail=detail,
            error_id=error_id,
            errors=errors or [],
            reference=reference,
        )

    def response(self) -> web.Response:
        text = self.details.model_dump_json()
        return web.Response(status=self.status, text=text, content_type=CONTENT_TYPE, headers=self.headers)


def not_found(what: str = "There is nothing at this address, or nothing for this token.") -> Problem:
    return Problem(404, "not_found", what)


def refused(detail: str, errors: list[Part] | None = None) -> Problem:
    return Problem(409, "refused", detail, errors=errors)


_IDS = {400: "not_understood", 401: "no_token", 403: "not_allowed", 404: "not_found", 405: "method", 413: "too_large"}


def of_http(status: int, text: str, headers: Mapping[str, Any]) -> Problem:
    """An error of aiohttp's own, such as an address or a method that there is not."""
    kept = {name: str(headers[name]) for name in ("Allow", "WWW-Authenticate") if name in headers}
    if status not in _IDS:
        status = 400 if status < 500 else 500
    return Problem(status, _IDS.get(status, "fault"), text, headers=kept)
