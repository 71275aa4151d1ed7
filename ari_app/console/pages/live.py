"""Live: who waits, who talks, how agents and groups do; and a supervisor's ear and word in it."""

import logging
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from ari_app.console.access import SUPERVISORS, NavItem, Routes
from ari_app.console.board_rows import Rows, Scope, order_rows, rows_of
from ari_app.console.changes import Changes, Parts, Piece
from ari_app.console.following import follow
from ari_app.console.guard import form_of
from ari_app.console.keys import BOARD, RENDERER, STORES
from ari_app.console.live import Update
from ari_app.console.pages.call_status import call_status
from ari_app.console.reporting import zone_of
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of, user_of
from ari_app.store.console.board import Figures, Snapshot
from ari_app.store.console.orders import OrderRefused, OrderStore
from ari_app.store.console.users import Role, User
from ari_app.store.database import StoreError

logger = logging.getLogger(__name__)

routes = Routes()
NAVIGATION = (NavItem("Work", "Live", "/live", "live"),)

ORDERED = {
    "listen": "Your phone rings: pick it up to listen.",
    "whisper": "Your phone rings: pick it up to speak to the agent; the caller does not hear you.",
    "barge": "Your phone rings: pick it up to join the call.",
    "hangup": "The call is hung up.",
}

#: Rows that were drawn are kept while they do not change; with more than so many the store is emptied.
KEPT_ROWS = 5000


@routes.get("/live", roles=SUPERVISORS)
async def show(request: web.Request) -> web.StreamResponse:
    board, zone = request.app[BOARD], ZoneInfo(zone_of(request))
    snapshot = await board.now()
    rows = rows_of(snapshot, await board.figures(snapshot.at, zone), scope_of(user_of(request)))
    return page(
        request, "live/index.html", zone=zone.key, parts=_html(_parts(request, rows) | _orders(request, snapshot))
    )


@routes.get("/live/events", roles=SUPERVISORS)
async def events(request: web.Request) -> web.StreamResponse:
    return await follow(request, _board(request), *call_status(request))


@routes.post("/live/orders", roles=SUPERVISORS)
async def order(request: web.Request) -> web.StreamResponse:
    """Listen in, whisper, barge in, hang up: rings the supervisor's phone, in calls of the supervisor's groups."""
    kind, _, name = form_of(request).text("order").partition(":")
    user = user_of(request)
    if kind not in ORDERED:
        raise web.HTTPBadRequest(text="there is no such order")
    snapshot = await request.app[BOARD].now()
    scope = scope_of(user)
    if (call := next((c for c in snapshot.calls if str(c.id) == name), None)) is None or not scope.sees(call, snapshot):
        return see_other(request, "/live", "This call is over.")
    try:
        await OrderStore(request.app[STORES].database).add(kind, call.id, user.agent_id, actor_of(request))
    except OrderRefused as refusal:
        return see_other(request, "/live", f"{str(refusal)[0].upper()}{str(refusal)[1:]}.")
    return see_other(request, "/live", ORDERED[kind])


def scope_of(user: User) -> Scope:
    """Administrators see all, supervisors their groups."""
    return Scope(None if user.role is Role.ADMINISTRATOR else frozenset(user.groups))


async def _board(request: web.Request) -> AsyncGenerator[Update]:
    board, scope, zone, changes = request.app[BOARD], scope_of(user_of(request)), ZoneInfo(zone_of(request)), Changes()
    version = 0
    with board.watching(zone):
        while (newer := await board.next(version)) is not None:
            version, snapshot = newer, board.snapshot
            if snapshot is None:
                continue
            try:
                figures = await board.figures(snapshot.at, zone)
            except StoreError as error:
                logger.warning("the live page stands still for now: %s", error)
                continue
            began = time.perf_counter()
            shared = board.drawn((scope, zone), partial(_seen, request, snapshot, figures, scope))
            updates = changes.of(shared | _orders(request, snapshot))
            board.spent(time.perf_counter() - began)
            for update in updates:
                yield update


def _seen(request: web.Request, snapshot: Snapshot, figures: Mapping[str, Figures], scope: Scope) -> Parts:
    return _parts(request, rows_of(snapshot, figures, scope))


def _parts(request: web.Request, rows: Rows) -> Parts:
    """The live parts of the page, by their ids."""
    draw = _Drawing(request)
    return {
        "live-totals": (("", draw("live/totals.html", rows.totals)),),
        "live-waiting": draw.all("w", "live/waiting.html", rows.waiting, "live/no_waiting.html"),
        "live-calls": draw.all("c", "live/call.html", rows.calls, "live/no_calls.html"),
        "live-agents": draw.all("a", "live/agent.html", rows.agents, "live/no_agents.html"),
        "live-groups": draw.all("g", "live/group.html", rows.groups, "live/no_groups.html"),
    }


def _orders(request: web.Request, snapshot: Snapshot) -> Parts:
    """What became of this reader's orders."""
    return {"live-orders": _Drawing(request).all("o", "live/order.html", order_rows(snapshot, user_of(request).id))}


def _html(parts: Parts) -> dict[str, str]:
    return {target: "".join(html for _, html in pieces) for target, pieces in parts.items()}


class _Drawing:
    """Draws rows, each once for as long as it does not change."""

    def __init__(self, request: web.Request) -> None:
        self._kept: dict[Hashable, str] = request.app[BOARD].rows
        self._render: Callable[[str, dict[str, Any]], str] = request.app[RENDERER].render

    def __call__(self, template: str, row: Any) -> str:
        key = (template, row)
        if (html := self._kept.get(key)) is None:
            if len(self._kept) >= KEPT_ROWS:
                self._kept.clear()
            html = self._kept[key] = self._render(template, {"row": row})
        return html

    def all(self, kind: str, template: str, rows: Iterable[Any], empty: str | None = None) -> tuple[Piece, ...]:
        found = tuple((f"{kind}-{row.key}", self(template, row)) for row in rows)
        return found or (((f"{kind}-none", self(empty, None)),) if empty else ())
