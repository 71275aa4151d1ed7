"""Calling settings of a number: what is wanted, what Meta has, what to do about the difference. No I/O.

Both are the object `calling` of `GET/POST /{phone-number-id}/settings`. Source: Meta, "Configure call settings".
Only the fields below are ours; SIP, codecs, voicemail and whatever comes later are left as they are.
"""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

FIELDS = ("status", "call_icon_visibility", "call_hours", "callback_permission_status")

#: What users meet where Meta says NOT_SET, or nothing.
DEFAULTS: dict[str, Any] = {
    "status": "DISABLED",
    "call_icon_visibility": "DEFAULT",
    "call_hours": {"status": "DISABLED"},
    "callback_permission_status": "DISABLED",
}
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")

# Meta's limits.
HOLIDAYS, INTERVALS_A_DAY = 20, 2

OnDrift = Literal["show", "reapply", "adopt"]
Calling = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to do so that wish and observation agree."""

    apply: dict[str, Any] = field(default_factory=dict)
    "Fields to post to Meta, as it wants them."
    adopt: dict[str, Any] = field(default_factory=dict)
    "Fields to take over from Meta."
    drift: list[dict[str, Any]] = field(default_factory=list)
    "Fields to show: field, wanted, observed."


def normal(calling: Calling, today: date) -> dict[str, Any]:
    """Our fields in one spelling: defaults named, hours sorted, past holidays forgotten, and of the coming ones as
    many as Meta takes. Two settings that users cannot tell apart are equal. `today` is that of the number's zone.
    """
    known = {
        name: default if (value := calling.get(name)) in (None, "NOT_SET") else value
        for name, default in DEFAULTS.items()
    }
    known["call_hours"] = _hours(known["call_hours"], today)
    return known


def plan(
    wanted: Calling, applied: tuple[Calling, date] | None, observed: Calling, on_drift: OnDrift, today: date
) -> Plan:
    """`applied` is the wish that was acted on last, and when Meta was last in line with it; None if it never was.

    A field whose wish has changed since is applied. One that differs though the wish is the old one was changed
    elsewhere: that is drift, and `on_drift` says what becomes of it. Before the first time everything is a change,
    unless Meta's settings are to be adopted.
    """
    wish, seen = normal(wanted, today), normal(observed, today)
    # Of many holidays Meta had those that came next on that day: a further one is a change, and no drift.
    before = wish if on_drift == "adopt" else None
    if applied is not None:
        before = normal(normal(*applied), today)
    result = Plan()
    for name in FIELDS:
        if wish[name] == seen[name]:
            continue
        drifted = before is not None and before[name] == wish[name]
        if drifted and on_drift == "adopt":
            result.adopt[name] = seen[name]
        elif drifted and on_drift == "show":
            result.drift.append({"field": name, "wanted": wish[name], "observed": seen[name]})
        else:
            result.apply[name] = _postable(wish[name], observed.get(name))
    return result


def faults(calling: Calling) -> list[str]:
    """What Meta would refuse of settings that are to be posted or adopted, in words; empty when nothing is wrong."""
    hours = calling.get("call_hours")
    if not isinstance(hours, dict) or hours.get("status") != "ENABLED":
        return []
    found: list[str] = []
    try:
        zone_of(calling)
    except (KeyError, ValueError, OSError, TypeError):
        found.append(f"there is no time zone {str(hours.get('timezone_id'))[:60]!r}")
    weekly, holidays = hours.get("weekly_operating_hours") or [], hours.get("holiday_schedule") or []
    if not weekly:
        found.append(
            "the schedule has no opening hours in the week, and Meta wants some: a number that is never open "
            "has calling_enabled: false"
        )
    for day in DAYS:
        intervals = [(each["open_time"], each["close_time"]) for each in weekly if each["day_of_week"] == day]
        if len(intervals) > INTERVALS_A_DAY:
            found.append(f"{day.lower()} has {len(intervals)} intervals; Meta takes {INTERVALS_A_DAY}")
        found += _interval_faults(day.lower(), intervals)
    for day in sorted({each["date"] for each in holidays}):
        intervals = [(each["start_time"], each["end_time"]) for each in holidays if each["date"] == day]
        found += _interval_faults(day, intervals)
    return found


def zone_of(calling: Calling) -> ZoneInfo | None:
    """The zone that the hours are in; None without hours. Raises what ZoneInfo raises for one that nobody knows."""
    hours = calling.get("call_hours")
    if not isinstance(hours, dict) or hours.get("status") != "ENABLED":
        return None
    return ZoneInfo(str(hours["timezone_id"]))


def today_of(calling: Calling, now: datetime) -> date:
    """The date that the hours' zone has; UTC's where there is none."""
    try:
        zone = zone_of(calling)
    except (KeyError, ValueError, OSError):
        zone = None
    return now.astimezone(zone).date() if zone is not None else now.date()


def readable(reply: Mapping[str, Any]) -> dict[str, Any] | None:
    """The object `calling` of Meta's reply or webhook, hours in a shape that can be worked with, no credentials."""
    calling = reply.get("calling")
    if not isinstance(calling, dict):
        return None
    calling = dict(calling)
    if isinstance(sip := calling.get("sip"), dict) and isinstance(servers := sip.get("servers"), list):
        public = [
            {key: value for key, value in server.items() if key != "sip_user_password"}
            for server in servers
            if isinstance(server, dict)
        ]
        calling["sip"] = sip | {"servers": public}
    hours = calling.get("call_hours")
    if hours is not None:
        calling["call_hours"] = _readable_hours(hours) if isinstance(hours, dict) else "NOT_SET"
    return calling


def restrictions_of(calling: Calling) -> list[dict[str, Any]]:
    """What Meta does not allow, from GET: type, reason, expires_at (unix seconds, None without an end)."""
    listed = calling.get("restrictions")
    listed = listed.get("restrictions_list") if isinstance(listed, dict) else None
    return [
        {
            "type": each["type"][:100],
            "reason": str(each.get("reason") or "")[:1000],
            "expires_at": expiration if isinstance(expiration := each.get("expiration"), int) else None,
        }
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and isinstance(each.get("type"), str)
    ]


def _hours(hours: Any, today: date) -> dict[str, Any]:
    if not isinstance(hours, dict) or hours.get("status") != "ENABLED":
        return {"status": "DISABLED"}
    coming = [each for each in hours.get("holiday_schedule") or [] if each["date"] >= today.isoformat()]
    return {
        "status": "ENABLED",
        "timezone_id": hours.get("timezone_id"),
        "weekly_operating_hours": sorted(
            hours.get("weekly_operating_hours") or [],
            key=lambda each: (DAYS.index(each["day_of_week"]), each["open_time"]),
        ),
        "holiday_schedule": sorted(coming, key=lambda each: (each["date"], each["start_time"]))[:HOLIDAYS],
    }


def _postable(wish: Any, observed: Any) -> Any:
    """Hours are replaced as a whole, and zone and week are required even where they are switched off."""
    if isinstance(wish, dict) and wish == {"status": "DISABLED"} and isinstance(observed, dict):
        kept = {name: observed[name] for name in ("timezone_id", "weekly_operating_hours") if observed.get(name)}
        return {**wish, **kept}
    return wish


def _interval_faults(what: str, intervals: list[tuple[str, str]]) -> list[str]:
    found = [
        f"{what}: {opens[:2]}:{opens[2:]} is not before {closes[:2]}:{closes[2:]}, to the minute"
        for opens, closes in intervals
        if not opens < closes
    ]
    for (_, closes), (opens, _) in itertools.pairwise(sorted(intervals)):
        if opens < closes:
            found.append(f"{what}: intervals overlap, one ends at {closes[:2]}:{closes[2:]}")
    return found


def _readable_hours(hours: dict[str, Any]) -> dict[str, Any]:
    """Without entries that are none; Meta's table names holidays' times as those of the week, its samples do not."""
    readable: dict[str, Any] = {"status": str(hours.get("status") or "DISABLED")}
    if isinstance(hours.get("timezone_id"), str):
        readable["timezone_id"] = hours["timezone_id"]
    if isinstance(weekly := hours.get("weekly_operating_hours"), list):
        readable["weekly_operating_hours"] = [
            {name: each[name] for name in ("day_of_week", "open_time", "close_time")}
            for each in weekly
            if isinstance(each, dict)
            and each.get("day_of_week") in DAYS
            and _is_time(each.get("open_time"))
            and _is_time(each.get("close_time"))
        ]
    if isinstance(holidays := hours.get("holiday_schedule"), list):
        readable["holiday_schedule"] = [
            {"date": each["date"], "start_time": starts, "end_time": ends}
            for each in holidays
            if isinstance(each, dict)
            and _is_day(each.get("date"))
            and _is_time(starts := each.get("start_time", each.get("open_time")))
            and _is_time(ends := each.get("end_time", each.get("close_time")))
        ]
    return readable


def _is_time(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"([01][0-9]|2[0-3])[0-5][0-9]", text) is not None


def _is_day(text: object) -> bool:
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
