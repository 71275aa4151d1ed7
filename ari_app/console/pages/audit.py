"""Audit: who changed what, when, from where; before and after."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from aiohttp import web

from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.forms import clean
from ari_app.console.keys import STORES
from ari_app.console.responses import page

routes = Routes()
NAVIGATION = (NavItem("Administration", "Audit", "/audit", "audit"),)

PAGE = 50


@routes.get("/audit", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    query = request.query
    store = request.app[STORES].audit
    filters = {
        name: clean(query.get(name, "").strip()[:300]) for name in ("actor", "kind", "subject", "since", "until")
    }
    until = _day(filters["until"])
    last = query.get("before", "")
    found = await store.page(
        actor=filters["actor"] or None,
        kind=filters["kind"] or None,
        subject=filters["subject"] or None,
        since=_day(filters["since"]),
        until=until + timedelta(days=1) if until else None,
        before_id=int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None,
        limit=PAGE + 1,
    )
    actors, kinds = await store.actors_and_kinds()
    older = found[PAGE - 1].id if len(found) > PAGE else None
    return page(
        request,
        "audit/index.html",
        entries=found[:PAGE],
        filters=filters,
        actors=[(actor, actor) for actor in actors],
        kinds=[(kind, kind.replace("_", " ")) for kind in kinds],
        older=older,
        older_query=urlencode({name: value for name, value in filters.items() if value} | {"before": older or ""}),
    )


def _day(text: str) -> datetime | None:
    """The begin of a day, UTC; None where it is none."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
