"""Agents: the endpoints of the PBX that take calls."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import web

from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.editing import STAMP, Saved, edit_of, entry_of, save, stamp_of, tree_of
from ari_app.console.fields import Field, Section, all_fields, existing, rest_of
from ari_app.console.guard import form_of
from ari_app.console.keys import STORES
from ari_app.console.responses import page, see_other
from ari_app.store.configuration.editing import Edit
from ari_app.store.configuration.models import AgentEntry
from ari_app.store.configuration.tables import Tree
from ari_app.store.console.agents import AgentStateStore

routes = Routes()
NAVIGATION = (NavItem("Configuration", "Agents", "/agents", "person"),)

_ALL = [
    Section(
        "Agent",
        "",
        (
            Field("name", "Name", required=True, hint="As callers' records and other agents show it."),
            Field(
                "extension",
                "Extension",
                optional=True,
                hint="Callers dial it in menus that allow it, and a phone logs in by it.",
            ),
            Field(
                "voip_only",
                "No telephone network behind this endpoint",
                "switch",
                hint="Meta forbids that a WhatsApp call reaches the telephone network: only such agents are offered "
                "WhatsApp calls.",
            ),
            Field(
                "call_back",
                "Ring this agent when an invitation is accepted",
                "switch",
                hint="The phone rings and the call to the user is placed.",
            ),
            Field("enabled", "Takes calls", "switch"),
        ),
    )
]
SECTIONS = [existing(AgentEntry, section) for section in _ALL]
if (_more := rest_of(AgentEntry, SECTIONS)) is not None:
    SECTIONS.append(_more)
FIELDS = all_fields(SECTIONS)


#: Agents on a page.
PAGE = 100


@dataclass(frozen=True)
class Pager:
    here: int
    last: int
    address: str
    "To which the number of a page is added."


@routes.get("/agents", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    tree = await tree_of(request)
    states = await AgentStateStore(request.app[STORES].database).all()
    sought = request.query.get("q", "").strip()[:100]
    found = [
        (endpoint, agent)
        for endpoint, agent in tree["agents"].items()
        if sought.lower() in f"{endpoint} {agent['name']} {agent['extension']}".lower()
    ]
    number = request.query.get("page", "1")
    start = (int(number) - 1) * PAGE if re.fullmatch(r"[1-9][0-9]{0,4}", number) else 0
    return page(
        request,
        "agents/index.html",
        has_agents=bool(tree["agents"]),
        agents=dict(found[start : start + PAGE]),
        sought=sought,
        count=len(found),
        pages=Pager(start // PAGE + 1, -(-len(found) // PAGE), f"/agents?q={quote(sought)}&page="),
        states={state.endpoint: state for state in states},
        groups_of=groups_of(tree),
    )


def groups_of(tree: Tree) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {endpoint: [] for endpoint in tree["agents"]}
    for name, group in tree["groups"].items():
        for endpoint in group["members"]:
            found[endpoint].append(name)
    return found


@routes.get("/agents/new", roles=ADMINISTRATORS)
async def new(request: web.Request) -> web.StreamResponse:
    return _form(request, None, {"endpoint": "PJSIP/", "enabled": True, "voip_only": True}, Saved())


@routes.post("/agents/new", roles=ADMINISTRATORS)
async def add(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    endpoint = form.text("endpoint")
    entry = entry_of({}, form, FIELDS)
    saved = await save(request, Edit("agents", endpoint, entry))
    if not saved.ok:
        if not endpoint or any("is not an endpoint" in fault for fault in saved.faults):
            saved.invalid["endpoint"] = "An endpoint is what Asterisk dials, such as PJSIP/1001."
            saved.faults.clear()
        return _form(request, None, entry | {"endpoint": endpoint}, saved)
    return see_other(request, "/agents", saved.note(entry.get("name", endpoint)))


# An endpoint has a slash in it: PJSIP/1001.
@routes.get("/agents/{technology}/{resource}", roles=ADMINISTRATORS)
async def edit(request: web.Request) -> web.StreamResponse:
    endpoint, entry = await _found(request)
    return _form(request, endpoint, entry, Saved(), stamp_of(entry))


@routes.post("/agents/{technology}/{resource}", roles=ADMINISTRATORS)
async def change(request: web.Request) -> web.StreamResponse:
    endpoint, known = await _found(request)
    form = form_of(request)
    saved = await save(request, edit_of("agents", endpoint, known, form, FIELDS))
    if not saved.ok:
        return _form(request, endpoint, entry_of(known, form, FIELDS), saved, form.text(STAMP))
    return see_other(request, "/agents", saved.note(form.text("name")))


@routes.post("/agents/{technology}/{resource}/remove", roles=ADMINISTRATORS)
async def remove(request: web.Request) -> web.StreamResponse:
    """Out of all groups too: nothing is left of an agent without calls."""
    endpoint, entry = await _found(request)
    tree = await tree_of(request)
    edits = [Edit("agents", endpoint, None, form_of(request).text(STAMP))]
    for name, group in tree["groups"].items():
        if endpoint in group["members"]:
            members = {other: priority for other, priority in group["members"].items() if other != endpoint}
            edits.append(Edit("groups", name, group | {"members": members}, stamp_of(group)))
    saved = await save(request, *edits)
    if not saved.ok:
        return _form(request, endpoint, entry, saved, stamp_of(entry))
    return see_other(request, "/agents", f"{entry['name']} is removed.")


async def _found(request: web.Request) -> tuple[str, Mapping[str, Any]]:
    endpoint = f"{request.match_info['technology']}/{request.match_info['resource']}"
    entry = (await tree_of(request))["agents"].get(endpoint)
    if entry is None:
        raise web.HTTPNotFound
    return endpoint, entry


def _form(
    request: web.Request, endpoint: str | None, values: Mapping[str, Any], saved: Saved, stamp: str = ""
) -> web.Response:
    return page(
        request,
        "agents/edit.html",
        status=200 if saved.ok else 422,
        endpoint=endpoint,
        address=f"/agents/{quote(endpoint)}" if endpoint else "/agents/new",
        values=values,
        sections=SECTIONS,
        invalid=saved.invalid,
        faults=saved.faults,
        stamp=stamp,
    )
