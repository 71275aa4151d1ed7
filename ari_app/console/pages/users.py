"""Users of the console: who may sign in, as what."""

from typing import Any
from uuid import UUID

from aiohttp import web

from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.forms import Form
from ari_app.console.guard import form_of
from ari_app.console.keys import PASSWORDS, STORES
from ari_app.console.passwords import generated
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of, user_of
from ari_app.store.console.choices import ChoiceStore
from ari_app.store.console.users import Role, User, UserRefused, UserSettings, UserStore, sorted_groups

routes = Routes()
NAVIGATION = (NavItem("Administration", "Users", "/users", "users"),)

ROLES = {
    Role.ADMINISTRATOR: "Sees and changes everything",
    Role.SUPERVISOR: "Sees and steers the calls of their groups",
    Role.AGENT: "Takes and makes calls, sees their own",
    Role.REPORTING: "Reads records and charts",
}


@routes.get("/users", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    return page(request, "users/index.html", users=await request.app[STORES].users.all(), roles=ROLES)


@routes.get("/users/new", roles=ADMINISTRATORS)
async def new(request: web.Request) -> web.StreamResponse:
    return await _form(request, None, {"role": Role.AGENT.value, "enabled": True, "groups": []})


@routes.post("/users/new", roles=ADMINISTRATORS)
async def add(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    login = form.text("login").lower()
    password = generated()
    try:
        settings = _settings(form)
        hashed = await request.app[PASSWORDS].hash(password)
        user = await _store(request).add(login, settings, hashed, actor_of(request))
    except UserRefused as refusal:
        return await _form(request, None, _typed(form) | {"login": login}, refusal)
    return page(request, "users/password.html", subject=user, password=password, is_new=True)


@routes.get("/users/{id}", roles=ADMINISTRATORS)
async def edit(request: web.Request) -> web.StreamResponse:
    user = await _found(request)
    return await _form(
        request,
        user,
        {
            "name": user.name,
            "role": user.role.value,
            "agent_id": str(user.agent_id or ""),
            "groups": list(user.groups),
            "enabled": user.enabled,
        },
    )


@routes.post("/users/{id}", roles=ADMINISTRATORS)
async def change(request: web.Request) -> web.StreamResponse:
    user, form = await _found(request), form_of(request)
    try:
        settings = _settings(form)
        if user.id == user_of(request).id and not (settings.enabled and settings.role is user.role):
            raise UserRefused("you cannot take your own rights away: let another administrator do it", "role")
        await _store(request).change(user.id, settings, actor_of(request))
    except UserRefused as refusal:
        return await _form(request, user, _typed(form), refusal)
    return see_other(request, "/users", f"{user.login} is saved.")


@routes.post("/users/{id}/password", roles=ADMINISTRATORS)
async def reset_password(request: web.Request) -> web.StreamResponse:
    """A new one, shown once; it must be changed at the next sign-in."""
    user = await _found(request)
    password = generated()
    hashed = await request.app[PASSWORDS].hash(password)
    await _store(request).set_password(user.id, hashed, actor_of(request), must_change=True)
    return page(request, "users/password.html", subject=user, password=password, is_new=False)


def _store(request: web.Request) -> UserStore:
    return request.app[STORES].users


async def _found(request: web.Request) -> User:
    user = await _store(request).find(_id(request.match_info["id"]))
    if user is None:
        raise web.HTTPNotFound
    return user


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise web.HTTPNotFound from None


def _settings(form: Form) -> UserSettings:
    """Raises UserRefused."""
    name = form.text("name")
    if not (1 <= len(name) <= 128 and name.isprintable()):
        raise UserRefused("a name has 1 to 128 characters", "name")
    try:
        role = Role(form.text("role"))
    except ValueError:
        raise UserRefused("there is no such role", "role") from None
    try:
        agent = UUID(form.text("agent_id")) if form.text("agent_id") else None
    except ValueError:
        raise UserRefused("there is no such agent", "agent_id") from None
    if role is Role.AGENT and agent is None:
        raise UserRefused("an agent's user needs an agent", "agent_id")
    groups = sorted_groups(form.all("groups")) if role is Role.SUPERVISOR else ()
    return UserSettings(name, role, agent, groups, form.flag("enabled"))


def _typed(form: Form) -> dict[str, Any]:
    """What was filled in, to show it again."""
    names = ("name", "role", "agent_id")
    return {name: form.text(name) for name in names} | {
        "groups": form.all("groups"),
        "enabled": form.flag("enabled"),
    }


async def _form(
    request: web.Request, user: User | None, values: dict[str, Any], refusal: UserRefused | None = None
) -> web.Response:
    choices = ChoiceStore(request.app[STORES].database)
    message = str(refusal) if refusal else ""
    return page(
        request,
        "users/edit.html",
        status=422 if refusal else 200,
        subject=user,
        values={"login": "", "name": "", "agent_id": ""} | values,
        role_options=[(role.value, role.value.capitalize(), text) for role, text in ROLES.items()],
        agent_options=[("", "nobody's"), *((str(a.id), f"{a.name} ({a.endpoint})") for a in await choices.agents())],
        group_options=[(group, group) for group in await choices.groups()],
        fault=message,
        invalid={refusal.field: message} if refusal and refusal.field else {},
    )
