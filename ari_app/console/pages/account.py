"""One's own account: who one is here, and the password."""

from aiohttp import web

from ari_app.console.access import EVERYBODY, Routes
from ari_app.console.guard import form_of
from ari_app.console.keys import PASSWORDS, STORES
from ari_app.console.pages.sign_in import ATTEMPTS_PER_ACCOUNT, WINDOW
from ari_app.console.passwords import SHORTEST, WeakPassword, check_strength
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of, address_of, session_of, user_of

routes = Routes()


@routes.get("/account", roles=EVERYBODY)
async def show(request: web.Request) -> web.StreamResponse:
    return page(request, "account/index.html")


@routes.get("/account/password", roles=EVERYBODY)
async def ask_password(request: web.Request) -> web.StreamResponse:
    return page(request, "account/password.html", shortest=SHORTEST)


@routes.post("/account/password", roles=EVERYBODY)
async def set_password(request: web.Request) -> web.StreamResponse:
    """Whoever finds an open session must not be able to keep it: the old password is asked, and guessing is limited."""
    form, user = form_of(request), user_of(request)
    stores, passwords = request.app[STORES], request.app[PASSWORDS]
    attempt = await stores.sessions.attempt(user.login, address_of(request), WINDOW)
    if attempt.of_login > ATTEMPTS_PER_ACCOUNT:
        raise web.HTTPTooManyRequests(text="too many attempts: try again later")
    new = form.raw("new")
    invalid: dict[str, str] = {}
    known = await stores.users.password_hash(user.login)
    if not await passwords.verify(known, form.raw("old")):
        invalid["old"] = "This is not your password."
    elif new == form.raw("old"):
        invalid["new"] = "The new one must differ from the old one."
    else:
        try:
            check_strength(new, user.login)
        except WeakPassword as error:
            invalid["new"] = f"Choose {error}."
    if new != form.raw("again"):
        invalid["again"] = "The two are not the same."
    if "old" not in invalid:
        await stores.sessions.forgive(user.login, address_of(request))
    if invalid:
        return page(request, "account/password.html", status=422, shortest=SHORTEST, invalid=invalid)
    await stores.users.set_password(
        user.id,
        await passwords.hash(new),
        actor_of(request),
        must_change=False,
        keep_session=session_of(request).token_hash,
    )
    return see_other(request, "/account", "The password is changed. All other sessions of yours have ended.")
