"""Call records: the list with its filters, and as CSV."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ari_app.console.access import EVERYBODY, NavItem, Routes
from ari_app.console.keys import STORES
from ari_app.console.reporting import Chosen, chosen_of
from ari_app.console.responses import page
from ari_app.console.session import user_of
from ari_app.console.sheets import Sheet
from ari_app.store.console.report_choices import ReportChoiceStore
from ari_app.store.console.users import Role
from ari_app.store.record_export import export_records
from ari_app.store.record_filters import CHANNEL_TYPES, DIRECTIONS, STATUSES, Cursor, CursorError, Sort
from ari_app.store.records import COUNT_LIMIT, Record, RecordStore

routes = Routes()
NAVIGATION = (NavItem("Reports: Voice", "Call Records", "/reports/records", "records"),)

SORTS = {"started": Sort.STARTED, "wait": Sort.WAIT, "talk": Sort.TALK}

Options = list[tuple[str, str]]


@dataclass(frozen=True)
class Order:
    """How the list is ordered, as the address says."""

    name: str
    ascending: bool

    @property
    def sort(self) -> Sort:
        return SORTS[self.name]

    @property
    def more(self) -> dict[str, str]:
        """For an address; what goes without saying is empty."""
        return {"sort": "" if self.name == "started" else self.name, "order": "up" if self.ascending else ""}

    def turned(self, name: str) -> "Order":
        """What a press on a column's heading does: order by it, or the other way round."""
        return Order(name, name == self.name and not self.ascending)


@dataclass(frozen=True)
class Excerpt:
    """A page of the list, and where those before and after it begin."""

    records: tuple[Record, ...]
    before: str | None
    after: str | None


@routes.get("/reports/records", roles=EVERYBODY)
async def index(request: web.Request) -> web.StreamResponse:
    chosen, order = chosen_of(request), _order(request)
    store = RecordStore(request.app[STORES].database)
    excerpt = await _excerpt(request, store, chosen, order)
    return page(
        request,
        "records/index.html",
        records=excerpt.records,
        chosen=chosen,
        order=order,
        count=await store.count(chosen.filters),
        most=COUNT_LIMIT,
        headings={name: chosen.query(**order.turned(name).more) for name in SORTS},
        before=excerpt.before and chosen.query(**order.more, before=excerpt.before),
        after=excerpt.after and chosen.query(**order.more, after=excerpt.after),
        first=chosen.query(**order.more),
        csv=chosen.query(order=order.more["order"]),
        **await offered(request, chosen),
    )


@routes.get("/reports/records.csv", roles=EVERYBODY)
async def as_csv(request: web.Request) -> web.StreamResponse:
    """All records that the filters leave, by their begin, as they come out of PostgreSQL."""
    chosen, sheet = chosen_of(request), Sheet(request, "call-records")
    return await sheet.filled(
        export_records(
            request.app[STORES].database,
            chosen.filters,
            sheet.write,
            zone=chosen.days.zone,
            descending=not _order(request).ascending,
        )
    )


async def offered(request: web.Request, chosen: Chosen) -> dict[str, Any]:
    """What the filters offer. What is chosen is among it, even where there is no such thing any more."""
    known = await ReportChoiceStore(request.app[STORES].database).all(chosen.scope)

    def options(name: str, everything: str, items: Options) -> Options:
        strange = [(value, value) for value in chosen.values[name] if value not in dict(items)]
        return [("", everything), *items, *strange]

    return {
        "numbers": options("number", "all numbers", [(n, f"{n} {name}".strip()) for n, name in known.numbers]),
        "groups": options("group", "all groups", [(name, name) for name in known.groups]),
        "agents": options("agent", "all agents", [(str(agent), name) for agent, name in known.agents]),
        "types": [("", "all types"), *((name, name) for name in CHANNEL_TYPES)],
        "directions": [("", "both ways"), *((name, name.capitalize()) for name in DIRECTIONS)],
        "statuses": [(name, name) for name in STATUSES],
        "sees_others": user_of(request).role is not Role.AGENT,
    }


def _order(request: web.Request) -> Order:
    name = request.query.get("sort", "")
    return Order(name if name in SORTS else "started", request.query.get("order") == "up")


async def _excerpt(request: web.Request, store: RecordStore, chosen: Chosen, order: Order) -> Excerpt:
    """A place that is none, and what lies before the first page, is the first page."""
    after, before, down = request.query.get("after"), request.query.get("before"), not order.ascending
    try:
        if before:
            found = await store.page(chosen.filters, sort=order.sort, descending=not down, cursor=before)
            if found.next is not None:
                records = found.records[::-1]
                return Excerpt(records, _place(order, records[0]), _place(order, records[-1]))
        elif after:
            found = await store.page(chosen.filters, sort=order.sort, descending=down, cursor=after)
            if found.records:
                return Excerpt(found.records, _place(order, found.records[0]), found.next)
    except CursorError:
        pass  # of another order, or written by hand
    found = await store.page(chosen.filters, sort=order.sort, descending=down)
    return Excerpt(found.records, None, found.next)


def _place(order: Order, record: Record) -> str:
    return Cursor(order.sort, getattr(record, order.sort.value), record.linkedid).encode()
