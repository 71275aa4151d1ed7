"""Actions → Settings of a number: incoming management, hours, calls, SIP targets."""

from typing import Any
from urllib.parse import quote

from aiohttp import web

from ari_app.console import channel, choices
from ari_app.console.access import ADMINISTRATORS, Routes
from ari_app.console.editing import STAMP, Saved, entry_of, save, stamp_of
from ari_app.console.fields import Field, Section, all_fields, existing, rest_of
from ari_app.console.guard import form_of
from ari_app.console.keys import STORES
from ari_app.console.pages.hours import WORKING_WEEK, holidays_of, time_zones, users_of, week_of
from ari_app.console.rendering import telephone
from ari_app.console.responses import see_other
from ari_app.store.configuration.editing import Edit
from ari_app.store.configuration.models import NumberEntry, SipTargetEntry
from ari_app.store.configuration.references import MOST_SIP_TARGETS
from ari_app.store.console.channels import ChannelStore

routes = Routes()

_CALLS = [
    Section(
        "At WhatsApp",
        "What users see of this number; the bridge tells Meta.",
        (
            Field("call_icon", "Show the call icon", "switch", hint="Users see a telephone beside the number's name."),
            Field(
                "callback_permission",
                "Ask callers for permission to call them back",
                "switch",
                hint="WhatsApp asks them by itself when they call.",
            ),
            Field(
                "on_drift",
                "When somebody changes these settings at Meta",
                "select",
                options=(
                    ("show", "show it here, change nothing"),
                    ("reapply", "set them again as they are here"),
                    ("adopt", "take them over from Meta"),
                ),
            ),
        ),
    ),
    Section(
        "Recording",
        "",
        (
            Field("recording", "Record calls", "switch"),
            Field(
                "consent_prompt",
                "Callers hear before a recording begins",
                "media",
                optional=True,
                when="recording=true",
            ),
            Field(
                "recording_days",
                "Keep recordings for",
                "number",
                unit="days",
                optional=True,
                hint="Left empty: for ever.",
                when="recording=true",
            ),
        ),
    ),
    Section(
        "Voicemail",
        "",
        (
            Field("voicemail_longest_seconds", "A message lasts at most", "number", unit="s"),
            Field("voicemail_silence_seconds", "It ends after a silence of", "number", unit="s"),
            Field("voicemail_shortest_seconds", "It is kept if it lasts at least", "number", unit="s"),
        ),
    ),
    Section(
        "Agents",
        "",
        (
            Field(
                "permission_prompt",
                "Show how long the caller may still be called",
                "switch",
                hint="The agent's phone shows it beside the caller's name: Ada · 6d 4h.",
            ),
        ),
    ),
    Section(
        "Many calls at once",
        "",
        (
            Field(
                "max_calls", "At most", "number", unit="calls at once", optional=True, hint="Further ones are refused."
            ),
            Field(
                "priority",
                "Priority in queues",
                "number",
                hint="1 is served first, before callers of other numbers who came earlier.",
            ),
        ),
    ),
]
_INCOMING = ("incoming", "groups", "together", "menu", "handled_by_sip", "name", "phone_number_id")
_ELSEWHERE = ("schedule", "sip_targets", "calling_enabled", "entry_prompt", "waiting_prompt", "voicemail_prompt")
CALLS = [found for section in _CALLS if (found := existing(NumberEntry, section)).fields]
if (_more := rest_of(NumberEntry, CALLS, *_INCOMING, *_ELSEWHERE)) is not None:
    CALLS.append(_more)
_TARGET = tuple(SipTargetEntry.model_fields)


@routes.get("/channels/{number}/incoming", roles=ADMINISTRATORS)
async def incoming(request: web.Request) -> web.StreamResponse:
    return _incoming(request, await channel.find(request))


@routes.post("/channels/{number}/incoming", roles=ADMINISTRATORS)
async def save_incoming(request: web.Request) -> web.StreamResponse:
    found, form = await channel.find(request), form_of(request)
    kind = form.text("incoming")
    typed: dict[str, Any] = {
        "name": form.text("name"),
        "phone_number_id": form.text("phone_number_id"),
        "incoming": kind,
        "groups": [group for group in form.all("groups") if group],
        "menu": form.text("menu") if kind == "ivr" else "",
        "together": str(form.flag("together")).lower(),
        "handled_by_sip": str(form.flag("handled_by_sip")).lower(),
    }
    if kind == "none":
        # What belongs to a route goes with it; only what Meta calls the number stays.
        kept = {name: typed[name] for name in ("name", "phone_number_id") if typed[name]}
        edit = Edit("numbers", found.number, kept | {"incoming": "none"}, form.text(STAMP))
        saved = await save(request, edit)
    else:
        saved = await channel.change(request, found, typed, form.text(STAMP))
    if not saved.ok:
        return _incoming(request, found, saved, typed, form.text(STAMP))
    return see_other(request, request.path, saved.note("Incoming management"))


def _incoming(
    request: web.Request,
    found: channel.Channel,
    saved: Saved | None = None,
    typed: dict[str, Any] | None = None,
    stamp: str = "",
) -> web.Response:
    return channel.show(
        request,
        found,
        "incoming",
        saved,
        typed,
        stamp,
        groups=choices.options(list(found.tree["groups"]), "choose …"),
        menus=choices.options(list(found.tree["menus"]), "choose …"),
    )


@routes.get("/channels/{number}/calls", roles=ADMINISTRATORS)
async def calls(request: web.Request) -> web.StreamResponse:
    return _calls(request, await _with_route(request))


@routes.post("/channels/{number}/calls", roles=ADMINISTRATORS)
async def save_calls(request: web.Request) -> web.StreamResponse:
    found, form = await _with_route(request), form_of(request)
    entry = entry_of(found.entry, form, all_fields(CALLS))
    saved = await save(request, Edit("numbers", found.number, entry, form.text(STAMP)))
    if not saved.ok:
        return _calls(request, found, saved, entry, form.text(STAMP))
    return see_other(request, request.path, saved.note("The settings of calls", "are"))


def _calls(
    request: web.Request,
    found: channel.Channel,
    saved: Saved | None = None,
    typed: dict[str, Any] | None = None,
    stamp: str = "",
) -> web.Response:
    values = typed or found.entry
    offered = {"consent_prompt": choices.media(found.tree, values.get("consent_prompt"), none="nothing")}
    return channel.show(request, found, "calls", saved, typed, stamp, sections=CALLS, choices=offered)


@routes.get("/channels/{number}/hours", roles=ADMINISTRATORS)
async def hours(request: web.Request) -> web.StreamResponse:
    found = await _with_route(request)
    name = found.entry["schedule"]
    schedule = found.tree["schedules"].get(name) if name else None
    return channel.show(
        request,
        found,
        "hours",
        schedules=choices.options(list(found.tree["schedules"])),
        schedule=schedule,
        schedule_stamp=stamp_of(schedule) if schedule else "",
        schedule_address=f"/hours/{quote(name, safe='')}" if name else "",
        others=[user for user in users_of(found.tree)[name] if user != telephone(found.number)] if name else [],
        week=week_of(schedule) if schedule else {},
        holidays=holidays_of(schedule) if schedule else [],
        zones=time_zones(),
    )


@routes.post("/channels/{number}/hours", roles=ADMINISTRATORS)
async def save_hours(request: web.Request) -> web.StreamResponse:
    """Off, some that are there already, or new ones of the number's own."""
    found, form = await _with_route(request), form_of(request)
    name = form.text("schedule") if form.flag("has_hours") else ""
    edits = []
    if form.flag("has_hours") and not name:
        name = f"Hours of {found.number}"
        if name not in found.tree["schedules"]:
            entry = {"time_zone": form.text("time_zone") or "UTC", "hours": WORKING_WEEK}
            edits.append(Edit("schedules", name, entry))
    settings = {key: value for key, value in {**found.entry, "schedule": name}.items() if value not in ("", None)}
    saved = await save(request, Edit("numbers", found.number, settings, form.text(STAMP)), *edits)
    if not saved.ok:
        raise web.HTTPConflict(text=" ".join([*saved.faults, *saved.invalid.values()]))
    return see_other(request, request.path, saved.note("The choice of business hours"))


@routes.get("/channels/{number}/sip", roles=ADMINISTRATORS)
async def sip(request: web.Request) -> web.StreamResponse:
    return await _sip(request, await _with_route(request))


@routes.post("/channels/{number}/sip", roles=ADMINISTRATORS)
async def save_sip(request: web.Request) -> web.StreamResponse:
    found, form = await _with_route(request), form_of(request)
    count = sum(1 for _ in form.all("host"))
    targets = []
    for index in range(count):
        row = {name: _nth(form.all(name), index) for name in _TARGET}
        if row["host"]:
            targets.append({name: value for name, value in row.items() if value})
    typed = {"sip_targets": targets, "handled_by_sip": str(form.flag("handled_by_sip")).lower()}
    saved = await channel.change(request, found, typed, form.text(STAMP))
    if not saved.ok:
        return await _sip(request, found, saved, typed, form.text(STAMP))
    return see_other(request, request.path, saved.note("The SIP targets", "are"))


def _nth(values: list[str], index: int) -> str:
    return values[index] if index < len(values) else ""


async def _sip(
    request: web.Request,
    found: channel.Channel,
    saved: Saved | None = None,
    typed: dict[str, Any] | None = None,
    stamp: str = "",
) -> web.Response:
    health = await ChannelStore(request.app[STORES].database).health()
    targets = (typed or found.entry)["sip_targets"]
    return channel.show(
        request,
        found,
        "sip",
        saved,
        typed,
        stamp,
        targets=[
            (target, health.get((target["host"], int(target["port"]), target["transport"])))
            if str(target.get("port", "")).isdecimal() and "transport" in target
            else (target, None)
            for target in targets
        ],
        most=MOST_SIP_TARGETS,
    )


async def _with_route(request: web.Request) -> channel.Channel:
    found = await channel.find(request)
    if not found.has_route:
        raise web.HTTPNotFound
    return found
