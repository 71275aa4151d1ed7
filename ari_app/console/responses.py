"""How a page answers: with a template, or by sending the browser on, with a word about what was done."""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from ari_app.console.keys import CONFIG, RENDERER, TABLE
from ari_app.console.session import FORM_TOKEN, form_token, keep_visitor, user_or_none

_NOTE = "aw_note"
_THEME = "aw_theme"
_LONGEST_NOTE = 400
LONGEST_PATH = 1000


def page(request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
    """A whole page. `context` is added to what every page has: user, navigation, token, note."""
    user = user_or_none(request)
    note = _note(request)
    html = request.app[RENDERER].render(
        template,
        {
            "user": user,
            "now": datetime.now(UTC),
            "navigation": request.app[TABLE].navigation(user.role) if user else {},
            "path": request.path,
            "token": form_token(request),
            "token_field": FORM_TOKEN,
            "note": note,
            "theme": theme if (theme := request.cookies.get(_THEME)) in ("light", "dark") else "",
            "invalid": {},
            **context,
        },
    )
    response = web.Response(text=html, status=status, content_type="text/html")
    keep_visitor(request, response)
    if note:
        response.del_cookie(_NOTE, path="/")
    return response


def fragment(request: web.Request, template: str, **context: Any) -> str:
    """A part of a page, for live updates."""
    common = {"user": user_or_none(request), "token": form_token(request), "token_field": FORM_TOKEN}
    return request.app[RENDERER].render(template, {**common, **context})


def see_other(request: web.Request, path: str, note: str = "") -> web.Response:
    """After a form: the browser gets `path` anew, where it says `note` once."""
    response = web.Response(status=303, headers={"Location": path})
    if note:
        value = base64.urlsafe_b64encode(json.dumps(note[:_LONGEST_NOTE]).encode()).decode()
        secure = request.app[CONFIG].is_secure
        response.set_cookie(_NOTE, value, path="/", max_age=60, httponly=True, samesite="Lax", secure=secure)
    return response


def _note(request: web.Request) -> str:
    """What the last form had to say. It comes from the browser: text, and short."""
    try:
        note = json.loads(base64.urlsafe_b64decode(request.cookies.get(_NOTE, "")))
    except (ValueError, binascii.Error):
        return ""
    return note[:_LONGEST_NOTE] if isinstance(note, str) else ""


def wants_html(request: web.Request) -> bool:
    return "text/html" in request.headers.get("Accept", "")


def local_path(text: str) -> str | None:
    """A path of this console to go back to; None for anything that could lead elsewhere."""
    leads_elsewhere = not text.startswith("/") or text.startswith("//") or "\\" in text
    return None if leads_elsewhere or not text.isprintable() or len(text) > LONGEST_PATH else text
