"""Business hours: a time zone, a week, and days that are different. Numbers and menus name them."""

import zoneinfo
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.editing import STAMP, Saved, save, stamp_of, tree_of
from ari_app.console.forms import Form
from ari_app.console.guard import form_of
from ari_app.console.keys import STORES
from ari_app.console.rendering import telephone
from ari_app.console.responses import local_path, page, see_other
from ari_app.store.configuration.editing import Edit
from ari_app.store.configuration.fields import WEEKDAYS
from ari_app.store.configuration.tables import Tree
from ari_app.store.schedules import ScheduleStore

routes = Routes()
NAVIGATION = (NavItem("Configuration", "Business hours", "/hours", "hours"),)

#: What new hours begin with.
WORKING_WEEK = dict.fromkeys(WEEKDAYS[:5], "09:00-17:00")


@routes.get("/hours", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    tree = await tree_of(request)
    store = ScheduleStore(request.app[STORES].database)
    now = datetime.now(UTC)
    opened = {
        name: bool(found and found.is_open(now)) for name in tree["schedules"] if (found := await store.find(name))
    }
    return page(request, "hours/index.html", schedules=tree["schedules"], opened=opened, users=users_of(tree))


def users_of(tree: Tree) -> dict[str, list[str]]:
    """What goes by each hours, in words."""
    found: dict[str, list[str]] = {name: [] for name in tree["schedules"]}
    for number, entry in tree["numbers"].items():
        if entry.get("schedule"):
            found[entry["schedule"]].append(telephone(number))
    for name, menu in tree["menus"].items():
        if menu["schedule"]:
            found[menu["schedule"]].append(f"menu {name}")
    return found


@routes.get("/hours/new", roles=ADMINISTRATORS)
async def new(request: web.Request) -> web.StreamResponse:
    return _form(request, None, {"time_zone": "", "hours": WORKING_WEEK, "holidays": {}}, Saved())


@routes.post("/hours/new", roles=ADMINISTRATORS)
async def add(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    name, entry = form.text("name"), entry_of_form(form)
    saved = await save(request, Edit("schedules", name, entry)) if name else Saved({"name": "Hours need a name."})
    if not saved.ok:
        return _form(request, None, entry | {"name": name}, saved)
    return see_other(request, "/hours", saved.note(f"The hours “{name}”", "are"))


@routes.get("/hours/{name}", roles=ADMINISTRATORS)
async def edit(request: web.Request) -> web.StreamResponse:
    name, entry = await _found(request)
    return _form(request, name, entry, Saved(), stamp_of(entry))


@routes.post("/hours/{name}", roles=ADMINISTRATORS)
async def change(request: web.Request) -> web.StreamResponse:
    name, _ = await _found(request)
    form = form_of(request)
    entry = entry_of_form(form)
    saved = await save(request, Edit("schedules", name, entry, form.text(STAMP)))
    if not saved.ok:
        return _form(request, name, entry, saved, form.text(STAMP))
    return see_other(request, local_path(form.text("back")) or "/hours", saved.note(f"The hours “{name}”", "are"))


@routes.post("/hours/{name}/remove", roles=ADMINISTRATORS)
async def remove(request: web.Request) -> web.StreamResponse:
    name, entry = await _found(request)
    saved = await save(request, Edit("schedules", name, None, form_of(request).text(STAMP)))
    if not saved.ok:
        return _form(request, name, entry, saved, stamp_of(entry))
    return see_other(request, "/hours", f"The hours “{name}” are removed.")


def entry_of_form(form: Form) -> dict[str, Any]:
    """Two intervals a day at most; what is half filled in stays so, and is found to be wrong."""
    week = {}
    for day in WEEKDAYS:
        spans = [
            f"{opens}-{closes}"
            for number in ("1", "2")
            if (opens := form.text(f"{day}_{number}_opens")) or form.text(f"{day}_{number}_closes")
            for closes in [form.text(f"{day}_{number}_closes")]
        ]
        if spans:
            week[day] = ", ".join(_midnight(span) for span in spans)
    holidays = {}
    for row in form.rows("holiday", "holiday_opens", "holiday_closes"):
        opens, closes = row["holiday_opens"], row["holiday_closes"]
        holidays[row["holiday"]] = _midnight(f"{opens}-{closes}") if opens or closes else "closed"
    return {"time_zone": form.text("time_zone"), "hours": week, "holidays": holidays}


def _midnight(span: str) -> str:
    """Browsers have no 24:00: an end at 00:00 is the end of the day."""
    return span.removesuffix("-00:00") + "-24:00" if span.endswith("-00:00") else span


def spans_of(hours: str) -> list[tuple[str, str]]:
    """For the fields: what the configuration has as `09:00-12:00, 13:00-24:00`."""
    if hours == "closed":
        return []
    spans = []
    for part in hours.split(","):
        opens, _, closes = part.strip().partition("-")
        spans.append((opens, "00:00" if closes == "24:00" else closes))
    return spans


def week_of(entry: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {day: spans_of(entry["hours"][day]) if day in entry["hours"] else [] for day in WEEKDAYS}


def holidays_of(entry: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(day, *(spans_of(hours) or [("", "")])[0]) for day, hours in entry["holidays"].items()]


def time_zones() -> list[str]:
    """For the browser's list; any of the tz database may be typed."""
    return sorted(zone for zone in zoneinfo.available_timezones() if "/" in zone and not zone.startswith("Etc/"))


async def _found(request: web.Request) -> tuple[str, Mapping[str, Any]]:
    name = request.match_info["name"]
    entry = (await tree_of(request))["schedules"].get(name)
    if entry is None:
        raise web.HTTPNotFound
    return name, entry


def _form(
    request: web.Request, name: str | None, values: Mapping[str, Any], saved: Saved, stamp: str = ""
) -> web.Response:
    return page(
        request,
        "hours/edit.html",
        status=200 if saved.ok else 422,
        name=name,
        address=f"/hours/{quote(name, safe='')}" if name else "/hours/new",
        values=values,
        week=week_of(values),
        holidays=holidays_of(values),
        zones=time_zones(),
        invalid=saved.invalid,
        faults=saved.faults,
        stamp=stamp,
    )
