"""The tables of the configuration as plain rows, and how they make up the configuration file.

A row has JSON's types only, times and days as PostgreSQL writes them: that way the same rows are read, compared,
written and printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ari_app.store.configuration.fields import WEEKDAYS
from ari_app.store.configuration.models import Document, Entry, GroupEntry, MenuEntry, NumberEntry, SipTargetEntry

Row = dict[str, Any]
Key = tuple[Any, ...]
Rows = dict[str, dict[Key, Row]]

#: A configuration as nested mappings, in the words of the file, with nothing left out.
Tree = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Table:
    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    "Without those of the key."
    is_part: bool = False
    "Its rows are parts of what another table has, and nothing refers to them."

    def key_of(self, row: Row) -> Key:
        return tuple(row[column] for column in self.key)


def _settings(model: type[Entry], *others: str) -> tuple[str, ...]:
    return tuple(name for name in model.model_fields if name not in others)


_ROUTE = _settings(NumberEntry, "phone_number_id", "name", "groups", "together", "sip_targets")
_GROUP = _settings(GroupEntry, "members")
_MENU = _settings(MenuEntry, "options")
_TARGET = _settings(SipTargetEntry, "host", "port")

#: What is referred to comes before what refers to it.
TABLES = (
    Table("pbx.prompts", ("name",), ("file", "seconds", "spoken_text", "sha256")),
    Table("whatsapp.numbers", ("phone_number_id",), ("display_number", "name")),
    Table("pbx.agents", ("endpoint",), ("name", "extension", "voip_only", "call_back", "enabled")),
    Table("pbx.schedules", ("name",), ("time_zone",)),
    Table("pbx.schedule_hours", ("schedule", "weekday", "opens"), ("closes",), is_part=True),
    Table("pbx.holidays", ("schedule", "day"), ("opens", "closes"), is_part=True),
    Table("pbx.groups", ("name",), _GROUP),
    Table("pbx.group_members", ("group_name", "endpoint"), ("priority",), is_part=True),
    Table("pbx.menus", ("name",), _MENU),
    Table("pbx.menu_options", ("menu", "digits"), ("destination",), is_part=True),
    Table("pbx.routes", ("number",), ("groups_together", *_ROUTE)),
    Table("pbx.route_groups", ("number", "position", "group_name"), (), is_part=True),
    Table("pbx.sip_targets", ("number", "host", "port"), _TARGET, is_part=True),
)


def rows_of(document: Document) -> Rows:
    """The document as rows, but for those of its prompts: what they are made of is not in it."""
    rows: list[tuple[str, Row]] = []
    for endpoint, agent in document.agents.items():
        rows.append(("pbx.agents", {"endpoint": endpoint, **agent.model_dump()}))
    for name, schedule in document.schedules.items():
        rows.append(("pbx.schedules", {"name": name, "time_zone": schedule.time_zone}))
        for weekday, hours in schedule.hours.items():
            key = {"schedule": name, "weekday": WEEKDAYS.index(weekday) + 1}
            rows += [("pbx.schedule_hours", {**key, "opens": opens, "closes": closes}) for opens, closes in hours]
        for day, hours in schedule.holidays.items():
            opens, closes = hours[0] if hours else (None, None)
            rows.append(("pbx.holidays", {"schedule": name, "day": day, "opens": opens, "closes": closes}))
    for name, group in document.groups.items():
        rows.append(("pbx.groups", {"name": name, **group.model_dump(exclude={"members"})}))
        for endpoint, priority in group.members.items():
            rows.append(("pbx.group_members", {"group_name": name, "endpoint": endpoint, "priority": priority}))
    for name, menu in document.menus.items():
        rows.append(("pbx.menus", {"name": name, **menu.model_dump(exclude={"options"})}))
        for digits, destination in menu.options.items():
            rows.append(("pbx.menu_options", {"menu": name, "digits": digits, "destination": destination}))
    for number, entry in document.numbers.items():
        rows += _rows_of_number(number, entry)
    found: Rows = {table.name: {} for table in TABLES}
    keys = {table.name: table.key_of for table in TABLES}
    for name, row in rows:
        found[name][keys[name](row)] = row
    return found


def _rows_of_number(number: str, entry: NumberEntry) -> list[tuple[str, Row]]:
    rows: list[tuple[str, Row]] = []
    if entry.phone_number_id is not None:
        known = {"phone_number_id": entry.phone_number_id, "display_number": number, "name": entry.name}
        rows.append(("whatsapp.numbers", known))
    if entry.incoming == "none":
        return rows
    route = {"number": number, "groups_together": entry.together, **entry.model_dump(include={*_ROUTE})}
    rows.append(("pbx.routes", route))
    for position, group in enumerate(entry.groups, 1):
        rows.append(("pbx.route_groups", {"number": number, "position": position, "group_name": group}))
    for target in entry.sip_targets:
        rows.append(("pbx.sip_targets", {"number": number, **target.model_dump()}))
    return rows


def tree_of(rows: Mapping[str, Mapping[Key, Row]]) -> Tree:
    """Rows in the words of the file; everything in the order in which people look for it."""
    tree: Tree = {"numbers": {}, "agents": {}, "groups": {}, "menus": {}, "schedules": {}, "prompts": {}}
    for row in _sorted(rows, "pbx.agents"):
        tree["agents"][row["endpoint"]] = _without(row, "endpoint")
    for row in _sorted(rows, "pbx.groups"):
        tree["groups"][row["name"]] = {"members": {}, **_without(row, "name")}
    for row in _sorted(rows, "pbx.group_members", "group_name", "priority", "endpoint"):
        tree["groups"][row["group_name"]]["members"][row["endpoint"]] = row["priority"]
    for row in _sorted(rows, "pbx.menus"):
        settings = _without(row, "name", "prompt", "invalid_prompt")
        first = {"prompt": row["prompt"], "invalid_prompt": row["invalid_prompt"], "options": {}}
        tree["menus"][row["name"]] = first | settings
    for row in _sorted(rows, "pbx.menu_options"):
        tree["menus"][row["menu"]]["options"][row["digits"]] = row["destination"]
    for row in _sorted(rows, "pbx.schedules"):
        tree["schedules"][row["name"]] = {"time_zone": row["time_zone"], "hours": {}, "holidays": {}}
    for row in _sorted(rows, "pbx.schedule_hours"):
        week, weekday = tree["schedules"][row["schedule"]]["hours"], WEEKDAYS[row["weekday"] - 1]
        week[weekday] = f"{week[weekday]}, {_interval(row)}" if weekday in week else _interval(row)
    for row in _sorted(rows, "pbx.holidays"):
        hours = "closed" if row["opens"] is None else _interval(row)
        tree["schedules"][row["schedule"]]["holidays"][row["day"]] = hours
    for row in _sorted(rows, "pbx.prompts"):
        spoken = row["spoken_text"]
        tree["prompts"][row["name"]] = {"text": spoken, "file": row["file"] if spoken is None else None}
    tree["numbers"] = _numbers(rows)
    return tree


def _numbers(rows: Mapping[str, Mapping[Key, Row]]) -> dict[str, Any]:
    at_meta = {row["display_number"]: row for row in rows["whatsapp.numbers"].values()}
    routes = {row["number"]: row for row in rows["pbx.routes"].values()}
    numbers: dict[str, Any] = {}
    for number in sorted({*at_meta, *routes}):
        meta, route = at_meta.get(number), routes.get(number)
        entry = {"phone_number_id": meta and meta["phone_number_id"], "name": meta["name"] if meta else ""}
        if route is None:
            numbers[number] = {**entry, "incoming": "none"}
            continue
        entry |= {"incoming": route["incoming"], "groups": [], "together": route["groups_together"]}
        numbers[number] = entry | _without(route, "number", "incoming", "groups_together") | {"sip_targets": []}
    for row in _sorted(rows, "pbx.route_groups"):
        numbers[row["number"]]["groups"].append(row["group_name"])
    for row in _sorted(rows, "pbx.sip_targets", "number", "priority", "host", "port"):
        numbers[row["number"]]["sip_targets"].append(_without(row, "number"))
    return numbers


def _sorted(rows: Mapping[str, Mapping[Key, Row]], name: str, *columns: str) -> list[Row]:
    if columns:
        return sorted(rows[name].values(), key=lambda row: tuple(row[column] for column in columns))
    return [row for _, row in sorted(rows[name].items(), key=lambda item: item[0])]


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _interval(row: Row) -> str:
    return "-".join(row[end].removesuffix(":00") for end in ("opens", "closes"))
