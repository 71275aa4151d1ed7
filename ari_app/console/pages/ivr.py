"""IVR: menus, edited and drawn."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from ari_app.console import choices
from ari_app.console import tree as drawing
from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.editing import STAMP, Saved, entry_of, save, stamp_of, tree_of
from ari_app.console.fields import Field, Section, all_fields, existing, place, rest_of
from ari_app.console.forms import Form
from ari_app.console.guard import form_of
from ari_app.console.rendering import telephone
from ari_app.console.responses import page, see_other
from ari_app.store.configuration.editing import Edit
from ari_app.store.configuration.models import MenuEntry
from ari_app.store.configuration.tables import Tree

routes = Routes()
NAVIGATION = (NavItem("Configuration", "IVR", "/ivr", "ivr"),)

_ALL = [
    Section(
        "What callers hear",
        "",
        (
            Field("options", "", "rows"),
            Field("prompt", "Prompt", "media", required=True),
            Field("invalid_prompt", "After a wrong digit", "media"),
            Field("language", "Language of Asterisk's sounds", optional=True, hint="Such as en or pt_BR."),
        ),
    ),
    Section(
        "How long, how often",
        "",
        (
            Field("timeout_seconds", "Wait for the first digit", "number", unit="s"),
            Field("digit_seconds", "Wait for each further digit", "number", unit="s"),
            Field("retries", "Ask again", "number", unit="times"),
            Field("no_input", "Who presses nothing goes to", "place"),
            Field(
                "direct_dial",
                "Extensions of agents may be dialled too",
                "switch",
            ),
        ),
    ),
    Section(
        "Opening hours",
        "Outside of them callers do not hear the menu.",
        (
            Field("schedule", "Hours", "select", optional=True),
            Field("closed", "While closed callers go to", "place", optional=True),
        ),
    ),
]
SECTIONS = [existing(MenuEntry, section) for section in _ALL]
if (_more := rest_of(MenuEntry, SECTIONS)) is not None:
    SECTIONS.append(_more)
FIELDS = all_fields(SECTIONS)


@routes.get("/ivr", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    tree = await tree_of(request)
    entered = {entry["menu"]: number for number, entry in tree["numbers"].items() if entry.get("menu")}
    pictures = [
        (telephone(number), drawing.draw(drawing.number(tree, number, telephone(number))))
        for number in dict.fromkeys(entered.values())
    ]
    return page(
        request, "ivr/index.html", menus=tree["menus"], pictures=pictures, users=_users(tree), short=drawing.short
    )


def _users(tree: Tree) -> dict[str, list[str]]:
    """Who leads to each menu, in words."""
    found: dict[str, list[str]] = {name: [] for name in tree["menus"]}
    for number, entry in tree["numbers"].items():
        if entry.get("menu"):
            found[entry["menu"]].append(telephone(number))
    for name, menu in tree["menus"].items():
        for digits, target in menu["options"].items():
            kind, _, other = target.partition(":")
            if kind == "menu" and other in found:
                found[other].append(f"{name}, {digits}")
    return found


@routes.get("/ivr/new", roles=ADMINISTRATORS)
async def new(request: web.Request) -> web.StreamResponse:
    values = MenuEntry.model_construct(prompt="sound:vm-press").model_dump()
    return _form(request, await tree_of(request), None, values, Saved())


@routes.post("/ivr/new", roles=ADMINISTRATORS)
async def add(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    name, entry = form.text("name"), _entry({}, form)
    saved = await save(request, Edit("menus", name, entry)) if name else Saved({"name": "A menu needs a name."})
    if not saved.ok:
        return _form(request, await tree_of(request), None, entry | {"name": name}, saved)
    return see_other(request, f"/ivr/{quote(name, safe='')}", saved.note(f"Menu {name}"))


@routes.get("/ivr/{name}", roles=ADMINISTRATORS)
async def edit(request: web.Request) -> web.StreamResponse:
    tree, name, entry = await _found(request)
    return _form(request, tree, name, entry, Saved(), stamp_of(entry))


@routes.post("/ivr/{name}", roles=ADMINISTRATORS)
async def change(request: web.Request) -> web.StreamResponse:
    tree, name, known = await _found(request)
    form = form_of(request)
    entry = _entry(known, form)
    saved = await save(request, Edit("menus", name, entry, form.text(STAMP)))
    if not saved.ok:
        return _form(request, tree, name, entry, saved, form.text(STAMP))
    return see_other(request, request.path, saved.note(f"Menu {name}"))


@routes.post("/ivr/{name}/remove", roles=ADMINISTRATORS)
async def remove(request: web.Request) -> web.StreamResponse:
    tree, name, entry = await _found(request)
    saved = await save(request, Edit("menus", name, None, form_of(request).text(STAMP)))
    if not saved.ok:
        return _form(request, tree, name, entry, saved, stamp_of(entry))
    return see_other(request, "/ivr", f"Menu {name} is removed.")


def _entry(known: Mapping[str, Any], form: Form) -> dict[str, Any]:
    rows = form.rows("digits", "to", "to__dialplan")
    chosen = {row["digits"]: place(row["to"], row["to__dialplan"]) for row in rows if row["digits"]}
    return entry_of(known, form, FIELDS) | {"options": chosen}


async def _found(request: web.Request) -> tuple[Tree, str, Mapping[str, Any]]:
    name, tree = request.match_info["name"], await tree_of(request)
    entry = tree["menus"].get(name)
    if entry is None:
        raise web.HTTPNotFound
    return tree, name, entry


def _options(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was typed may be no digits at all; then the order is as it was typed."""
    found: Mapping[str, str] = values.get("options", {})
    return drawing.in_order(found) if set("".join(found)) <= set("1234567890*#") else list(found.items())


def _form(
    request: web.Request, tree: Tree, name: str | None, values: Mapping[str, Any], saved: Saved, stamp: str = ""
) -> web.Response:
    return page(
        request,
        "ivr/edit.html",
        status=200 if saved.ok else 422,
        name=name,
        address=f"/ivr/{quote(name, safe='')}" if name else "/ivr/new",
        values=values,
        sections=SECTIONS,
        choices={
            "prompt": choices.media(tree, values.get("prompt")),
            "invalid_prompt": choices.media(tree, values.get("invalid_prompt")),
            "no_input": choices.places(tree, values.get("no_input")),
            "closed": choices.places(tree, values.get("closed"), optional=True),
            "schedule": choices.options(list(tree["schedules"]), "always open"),
        },
        options=[(digits, target, choices.places(tree, target, with_back=True)) for digits, target in _options(values)],
        spare=choices.places(tree, with_back=True, optional=True),
        picture=drawing.draw(drawing.menu(tree, name)) if name else None,
        short=drawing.short,
        invalid=saved.invalid,
        faults=saved.faults,
        stamp=stamp,
    )
