"""State of a number at Meta: what was set there, what was changed there by somebody else, what Meta complains of."""

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from ari_app.console import channel
from ari_app.console.access import ADMINISTRATORS, Routes
from ari_app.console.following import Drawn, follow, redrawn
from ari_app.console.keys import STORES
from ari_app.console.live import Update
from ari_app.console.rendering import telephone
from ari_app.console.responses import fragment, see_other
from ari_app.console.session import actor_of
from ari_app.store.console.meta_state import MetaState, MetaStateStore

routes = Routes()

#: Meta's fields in the words of the console.
FIELDS = {
    "status": "Voice calling",
    "call_icon_visibility": "Call icon",
    "call_hours": "Business hours",
    "callback_permission_status": "Callback permission",
}
_WORDS = {"ENABLED": "on", "DISABLED": "off", "DEFAULT": "shown", "DISABLE_ALL": "hidden", "NOT_SET": "not set"}


@routes.get("/channels/{number}/meta", roles=ADMINISTRATORS)
async def show(request: web.Request) -> web.StreamResponse:
    found, state = await _found(request)
    return channel.show(request, found, "meta", live=f"{found.address('meta')}/live", **_context(state))


@routes.get("/channels/{number}/meta/live", roles=ADMINISTRATORS)
async def live(request: web.Request) -> web.StreamResponse:
    """The state anew whenever the bridge has something to tell of this number."""
    found, _ = await _found(request)
    number_id = str(found.entry["phone_number_id"])

    async def draw() -> Drawn:
        state = await _store(request).find(number_id)
        if state is None:
            return Drawn(())
        html = fragment(request, "channels/meta_state.html", channel=found, **_context(state))
        return Drawn([Update("meta-state", html)])

    return await follow(request, redrawn(request, lambda fact: fact.text == f"settings:{number_id}", draw))


@routes.post("/channels/{number}/meta/ask", roles=ADMINISTRATORS)
async def ask(request: web.Request) -> web.StreamResponse:
    found, _ = await _found(request)
    await _store(request).ask(str(found.entry["phone_number_id"]))
    return see_other(request, found.address("meta"), "Meta is being asked.")


@routes.post("/channels/{number}/meta/apply", roles=ADMINISTRATORS)
async def apply(request: web.Request) -> web.StreamResponse:
    found, _ = await _found(request)
    await _store(request).apply_again(str(found.entry["phone_number_id"]), found.number, actor_of(request))
    return see_other(
        request, found.address("meta"), f"What is set here for {telephone(found.number)} is set at Meta again."
    )


@routes.post("/channels/{number}/meta/adopt", roles=ADMINISTRATORS)
async def adopt(request: web.Request) -> web.StreamResponse:
    found, _ = await _found(request)
    await _store(request).adopt(str(found.entry["phone_number_id"]), found.number, actor_of(request))
    return see_other(request, found.address("meta"), "Meta's settings are taken over.")


def _store(request: web.Request) -> MetaStateStore:
    return MetaStateStore(request.app[STORES].database)


async def _found(request: web.Request) -> tuple[channel.Channel, MetaState]:
    found = await channel.find(request)
    state = await _store(request).find(str(found.entry["phone_number_id"])) if found.is_whatsapp else None
    if state is None:
        raise web.HTTPNotFound
    return found, state


def _context(state: MetaState) -> dict[str, Any]:
    drifted = {one["field"] for one in state.drift}
    rows = [
        (
            label,
            words((state.wanted or {}).get(field)),
            words((state.observed or {}).get(field)) if state.observed is not None else "not known yet",
            field in drifted,
        )
        for field, label in FIELDS.items()
    ]
    return {"state": state, "rows": rows}


def words(value: Any) -> str:
    """A setting in Meta's spelling, for people."""
    match value:
        case None:
            return "not set"
        case {"status": "ENABLED", **rest}:
            return _hours({str(name): part for name, part in rest.items()})
        case {"status": status}:
            return _WORDS.get(str(status), str(status))
        case str():
            return _WORDS.get(value, value)
    return str(value)


def _hours(hours: dict[str, Any]) -> str:
    week: dict[str, list[str]] = {}
    for day in hours.get("weekly_operating_hours", []):
        span = f"{_clock(day['open_time'])}-{_clock(day['close_time'])}"
        week.setdefault(str(day["day_of_week"])[:3].capitalize(), []).append(span)
    days = [
        f"{names[0]}{f'-{names[-1]}' if len(names) > 1 else ''} {times}"
        for times, names in _alike((name, ", ".join(spans)) for name, spans in week.items())
    ]
    count = len(hours.get("holiday_schedule") or [])
    special = f"; {count} special day{'s' if count > 1 else ''}" if count else ""
    return f"{hours.get('timezone_id', '')}: {'; '.join(days) or 'always closed'}{special}"


def _alike(days: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Days that follow each other and have the same times, together."""
    found: list[tuple[str, list[str]]] = []
    for name, times in days:
        if found and found[-1][0] == times:
            found[-1][1].append(name)
        else:
            found.append((times, [name]))
    return found


def _clock(digits: str) -> str:
    return f"{digits[:2]}:{digits[2:]}" if len(digits) == 4 else digits
