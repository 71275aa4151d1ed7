"""What all pages of reports share: what the reader may see, which days are meant, and which calls.

All of it is in the address, so that a list can be sent to somebody else, who sees as much of it as they may.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from urllib.parse import unquote, urlencode
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from aiohttp import web
from multidict import MultiMapping

from ari_app.console.session import user_of
from ari_app.store.console.messages import Groups
from ari_app.store.console.report_choices import ReportChoiceStore
from ari_app.store.console.users import Role, User
from ari_app.store.database import Database
from ari_app.store.record_filters import CHANNEL_TYPES, DIRECTIONS, STATUSES, Filters, Scope

#: Written by the page's script: the reader's time zone.
ZONE_COOKIE = "aw_zone"

LONGEST_TEXT = 128
#: Of one filter.
MOST_VALUES = 50


def scope_of(user: User) -> Scope | None:
    """Whose calls somebody may see; None: everybody's."""
    own = () if user.agent_id is None else (user.agent_id,)
    match user.role:
        case Role.ADMINISTRATOR | Role.REPORTING:
            return None
        case Role.SUPERVISOR:
            return Scope(own, user.groups)
    return Scope(own)


async def message_groups(user: User, database: Database) -> Groups:
    """Whose messages somebody may hear: an agent has those of the groups where the agent is a member."""
    match user.role:
        case Role.ADMINISTRATOR | Role.REPORTING:
            return None
        case Role.SUPERVISOR:
            return user.groups
    return () if user.agent_id is None else await ReportChoiceStore(database).groups_of(user.agent_id)


@cache
def zones() -> frozenset[str]:
    return frozenset(available_timezones())


@dataclass(frozen=True)
class Days:
    """From the begin of a day to the end of another one, in a time zone; either may be open."""

    first: date | None
    last: date | None
    zone: str

    @property
    def since(self) -> datetime | None:
        return None if self.first is None else _begin(self.first, self.zone)

    @property
    def until(self) -> datetime | None:
        return None if self.last is None else _begin(self.last + timedelta(days=1), self.zone)


def _begin(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone))


def zone_of(request: web.Request) -> str:
    """As the address says, else the browser's, else UTC."""
    for name in (request.query.get("zone", "").strip(), unquote(request.cookies.get(ZONE_COOKIE, ""))):
        if name in zones():
            return name
    return "UTC"


def days_of(request: web.Request) -> Days:
    """What is no day is none."""
    return Days(_day(request.query.get("since", "")), _day(request.query.get("until", "")), zone_of(request))


def _day(text: str) -> date | None:
    """Years that have a neighbour in every time zone."""
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        return None
    return found if 1970 <= found.year <= 9000 else None


@dataclass(frozen=True)
class Chosen:
    """The filters of a page as they were typed, and what they mean."""

    days: Days
    values: dict[str, list[str]]
    scope: Scope | None

    @property
    def filters(self) -> Filters:
        return Filters(
            since=self.days.since,
            until=self.days.until,
            channel_type=self.first("type") or None,
            direction=self.first("direction") or None,
            statuses=self.values["status"],
            numbers=self.values["number"],
            groups=self.values["group"],
            agents=[UUID(agent) for agent in self.values["agent"]],
            caller=self.first("caller"),
            scope=self.scope,
        )

    def first(self, name: str) -> str:
        return next(iter(self.values[name]), "")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """For an address. The time zone goes with days, which mean nothing without."""
        found = [(name, value) for name, values in self.values.items() for value in values]
        for name, day in (("since", self.days.first), ("until", self.days.last)):
            found += [] if day is None else [(name, day.isoformat())]
        return [*found, ("zone", self.days.zone)]

    def query(self, **more: str) -> str:
        return urlencode([*self.pairs, *((name, value) for name, value in more.items() if value)])

    @property
    def is_narrow(self) -> bool:
        return any(self.values.values()) or self.days.first is not None or self.days.last is not None


def chosen_of(request: web.Request) -> Chosen:
    query = request.query
    values = {
        "type": [value for value in _all(query, "type") if value in CHANNEL_TYPES][:1],
        "direction": [value for value in _all(query, "direction") if value in DIRECTIONS][:1],
        "status": [status for status in STATUSES if status in _all(query, "status")],
        "number": _all(query, "number"),
        "group": _all(query, "group"),
        "agent": [value for value in _all(query, "agent") if _is_id(value)],
        "caller": _all(query, "caller")[:1],
    }
    return Chosen(days_of(request), values, scope_of(user_of(request)))


def _all(query: MultiMapping[str], name: str) -> list[str]:
    found = (value.strip()[:LONGEST_TEXT] for value in query.getall(name, []))
    return [value for value in found if value][:MOST_VALUES]


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
