"""Tokens of programs: made here, shown once, revoked. And what programs can do with them, to read."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from aiohttp import web

from ari_app.console.access import EVERYBODY, NavItem, Routes
from ari_app.console.api import routing
from ari_app.console.api.document import described
from ari_app.console.api.door import KEY_HEADER, TOKEN_PREFIX
from ari_app.console.api.operations import PREFIX
from ari_app.console.api.problems import ERRORS
from ari_app.console.forms import Form
from ari_app.console.guard import form_of
from ari_app.console.keys import CONFIG, STORES
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of, digest, new_token, user_of
from ari_app.store.console.choices import ChoiceStore
from ari_app.store.console.tokens import NewToken, TokenStore
from ari_app.store.console.users import Role, User, sorted_groups

routes = Routes()
NAVIGATION = (
    NavItem("Programs", "API tokens", "/tokens", "key"),
    NavItem("Programs", "API", f"{PREFIX}/docs", "info"),
)

#: Days that a token may last; "" is for ever.
LASTS = {"30": "30 days", "90": "90 days", "365": "a year", "": "until it is revoked"}


@routes.get("/tokens", roles=EVERYBODY)
async def index(request: web.Request) -> web.StreamResponse:
    return await _list(request)


@routes.post("/tokens", roles=EVERYBODY)
async def add(request: web.Request) -> web.StreamResponse:
    form, user = form_of(request), user_of(request)
    new, faults = _wanted(form, user)
    if new.role is Role.SUPERVISOR and user.role is Role.ADMINISTRATOR:
        known = set(await ChoiceStore(request.app[STORES].database).groups())
        if not set(new.groups) <= known:
            faults["groups"] = "One of these groups is gone."
    if new.role is Role.AGENT and user.role is Role.ADMINISTRATOR:
        agents = {agent.id for agent in await ChoiceStore(request.app[STORES].database).agents()}
        if new.agent_id not in agents:
            faults["agent_id"] = "A token for an agent needs an agent."
    if faults:
        return await _list(request, faults, form)
    token = TOKEN_PREFIX + new_token()
    await TokenStore(request.app[STORES].database).add(digest(token), user.id, new, actor_of(request))
    return page(request, "tokens/made.html", token_shown=token, made=new, lasts=LASTS)


@routes.post("/tokens/{id}/revoke", roles=EVERYBODY)
async def revoke(request: web.Request) -> web.StreamResponse:
    """One's own; an administrator anybody's."""
    try:
        token = UUID(request.match_info["id"])
    except ValueError:
        raise web.HTTPNotFound from None
    whose = _whose(user_of(request))
    if not await TokenStore(request.app[STORES].database).revoke(token, whose, actor_of(request)):
        raise web.HTTPNotFound
    return see_other(request, "/tokens", "The token is worth nothing any more.")


@routes.get(f"{PREFIX}/docs", roles=EVERYBODY)
async def docs(request: web.Request) -> web.StreamResponse:
    return page(
        request,
        "programs/docs.html",
        subjects=described(routing.operations()),
        errors=ERRORS,
        document=routing.DOCUMENT,
        key_header=KEY_HEADER,
        per_minute=request.app[CONFIG].api_per_minute,
        base=request.app[CONFIG].public_url or f"{request.scheme}://{request.host}",
    )


def _whose(user: User) -> UUID | None:
    return None if user.role is Role.ADMINISTRATOR else user.id


def _wanted(form: Form, user: User) -> tuple[NewToken, dict[str, str]]:
    """What was asked for, and what is wrong with it. Only administrators choose a role, an agent and groups."""
    faults: dict[str, str] = {}
    name, days = form.text("name"), form.text("lasts")
    if not (1 <= len(name) <= 64 and name.isprintable()):
        faults["name"] = "A name has 1 to 64 characters."
    if days not in LASTS:
        faults["lasts"] = "Choose how long it lasts."
    lasts = timedelta(days=int(days)) if days and "lasts" not in faults else None
    if user.role is not Role.ADMINISTRATOR:
        return NewToken(name, user.role, lasts=lasts), faults
    role, agent = Role.ADMINISTRATOR, None
    groups: tuple[str, ...] = ()
    try:
        role = Role(form.text("role"))
    except ValueError:
        faults["role"] = "There is no such role."
    if role is Role.AGENT:
        try:
            agent = UUID(form.text("agent_id"))
        except ValueError:
            faults["agent_id"] = "A token for an agent needs an agent."
    if role is Role.SUPERVISOR:
        groups = sorted_groups(form.all("groups"))
    return NewToken(name, role, agent, groups, lasts), faults


async def _list(
    request: web.Request, faults: dict[str, str] | None = None, form: Form | None = None
) -> web.StreamResponse:
    user, database = user_of(request), request.app[STORES].database
    context: dict[str, Any] = {}
    if user.role is Role.ADMINISTRATOR:
        choices = ChoiceStore(database)
        context = {
            "role_options": [(role.value, role.value.capitalize()) for role in Role],
            "agent_options": [("", "nobody's"), *((str(one.id), one.name) for one in await choices.agents())],
            "group_options": [(group, group) for group in await choices.groups()],
        }
    return page(
        request,
        "tokens/index.html",
        status=422 if faults else 200,
        tokens=await TokenStore(database).all(_whose(user)),
        is_administrator=user.role is Role.ADMINISTRATOR,
        last_options=list(LASTS.items()),
        typed={name: form.text(name) for name in ("name", "role", "agent_id", "lasts")} if form else {},
        chosen_groups=form.all("groups") if form else [],
        invalid=faults or {},
        **context,
    )
