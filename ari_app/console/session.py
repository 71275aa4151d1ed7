"""Cookies and tokens: who a browser is, and that a form is one of ours.

A session's cookie is random; PostgreSQL has its hash. Before signing in a browser has a visitor's cookie, which is
stored nowhere: it binds the sign-in form to the browser. Signing in always makes a new session, so a cookie that
somebody planted beforehand is worth nothing. Form tokens are derived from the cookie (HMAC, RFC 2104).
"""

import base64
import hashlib
import hmac
import secrets

from aiohttp import web

from ari_app.console.keys import CONFIG
from ari_app.store.console.audit import Actor
from ari_app.store.console.sessions import Session
from ari_app.store.console.users import User

FORM_TOKEN = "token"  # noqa: S105 - the name of a field
FORM_TOKEN_HEADER = "X-Token"  # noqa: S105

_SESSION, _VISITOR = "aw_session", "aw_visitor"
_TOKEN_BYTES = 32
_LONGEST_COOKIE = 100

_USER = web.RequestKey("user", User)
_OPEN = web.RequestKey("session", Session)
_FRESH = web.RequestKey("visitor", str)


def new_token() -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _name(request: web.Request, name: str) -> str:
    """With the prefix that a browser accepts from this host alone (RFC 6265bis, 4.1.3.2), where TLS is."""
    return f"__Host-{name}" if request.app[CONFIG].is_secure else name


def session_cookie(request: web.Request) -> str | None:
    return _cookie(request, _SESSION)


def _cookie(request: web.Request, name: str) -> str | None:
    value = request.cookies.get(_name(request, name), "")
    return value if 0 < len(value) <= _LONGEST_COOKIE else None


def set_session(request: web.Request, response: web.StreamResponse, token: str) -> None:
    _set(request, response, _SESSION, token)
    response.del_cookie(_name(request, _VISITOR), path="/", secure=request.app[CONFIG].is_secure)


def clear_session(request: web.Request, response: web.StreamResponse) -> None:
    response.del_cookie(
        _name(request, _SESSION), path="/", secure=request.app[CONFIG].is_secure, httponly=True, samesite="Lax"
    )


def keep_visitor(request: web.Request, response: web.StreamResponse) -> None:
    """Give a browser its visitor's cookie, if a form that was rendered for it rests on one."""
    if _FRESH in request:
        _set(request, response, _VISITOR, request[_FRESH])


def _set(request: web.Request, response: web.StreamResponse, name: str, token: str) -> None:
    secure = request.app[CONFIG].is_secure
    response.set_cookie(_name(request, name), token, path="/", httponly=True, samesite="Lax", secure=secure)


def form_token(request: web.Request) -> str:
    """For the forms of a page. Without a session it rests on the visitor's cookie, made here if need be."""
    if _OPEN in request:
        base = session_cookie(request)
    else:
        base = _cookie(request, _VISITOR) or request.get(_FRESH)
        if base is None:
            base = request[_FRESH] = new_token()
    assert base is not None
    return _derived(base)


def is_form_token(request: web.Request, given: str) -> bool:
    base = session_cookie(request) if _OPEN in request else _cookie(request, _VISITOR)
    return base is not None and hmac.compare_digest(_derived(base).encode(), given.encode(errors="replace"))


def _derived(base: str) -> str:
    code = hmac.digest(base.encode(), b"asterisk-whatsapp form", "sha256")
    return base64.urlsafe_b64encode(code).decode().rstrip("=")


def is_from_elsewhere(request: web.Request) -> bool:
    """Whether the browser says that another site's page sends this (Origin, Fetch Metadata)."""
    origin = request.headers.get("Origin")
    if origin is not None:
        ours = request.app[CONFIG].origin or f"{request.scheme}://{request.host}".lower()
        return origin.lower() != ours
    return request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")


def remember(request: web.Request, session: Session, user: User) -> None:
    request[_OPEN], request[_USER] = session, user


def user_of(request: web.Request) -> User:
    """Who asks. A page with roles has one always."""
    return request[_USER]


def user_or_none(request: web.Request) -> User | None:
    return request.get(_USER)


def session_of(request: web.Request) -> Session:
    return request[_OPEN]


def address_of(request: web.Request) -> str:
    """The browser's address, as far as it can be known."""
    if request.app[CONFIG].behind_proxy:
        last = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if last:
            return last[:64]
    return (request.remote or "unknown")[:64]


def actor_of(request: web.Request) -> Actor:
    user = user_of(request)
    return Actor(user.login, user.id, address_of(request))
