"""Reconciliation: calls of which Meta, Asterisk and the application do not say the same."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from aiohttp import web

from ari_app.console.access import NavItem, Routes
from ari_app.console.keys import STORES
from ari_app.console.reporting import Days, days_of
from ari_app.console.responses import page
from ari_app.console.sheets import Sheet
from ari_app.store.console.users import Role
from ari_app.store.reconciliation import reconcile
from ari_app.store.record_export import export_reconciliation
from ari_app.store.record_filters import Filters

routes = Routes()
NAVIGATION = (NavItem("Reports: Voice", "Reconciliation", "/reports/reconciliation", "check"),)

#: It is about all calls, so it is for those who see all.
READERS = frozenset({Role.ADMINISTRATOR, Role.REPORTING})

#: Unless the reader says otherwise.
DAYS = 7

#: The CSV has all.
MOST_ROWS = 100


@routes.get("/reports/reconciliation", roles=READERS)
async def index(request: web.Request) -> web.StreamResponse:
    days, database = days_of(request), request.app[STORES].database
    since, until = _range(days)
    found = await reconcile(database, since, until, MOST_ROWS + 1)
    return page(
        request,
        "reconciliation/index.html",
        findings=found[:MOST_ROWS],
        kinds=Counter(finding.kind for finding in found[:MOST_ROWS]).most_common(),
        is_cut=len(found) > MOST_ROWS,
        days=days,
        default_days=DAYS,
    )


@routes.get("/reports/reconciliation.csv", roles=READERS)
async def as_csv(request: web.Request) -> web.StreamResponse:
    days, sheet = days_of(request), Sheet(request, "reconciliation")
    since, until = _range(days)
    filters = Filters(since=since, until=until)
    return await sheet.filled(export_reconciliation(request.app[STORES].database, filters, sheet.write, zone=days.zone))


def _range(days: Days) -> tuple[datetime, datetime]:
    until = days.until or datetime.now(UTC)
    return days.since or until - timedelta(days=DAYS), until
