"""Sign-in and sign-out."""

import logging
from datetime import timedelta

from aiohttp import web

from ari_app.console.access import EVERYBODY, PUBLIC, Routes
from ari_app.console.guard import form_of
from ari_app.console.keys import PASSWORDS, STORES
from ari_app.console.responses import local_path, page, see_other
from ari_app.console.session import (
    actor_of,
    address_of,
    clear_session,
    digest,
    new_token,
    session_of,
    set_session,
    user_or_none,
)
from ari_app.store.console.audit import Actor, Entry

logger = logging.getLogger(__name__)
routes = Routes()

#: Within this time an account may be tried so often, and an address may try so often. A right password forgives what
#: was tried from the same address; others that attack an account cannot be told from its owner by anything else.
WINDOW = timedelta(minutes=15)
ATTEMPTS_PER_ACCOUNT = 10
ATTEMPTS_PER_ADDRESS = 50


@routes.get("/sign-in", roles=PUBLIC)
async def ask(request: web.Request) -> web.StreamResponse:
    back = local_path(request.query.get("next", "")) or "/"
    if user_or_none(request) is not None:
        return see_other(request, back)
    return page(request, "sign_in.html", back=back, login="", fault="")


@routes.post("/sign-in", roles=PUBLIC)
async def sign_in(request: web.Request) -> web.StreamResponse:
    form, stores, passwords = form_of(request), request.app[STORES], request.app[PASSWORDS]
    login, password = form.text("login").lower()[:64], form.raw("password")
    back = local_path(form.text("next")) or "/"
    address = address_of(request)
    attempt = await stores.sessions.attempt(login, address, WINDOW)
    if attempt.of_login > ATTEMPTS_PER_ACCOUNT or attempt.of_address > ATTEMPTS_PER_ADDRESS:
        logger.warning("sign-in as %r from %s is refused: too many attempts", login, address)
        minutes = int(WINDOW.total_seconds() // 60)
        fault = f"Too many attempts. Try again in {minutes} minutes."
        return page(request, "sign_in.html", status=429, back=back, login=login, fault=fault)
    known = await stores.users.password_hash(login)
    user = await stores.users.find_login(login) if await passwords.verify(known, password) else None
    if user is None:
        logger.warning("sign-in as %r from %s failed", login, address)
        fault = "Login or password is wrong."
        return page(request, "sign_in.html", status=401, back=back, login=login, fault=fault)
    await stores.sessions.forgive(login, address)
    if known is not None and passwords.is_outdated(known):
        await stores.users.keep_hash(user.id, await passwords.hash(password))
    token = new_token()
    if not await stores.sessions.open(digest(token), user.id, address, request.headers.get("User-Agent", "")):
        raise web.HTTPForbidden(text="this user was disabled a moment ago")
    await stores.audit.add(Actor(user.login, user.id, address), Entry("sign_in", "user", user.login, None, None))
    response = see_other(request, back)
    set_session(request, response, token)
    return response


@routes.post("/sign-out", roles=EVERYBODY)
async def sign_out(request: web.Request) -> web.StreamResponse:
    stores, actor = request.app[STORES], actor_of(request)
    await stores.sessions.close(session_of(request).token_hash)
    await stores.audit.add(actor, Entry("sign_out", "user", actor.name, None, None))
    response = see_other(request, "/sign-in")
    clear_session(request, response)
    return response
