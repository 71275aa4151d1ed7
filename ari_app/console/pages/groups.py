"""Agent groups: who takes calls together, in which order, and what callers meet while they wait."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from ari_app.console import choices
from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.editing import STAMP, Saved, entry_of, save, stamp_of, tree_of
from ari_app.console.fields import Field, Section, all_fields, existing, rest_of
from ari_app.console.forms import Form
from ari_app.console.guard import form_of
from ari_app.console.responses import page, see_other
from ari_app.store.configuration.editing import Edit
from ari_app.store.configuration.models import GroupEntry
from ari_app.store.configuration.tables import Tree

routes = Routes()
NAVIGATION = (NavItem("Configuration", "Groups", "/groups", "agents"),)

STRATEGIES = (
    ("longest_idle", "Longest idle: who has waited longest for a call"),
    ("ring_all", "Ring all: everybody's phone at once"),
    ("fewest_calls", "Fewest calls: who had the fewest today"),
    ("round_robin", "Round robin: one after the other, going on where it stopped"),
    ("random", "Random"),
    ("linear", "Linear: always from the first on"),
)

_ALL = [
    Section(
        "Who is asked",
        "Among members of the same priority the strategy decides.",
        (
            Field("members", "", "rows"),
            Field("strategy", "Strategy", "select", options=STRATEGIES),
            Field("ring_seconds", "A phone rings for", "number", unit="s"),
            Field(
                "cool_down_seconds",
                "Who refused is left alone for",
                "number",
                unit="s",
                hint="By the same call; others may ring them at once.",
            ),
            Field("wrap_up_seconds", "Time to wrap up after a call", "number", unit="s"),
            Field(
                "auto_pause_misses",
                "Pause an agent after",
                "number",
                unit="missed calls in a row",
                optional=True,
            ),
            Field("whisper", "Agents hear first", "media", optional=True, hint="Before they are joined to the caller."),
        ),
    ),
    Section(
        "While callers wait",
        "",
        (
            Field("music_class", "Music on hold", hint="A class of Asterisk's musiconhold.conf."),
            Field("waiting_interval_seconds", "The waiting prompt comes every", "number", unit="s"),
            Field("announce_position", "Tell callers their position", "switch"),
            Field("announce_wait", "Tell callers how long it will take", "switch"),
            Field("exit_digit", "Callers may leave by pressing", optional=True, hint="One of 0-9, * and #."),
            Field("exit_to", "and go to", "place", optional=True),
        ),
    ),
    Section(
        "When nobody takes the call",
        "",
        (
            Field("max_wait_seconds", "Callers wait at most", "number", unit="s"),
            Field("max_waiting", "At most", "number", unit="callers wait at once"),
            Field(
                "join_empty",
                "Callers may come in",
                "select",
                options=(
                    ("logged_in", "while an agent is logged in"),
                    ("available", "while an agent is available or on a call"),
                    ("always", "always"),
                ),
            ),
            Field(
                "leave_empty",
                "Callers go on",
                "select",
                options=(
                    ("logged_in", "when the last agent logs out"),
                    ("available", "when the last agent pauses or logs out"),
                    ("never", "only when they waited too long"),
                ),
            ),
            Field("no_agent", "Then they go to", "place"),
        ),
    ),
    Section(
        "Reports, voicemail and calling out",
        "",
        (
            Field(
                "service_level_seconds",
                "A call counts as served in time within",
                "number",
                unit="s",
            ),
            Field(
                "voicemail_mailbox",
                "Mailbox whose lamp tells of messages",
                optional=True,
                hint="Such as sales@default.",
            ),
            Field(
                "calls_from",
                "Business number that this group calls from",
                optional=True,
                hint="Left empty: the number whose calls come to this group.",
            ),
        ),
    ),
]
SECTIONS = [existing(GroupEntry, section) for section in _ALL]
if (_more := rest_of(GroupEntry, SECTIONS)) is not None:
    SECTIONS.append(_more)
FIELDS = all_fields(SECTIONS)


@routes.get("/groups", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    tree = await tree_of(request)
    numbers: dict[str, list[str]] = {name: [] for name in tree["groups"]}
    for number, entry in tree["numbers"].items():
        for group in entry.get("groups", ()):
            numbers[group].append(number)
    return page(
        request,
        "groups/index.html",
        groups=tree["groups"],
        agents=tree["agents"],
        numbers=numbers,
        strategies={name: text.partition(":")[0] for name, text in STRATEGIES},
    )


@routes.get("/groups/new", roles=ADMINISTRATORS)
async def new(request: web.Request) -> web.StreamResponse:
    return _form(request, await tree_of(request), None, GroupEntry().model_dump(), Saved())


@routes.post("/groups/new", roles=ADMINISTRATORS)
async def add(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    name, entry = form.text("name"), _entry({}, form)
    saved = await save(request, Edit("groups", name, entry)) if name else Saved({"name": "A group needs a name."})
    if not saved.ok:
        return _form(request, await tree_of(request), None, entry | {"name": name}, saved)
    return see_other(request, "/groups", saved.note(f"Group {name}"))


@routes.get("/groups/{name}", roles=ADMINISTRATORS)
async def edit(request: web.Request) -> web.StreamResponse:
    tree, name, entry = await _found(request)
    return _form(request, tree, name, entry, Saved(), stamp_of(entry))


@routes.post("/groups/{name}", roles=ADMINISTRATORS)
async def change(request: web.Request) -> web.StreamResponse:
    tree, name, known = await _found(request)
    form = form_of(request)
    entry = _entry(known, form)
    saved = await save(request, Edit("groups", name, entry, form.text(STAMP)))
    if not saved.ok:
        return _form(request, tree, name, entry, saved, form.text(STAMP))
    return see_other(request, "/groups", saved.note(f"Group {name}"))


@routes.post("/groups/{name}/remove", roles=ADMINISTRATORS)
async def remove(request: web.Request) -> web.StreamResponse:
    tree, name, entry = await _found(request)
    saved = await save(request, Edit("groups", name, None, form_of(request).text(STAMP)))
    if not saved.ok:
        return _form(request, tree, name, entry, saved, stamp_of(entry))
    return see_other(request, "/groups", f"Group {name} is removed.")


def _entry(known: Mapping[str, Any], form: Form) -> dict[str, Any]:
    members = {row["member"]: row["priority"] or "1" for row in form.rows("member", "priority") if row["member"]}
    return entry_of(known, form, FIELDS) | {"members": members}


async def _found(request: web.Request) -> tuple[Tree, str, Mapping[str, Any]]:
    name, tree = request.match_info["name"], await tree_of(request)
    entry = tree["groups"].get(name)
    if entry is None:
        raise web.HTTPNotFound
    return tree, name, entry


def _form(
    request: web.Request, tree: Tree, name: str | None, values: Mapping[str, Any], saved: Saved, stamp: str = ""
) -> web.Response:
    agents = [(endpoint, f"{agent['name']} ({endpoint})") for endpoint, agent in tree["agents"].items()]
    return page(
        request,
        "groups/edit.html",
        status=200 if saved.ok else 422,
        name=name,
        address=f"/groups/{quote(name, safe='')}" if name else "/groups/new",
        values=values,
        sections=SECTIONS,
        agents=[("", "choose …"), *agents],
        choices={
            "whisper": choices.media(tree, values.get("whisper"), none="nothing"),
            "exit_to": choices.places(tree, values.get("exit_to"), optional=True),
            "no_agent": choices.places(tree, values.get("no_agent")),
        },
        invalid=saved.invalid,
        faults=saved.faults,
        stamp=stamp,
    )
