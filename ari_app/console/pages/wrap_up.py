"""Wrap-up codes: what a group's calls can have been about."""

from aiohttp import web

from ari_app.console.access import SUPERVISORS, NavItem, Routes
from ari_app.console.guard import form_of
from ari_app.console.keys import STORES
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of, user_of
from ari_app.store.console.notes import NoteRefused, NoteStore
from ari_app.store.console.users import Role

routes = Routes()
NAVIGATION = (NavItem("Configuration", "Wrap-up codes", "/wrap-up", "check"),)


@routes.get("/wrap-up", roles=SUPERVISORS)
async def show(request: web.Request) -> web.StreamResponse:
    return page(request, "wrap_up/index.html", lists=await _lists(request), fault="", at_fault="")


@routes.post("/wrap-up", roles=SUPERVISORS)
async def save(request: web.Request) -> web.StreamResponse:
    """One group's list; one code in a line."""
    form = form_of(request)
    group = form.text("group")
    lists = await _lists(request)
    if group not in lists:
        raise web.HTTPNotFound
    codes = [line.strip() for line in form.text("codes").splitlines() if line.strip()]
    store = NoteStore(request.app[STORES].database)
    try:
        await store.set_list(group, codes, actor_of(request))
    except NoteRefused as refusal:
        shown = lists | {group: codes}
        return page(request, "wrap_up/index.html", status=422, lists=shown, fault=str(refusal), at_fault=group)
    return see_other(request, "/wrap-up", f"The codes of {group} are saved.")


async def _lists(request: web.Request) -> dict[str, list[str]]:
    user = user_of(request)
    groups = None if user.role is Role.ADMINISTRATOR else user.groups
    return await NoteStore(request.app[STORES].database).lists(groups)
