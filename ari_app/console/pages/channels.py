"""Channel Setting: the numbers, and the switch Allow Voice Calling of each."""

from typing import Any

from aiohttp import web

from ari_app.console import channel
from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.editing import STAMP, Saved, save, stamp_of, tree_of
from ari_app.console.guard import form_of
from ari_app.console.keys import STORES
from ari_app.console.rendering import telephone
from ari_app.console.responses import page, see_other
from ari_app.store.configuration.editing import Edit
from ari_app.store.console.channels import ChannelStore

routes = Routes()
NAVIGATION = (NavItem("Configuration", "Channel Setting", "/channels", "channel"),)


@routes.get("/channels", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    tree = await tree_of(request)
    return page(
        request,
        "channels/index.html",
        numbers=tree["numbers"],
        stamps={number: stamp_of(entry) for number, entry in tree["numbers"].items()},
        calls=await ChannelStore(request.app[STORES].database).calls(),
        incoming=incoming,
    )


def incoming(entry: dict[str, Any]) -> str:
    """Where callers go, in words."""
    match entry["incoming"]:
        case "agent_group":
            joined = (" and " if entry["together"] else ", then ").join(entry["groups"])
            words = joined or "no group yet"
        case "ivr":
            words = f"IVR {entry['menu']}"
        case "ai_agent":
            words = "AI agent"
        case _:
            return "no service"
    return f"SIP targets ({words})" if entry["handled_by_sip"] else words


@routes.get("/channels/new", roles=ADMINISTRATORS)
async def new(request: web.Request) -> web.StreamResponse:
    return await _form(request, {}, Saved())


@routes.post("/channels/new", roles=ADMINISTRATORS)
async def add(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    number = "".join(character for character in form.text("number") if character not in "+ ()-/")
    entry: dict[str, Any] = {name: value for name in ("phone_number_id", "name") if (value := form.text(name))}
    entry["groups"] = form.all("groups")[:1]
    saved = await save(request, Edit("numbers", number, entry)) if number else Saved({"number": "Which number?"})
    if not saved.ok:
        if any("is not a number" in fault for fault in saved.faults):
            saved = Saved({"number": "A number is 1 to 15 digits, with the country code."})
        return await _form(request, {**entry, "number": form.text("number")}, saved)
    return see_other(request, f"/channels/{number}/incoming", saved.note(telephone(number)))


async def _form(request: web.Request, values: dict[str, Any], saved: Saved) -> web.Response:
    tree = await tree_of(request)
    return page(
        request,
        "channels/new.html",
        status=200 if saved.ok else 422,
        values=values,
        groups=[("", "none yet"), *((name, name) for name in tree["groups"])],
        invalid=saved.invalid,
        faults=saved.faults,
    )


@routes.get("/channels/{number}", roles=ADMINISTRATORS)
async def first_tab(request: web.Request) -> web.StreamResponse:
    found = await channel.find(request)
    return see_other(request, found.address("incoming"))


@routes.post("/channels/{number}/calling", roles=ADMINISTRATORS)
async def switch(request: web.Request) -> web.StreamResponse:
    """Allow Voice Calling. The bridge tells Meta; while calls cost money, a quotation must be there first."""
    found, form = await channel.find(request), form_of(request)
    on = form.flag("calling_enabled")
    saved = await channel.change(request, found, {"calling_enabled": str(on).lower()}, form.text(STAMP))
    if not saved.ok:
        told = " ".join([*saved.faults, *saved.invalid.values()])
        raise web.HTTPConflict(text=told)
    state = "on" if on else "off"
    return see_other(request, "/channels", f"Voice calling of {telephone(found.number)} is {state}.")


@routes.post("/channels/{number}/remove", roles=ADMINISTRATORS)
async def remove(request: web.Request) -> web.StreamResponse:
    found, form = await channel.find(request), form_of(request)
    saved = await save(request, Edit("numbers", found.number, None, form.text(STAMP)))
    if not saved.ok:
        raise web.HTTPConflict(text=" ".join(saved.faults))
    return see_other(request, "/channels", f"{telephone(found.number)} is removed.")
