"""Charts: calls by status, service level, how long callers waited; agents and groups as tables."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from aiohttp import web

from ari_app.console.access import REPORTERS, NavItem, Routes
from ari_app.console.charts import HALF_WIDTH, Chart, Series, percentages, side_by_side, stacked
from ari_app.console.figures import Buckets, by_status, coloured, of_groups
from ari_app.console.keys import STORES
from ari_app.console.pages.records import offered
from ari_app.console.reporting import Chosen, Days, chosen_of
from ari_app.console.responses import page
from ari_app.store import record_charts
from ari_app.store.agent_days import agent_days
from ari_app.store.group_figures import group_figures
from ari_app.store.record_charts import WaitClass
from ari_app.store.record_filters import Scope

routes = Routes()
NAVIGATION = (NavItem("Reports: Voice", "Charts", "/reports/charts", "charts"),)

#: More than a quarter of a year is for SQL.
MOST_DAYS = 92

#: Rows of a table; the rest is in PostgreSQL.
MOST_ROWS = 60

#: Days back from today, and how many.
SHORTCUTS = (("Today", 0, 1), ("Yesterday", 1, 1), ("7 days", 6, 7), ("30 days", 29, 30))


@routes.get("/reports/charts", roles=REPORTERS)
async def index(request: web.Request) -> web.StreamResponse:
    """Of today, if no days are chosen."""
    chosen = _with_days(chosen_of(request))
    days, filters = chosen.days, chosen.filters
    assert days.first is not None
    assert days.last is not None
    assert days.since is not None
    assert days.until is not None
    database, scope = request.app[STORES].database, chosen.scope
    groups = chosen.values["group"] or (None if scope is None else list(scope.groups))
    if scope is not None and groups is not None:
        groups = [group for group in groups if group in scope.groups]
    team = Scope((), groups) if chosen.values["group"] and groups is not None else scope
    buckets = Buckets.of(days)
    # One after the other: other pages need connections too.
    hours = await record_charts.by_hour(database, filters, days.zone)
    waits = await record_charts.wait_distribution(database, filters)
    totals = await record_charts.totals(database, filters)
    step: Literal["hour", "day"] = "day" if buckets.are_days else "hour"
    teams = await group_figures(database, days.since, days.until, days.zone, step, groups)
    each_day = not buckets.are_days
    agents = await agent_days(database, days.first, days.last, days.zone, team, each_day=each_day, limit=MOST_ROWS + 1)
    counts, table = by_status(buckets, hours), of_groups(buckets, teams)
    return page(
        request,
        "charts/index.html",
        chosen=chosen,
        shortcuts=_shortcuts(chosen),
        buckets=buckets,
        totals=totals,
        counts=counts,
        calls=stacked(buckets.labels, coloured(counts)),
        table=table,
        level=percentages(buckets.labels, "answered in time", table.levels, HALF_WIDTH),
        waits=waits,
        wait_labels=_wait_labels(waits),
        wait=_wait_chart(waits),
        rows=agents,
        agents_by_day=each_day,
        most_rows=MOST_ROWS,
        **await offered(request, chosen),
    )


def _with_days(chosen: Chosen) -> Chosen:
    """With a first and a last day, in their order, and not too far apart."""
    zone = chosen.days.zone
    today = datetime.now(ZoneInfo(zone)).date()
    last = chosen.days.last or max(today, chosen.days.first or today)
    first = chosen.days.first or last
    first = max(min(first, last), last - timedelta(days=MOST_DAYS - 1))
    return replace(chosen, days=Days(first, last, zone))


def _shortcuts(chosen: Chosen) -> list[tuple[str, str, bool]]:
    """Label, query, whether it is what is shown."""
    today = datetime.now(ZoneInfo(chosen.days.zone)).date()
    found = []
    for label, back, count in SHORTCUTS:
        first = today - timedelta(days=back)
        days = Days(first, first + timedelta(days=count - 1), chosen.days.zone)
        found.append((label, replace(chosen, days=days).query(), days == chosen.days))
    return found


def _wait_labels(waits: list[WaitClass]) -> list[str]:
    edges = [wait.up_to for wait in waits]
    return [f"≤ {edge} s" if edge is not None else f"> {edges[-2]} s" for edge in edges]


def _wait_chart(waits: list[WaitClass]) -> Chart:
    answered = Series("answered", 1, [wait.answered for wait in waits])
    not_answered = Series("not answered", 2, [wait.not_answered for wait in waits])
    return side_by_side(_wait_labels(waits), [answered, not_answered], HALF_WIDTH)
