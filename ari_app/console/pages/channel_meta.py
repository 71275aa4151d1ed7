"""State of a number at Meta: what was set there, what was changed there by somebody else, what Meta complains of."""

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from ari_app.console import channel
from ari_app.console.access import ADMINISTRATORS, Routes
from ari_app.console.keys import HUB, STORES
from ari_app.console.live import HEARTBEAT, Update, stream
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

    async def updates() -> AsyncIterator[Update | None]:
        with request.app[HUB].subscribe() as facts:
            while True:
                try:
                    fact = await facts.next(HEARTBEAT)
                except TimeoutError:
                    yield None
                    continue
                if fact is None:
                    return
                if fact.missed or fact.text == f"settings:{number_id}":
                    facts.drained()
                    state = await _store(request).find(number_id)
                    if state is None:
                        return
                    html = fragment(request, "channels/meta_state.html", channel=found, **_context(state))
                    yield Update("meta-state", html)

    return await stream(request, updates())


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
    days = [
        f"{day['day_of_week'][:3].capitalize()} {_clock(day['open_time'])}-{_clock(day['close_time'])}"
        for day in hours.get("weekly_operating_hours", [])
    ]
    holidays = hours.get("holiday_schedule") or []
    special = f"; {len(holidays)} special day{'s' if len(holidays) > 1 else ''}" if holidays else ""
    return f"{hours.get('timezone_id', '')}: {', '.join(days) or 'always closed'}{special}"


def _clock(digits: str) -> str:
    return f"{digits[:2]}:{digits[2:]}" if len(digits) == 4 else digits
