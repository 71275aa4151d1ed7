"""Between the network and every page: who asks, whether they may, whether the form is ours.

And what all answers have in common: headers, and errors in words.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from aiohttp import web

from ari_app.console.access import Handler, Page
from ari_app.console.api import routing
from ari_app.console.api.problems import of_http
from ari_app.console.forms import Form, TooLarge, read_form
from ari_app.console.keys import CONFIG, STORES
from ari_app.console.responses import page, see_other, wants_html
from ari_app.console.session import (
    FORM_TOKEN,
    FORM_TOKEN_HEADER,
    digest,
    is_form_token,
    is_from_elsewhere,
    remember,
    session_cookie,
    user_of,
    user_or_none,
)
from ari_app.store.configuration.database import ConfigurationError
from ari_app.store.database import StoreError, StoreUnavailable

logger = logging.getLogger(__name__)

FORM = web.RequestKey("form", Form)

#: Where somebody may go whose password must be changed first.
_BEFORE_CHANGE = ("/account/password", "/sign-out")

#: Nothing inline, nothing from elsewhere; nobody frames us (CSP Level 3).
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def guarded(entry: Page) -> Handler:
    """The page's handler behind its own door: there is no way to it without the checks."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if "\0" in request.path:
            raise web.HTTPNotFound
        await _recognise(request)
        if not entry.is_public and (refusal := _refusal(request, entry)) is not None:
            return refusal
        if entry.method == "GET":
            return await entry.handler(request)
        if is_from_elsewhere(request):
            raise web.HTTPForbidden(text="this form was sent from another site")
        with await read_form(request, entry.largest) as form:
            if not is_form_token(request, form.raw(FORM_TOKEN) or request.headers.get(FORM_TOKEN_HEADER, "")):
                raise web.HTTPForbidden(text="this form is too old: open the page again, and repeat what you did")
            request[FORM] = form
            return await entry.handler(request)

    return handle


def form_of(request: web.Request) -> Form:
    return request[FORM]


async def _recognise(request: web.Request) -> None:
    token = session_cookie(request)
    if token is None:
        return
    stores = request.app[STORES]
    session = await stores.sessions.find(digest(token))
    user = await stores.users.find(session.user_id) if session else None
    if session is not None and user is not None and user.enabled:
        remember(request, session, user)


def _refusal(request: web.Request, entry: Page) -> web.StreamResponse | None:
    user = user_or_none(request)
    if user is None:
        if request.method == "GET" and wants_html(request):
            return see_other(request, f"/sign-in?next={quote(request.path_qs, safe='')}")
        raise web.HTTPUnauthorized(text="sign in first")
    if user.role not in entry.roles:
        raise web.HTTPForbidden(text=f"this is not for the role {user_of(request).role}")
    if user.must_change and request.path not in _BEFORE_CHANGE:
        if request.method == "GET" and wants_html(request):
            return see_other(request, "/account/password")
        raise web.HTTPForbidden(text="change your password first")
    return None


@web.middleware
async def errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Whatever goes wrong becomes a page in words; faults of ours get a reference that the log has too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        if routing.is_ours(request):
            return of_http(error.status, error.text or error.reason, error.headers).response()
        return _told(request, error.status, error.text or error.reason)
    except TooLarge as error:
        # What is still being sent is not read: the connection ends with this answer.
        response = _told(request, 413, f"{error} is not taken here")
        response.force_close()
        return response
    except (StoreUnavailable, ConfigurationError) as error:
        logger.error("%s %s: %s", request.method, request.path, error)
        return _told(request, 503, "PostgreSQL is away or too busy just now. Try again in a moment.")
    except (StoreError, Exception) as error:
        reference = secrets.token_hex(4)
        logger.exception("%s %s failed, reference %s: %s", request.method, request.path, reference, error)
        return _told(request, 500, f"This is a fault of ours. The console's log has it under {reference}.")


_TITLES = {
    400: "That was not understood",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible",
    413: "Too large",
    429: "Too many attempts",
    503: "Out of reach",
}


def _told(request: web.Request, status: int, text: str) -> web.Response:
    if status == 404:
        text = "There is nothing at this address, or nothing for you."
    if not wants_html(request):
        return web.json_response({"error": text}, status=status)
    return page(request, "error.html", status=status, title=_TITLES.get(status, "Something went wrong"), text=text)


async def finish(request: web.Request, response: web.StreamResponse) -> None:
    """on_response_prepare: headers that every answer has. Pages are nobody else's to keep."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.app[CONFIG].is_secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    response.headers.setdefault("Cache-Control", "no-store")
