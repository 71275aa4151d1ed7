"""Which call records, in which order, from where on: as SQL with parameters, without any I/O.

Everything a person may type goes into a parameter; the SQL consists of nothing but the words below.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

CHANNEL_TYPES = ("WhatsApp Call", "Voice")
DIRECTIONS = ("inbound", "outbound", "internal")
STATUSES = (
    "Answered",
    "User Abandon",
    "Missed",
    "Voicemail",
    "Rejected",
    "Declined",
    "No Answer",
    "Cancelled",
    "Failed",
)

#: Behind every character that a number or name can have.
_LAST = "\U0010ffff"


class CursorError(ValueError):
    """The cursor is none of ours, or of another order."""


class Sort(StrEnum):
    """The column by which a list is ordered; calls that are equal in it are ordered by linkedid."""

    STARTED = "started_at"
    WAIT = "wait_seconds"
    TALK = "talk_seconds"


@dataclass(frozen=True)
class Scope:
    """What somebody may see: the calls of these agents and those that these groups had."""

    agents: Sequence[UUID] = ()
    groups: Sequence[str] = ()


@dataclass(frozen=True)
class Filters:
    """Conditions that all have to hold; an empty one is none."""

    since: datetime | None = None
    "Calls that began then or later."
    until: datetime | None = None
    "Calls that began before."
    channel_type: str | None = None
    direction: str | None = None
    statuses: Sequence[str] = ()
    numbers: Sequence[str] = ()
    "Business numbers."
    groups: Sequence[str] = ()
    "Calls that one of these groups had."
    agents: Sequence[UUID] = ()
    caller: str = ""
    "Beginning of the other side's number (a + does not matter) or name (nor does case)."
    scope: Scope | None = None
    "None: everything may be seen. An empty scope sees nothing."


@dataclass
class Parameters:
    """Values of a statement, numbered as they come. Texts lose what PostgreSQL has no place for."""

    values: list[Any] = field(default_factory=list)

    def add(self, value: Any) -> str:
        self.values.append([_storable(one) for one in value] if isinstance(value, list) else _storable(value))
        return f"${len(self.values)}"


def _storable(value: Any) -> Any:
    """A NUL, and half of a surrogate pair, are in no text of PostgreSQL's: nothing equals such a value."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return value


@dataclass(frozen=True)
class Cursor:
    """Behind which record a page begins."""

    sort: Sort
    value: datetime | int
    linkedid: str

    def encode(self) -> str:
        """For addresses: letters, digits, - and _."""
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        text = json.dumps([self.sort.value, value, self.linkedid], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, sort: Sort) -> "Cursor":
        """Raises CursorError."""
        try:
            found = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
            name, value, linkedid = found
            if name != sort.value or not isinstance(linkedid, str):
                raise ValueError
            if sort is Sort.STARTED:
                value = datetime.fromisoformat(value)
                if value.tzinfo is None:
                    raise ValueError
            elif type(value) is not int or not 0 <= value < 2**63:
                raise ValueError
        except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError) as error:
            raise CursorError("this is not a place in a list that is ordered so") from error
        return cls(sort, value, linkedid)


def conditions(filters: Filters, parameters: Parameters) -> list[str]:
    """Conditions on `r`, a row of reports.call_records."""
    add = parameters.add
    found = []
    if filters.since is not None:
        found.append(f"r.started_at >= {add(filters.since)}")
    if filters.until is not None:
        found.append(f"r.started_at < {add(filters.until)}")
    if filters.channel_type:
        found.append(f"r.channel_type = {add(filters.channel_type)}")
    if filters.direction:
        found.append(f"r.direction = {add(filters.direction)}")
    if filters.statuses:
        found.append(_one_of("r.status", filters.statuses, add))
    if filters.numbers:
        found.append(_one_of("r.business_number", filters.numbers, add))
    if filters.groups:
        found.append(f"r.groups && {add(list(filters.groups))}::text[]")
    if filters.agents:
        found.append(_one_of("r.agent_id", filters.agents, add))
    if caller := filters.caller.strip():
        found.append(_called(caller, add))
    if filters.scope is not None:
        agents, groups = add(list(filters.scope.agents)), add(list(filters.scope.groups))
        found.append(f"(r.agent_id = ANY ({agents}::uuid[]) OR r.groups && {groups}::text[])")
    return found


def _one_of(column: str, values: Sequence[str] | Sequence[UUID], add: Callable[[Any], str]) -> str:
    """A single value as such: an index that goes on with the time then has the calls in their order."""
    return f"{column} = {add(values[0])}" if len(values) == 1 else f"{column} = ANY ({add(list(values))})"


def _called(caller: str, add: Callable[[Any], str]) -> str:
    """As a range, which an index serves whatever the value; LIKE with a parameter has none."""
    if caller[0] in "+0123456789":
        column, first = 'r.user_number COLLATE "C"', add(caller.removeprefix("+"))
    else:
        column, first = 'lower(r.user_name) COLLATE "C"', f"lower({add(caller)})"
    return f"({column} >= {first} AND {column} < {first} || '{_LAST}')"


def is_in_order(filters: Filters) -> bool:
    """Whether an index has what passes these filters in the order of time: PostgreSQL then reads a page and no more."""
    asked = {
        name
        for name in ("channel_type", "direction", "statuses", "numbers", "groups", "agents", "caller", "scope")
        if getattr(filters, name)
    } | ({"scope"} if filters.scope is not None else set())
    single = all(len(getattr(filters, name)) <= 1 for name in ("statuses", "numbers", "agents"))
    served = ({"statuses"}, {"agents"}, {"agents", "statuses"}, {"direction"}, {"numbers", "channel_type"})
    return not asked or (single and asked in served)


def time_only(filters: Filters) -> Filters:
    return Filters(since=filters.since, until=filters.until)


def where(found: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(found)}" if found else ""


def order(sort: Sort, *, descending: bool) -> str:
    way = "DESC" if descending else "ASC"
    return f" ORDER BY r.{sort.value} {way}, r.linkedid {way}"


def sorted_afterwards(*, descending: bool) -> str:
    """The same order by time in words that no index serves: PostgreSQL has to find all records first, and then sort."""
    way = "DESC" if descending else "ASC"
    return f" ORDER BY r.started_at + interval '0' {way}, r.linkedid {way}"


def behind(cursor: Cursor, parameters: Parameters, *, descending: bool) -> str:
    """The condition that a record comes after the cursor."""
    value, linkedid = parameters.add(cursor.value), parameters.add(cursor.linkedid)
    return f"(r.{cursor.sort.value}, r.linkedid) {'<' if descending else '>'} ({value}, {linkedid})"
