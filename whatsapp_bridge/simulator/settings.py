"""`GET` and `POST /{phone-number-id}/settings`: the object `calling` of a number, with Meta's checks. No I/O.

Codes that no published source confirms are 100 with the reason in `error_data.details`.
"""

from __future__ import annotations

import itertools
import re
import zoneinfo
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from .config import NumberConfig
from .errors import GraphError

DAYS: Final = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
MAX_HOLIDAYS: Final = 20
MAX_INTERVALS: Final = 2
_SWITCH: Final = ("ENABLED", "DISABLED")
_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "status": _SWITCH,
    "call_icon_visibility": ("DEFAULT", "DISABLE_ALL"),
    "callback_permission_status": _SWITCH,
    "srtp_key_exchange_protocol": ("DTLS", "SDES"),
}
_OBJECTS: Final = ("call_hours", "call_icons", "sip", "audio", "voicemail")
#: The types that GET lists; of others only a webhook tells.
_LISTED: Final = ("RESTRICTED_BUSINESS_INITIATED_CALLING", "RESTRICTED_USER_INITIATED_CALLING")
#: What a fresh number's GET says of fields that were never set (observed).
_FRESH: Final = dict.fromkeys(("status", "call_icon_visibility", "callback_permission_status"), "NOT_SET")


@dataclass
class Restriction:
    """What Meta does not allow for a while; `expiration` is unix seconds."""

    type: str
    expiration: int | None = None
    reason: str = ""


@dataclass
class NumberSettings:
    """The settings of one number. They are replaced field by field, `call_hours` as a whole."""

    config: NumberConfig
    calling: dict[str, Any] = field(default_factory=dict)
    restrictions: list[Restriction] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.config.calling != "NOT_SET":
            self.calling["status"] = self.config.calling

    @property
    def calling_enabled(self) -> bool:
        return self.calling.get("status") == "ENABLED"

    @property
    def callback_enabled(self) -> bool:
        return self.calling.get("callback_permission_status") == "ENABLED"

    def restricted(self, direction: str, now: float) -> bool:
        """`direction`: BUSINESS_INITIATED or USER_INITIATED."""
        words = direction.partition("_")[0], "BIZ_INITIATED_AND_USER_INITIATED"
        return any(
            any(each.type.startswith(f"RESTRICTED_{word}") for word in words)
            and not each.type.endswith("CALL_BUTTON_HIDDEN")
            and (each.expiration is None or each.expiration > now)
            for each in self.restrictions
        )

    def open_at(self, now: float) -> bool:
        """Whether users can call in, by the hours."""
        hours = self.calling.get("call_hours", {})
        if hours.get("status") != "ENABLED":
            return True
        local = datetime.fromtimestamp(now, zoneinfo.ZoneInfo(hours["timezone_id"]))
        clock, today = local.strftime("%H%M"), local.date().isoformat()
        holidays = [each for each in hours.get("holiday_schedule", []) if each["date"] == today]
        if holidays:
            return any(each["start_time"] <= clock < each["end_time"] for each in holidays)
        day = DAYS[local.weekday()]
        return any(
            each["day_of_week"] == day and each["open_time"] <= clock < each["close_time"]
            for each in hours["weekly_operating_hours"]
        )

    def read(self, now: float) -> dict[str, Any]:
        """The reply to GET."""
        calling = _FRESH | self.calling
        running = [
            each
            for each in self.restrictions
            if each.type in _LISTED and (each.expiration is None or each.expiration > now)
        ]
        if running:
            listed = [{key: value for key, value in vars(each).items() if value} for each in running]
            calling["restrictions"] = {"restrictions_list": listed}
        return {"calling": calling}

    def write(self, body: dict[str, Any], now: float) -> None:
        """A POST; all of it or nothing. Raises GraphError."""
        wanted = body.get("calling")
        if not isinstance(wanted, dict) or not wanted:
            raise GraphError(100, "calling is missing or is not an object")
        for name, value in wanted.items():
            if name in _VALUES:
                if value not in _VALUES[name]:
                    raise GraphError(100, f"calling.{name} has to be one of {', '.join(_VALUES[name])}")
            elif name in _OBJECTS:
                if not isinstance(value, dict):
                    raise GraphError(100, f"calling.{name} is not an object")
            else:
                raise GraphError(100, f"calling.{name[:40]} is unknown")
        if wanted.get("status") == "ENABLED" and not self.calling_enabled:
            if self.config.messaging_limit < 2000 and not self.config.test_number:
                raise GraphError(138015, "the messaging limit of the number is below 2000")
            if not self.config.calls_subscribed:
                raise GraphError(138018, "subscribe an app to the webhook field calls, or configure SIP")
        if "call_hours" in wanted:
            check_hours(wanted["call_hours"], now)
        self.calling |= wanted


def check_hours(hours: dict[str, Any], now: float) -> None:
    """Raises GraphError."""
    if hours.get("status") not in _SWITCH:
        raise GraphError(100, "call_hours.status has to be ENABLED or DISABLED")
    if hours["status"] == "DISABLED" and set(hours) == {"status"}:
        return
    try:
        zone = zoneinfo.ZoneInfo(str(hours.get("timezone_id") or ""))
    except (KeyError, ValueError, OSError):
        raise GraphError(100, f"call_hours.timezone_id {str(hours.get('timezone_id'))[:60]!r} is unknown") from None
    weekly = hours.get("weekly_operating_hours")
    if not isinstance(weekly, list) or not weekly:
        raise GraphError(100, "call_hours.weekly_operating_hours is empty")
    by_day: dict[str, list[tuple[str, str]]] = {}
    for entry in weekly:
        if not isinstance(entry, dict) or entry.get("day_of_week") not in DAYS:
            raise GraphError(100, "call_hours.weekly_operating_hours: day_of_week is no weekday")
        day = str(entry["day_of_week"])
        by_day.setdefault(day, []).append(_interval(entry.get("open_time"), entry.get("close_time"), day))
    for day, intervals in by_day.items():
        if len(intervals) > MAX_INTERVALS:
            raise GraphError(100, f"call_hours: more than {MAX_INTERVALS} intervals on {day}")
        _no_overlap(intervals, day)
    _check_holidays(hours.get("holiday_schedule") or [], datetime.fromtimestamp(now, zone).date())


def _check_holidays(holidays: Any, today: date) -> None:
    if not isinstance(holidays, list):
        raise GraphError(100, "call_hours.holiday_schedule is not a list")
    if len(holidays) > MAX_HOLIDAYS:
        raise GraphError(100, f"call_hours.holiday_schedule: {len(holidays)} entries, {MAX_HOLIDAYS} are allowed")
    by_day: dict[str, list[tuple[str, str]]] = {}
    for entry in holidays:
        text = entry.get("date") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise GraphError(100, "call_hours.holiday_schedule: date has to be YYYY-MM-DD")
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise GraphError(100, f"call_hours.holiday_schedule: {text} is no date") from None
        if day < today:
            raise GraphError(100, f"call_hours.holiday_schedule: {text} is in the past")
        by_day.setdefault(text, []).append(_interval(entry.get("start_time"), entry.get("end_time"), text))
    for text, intervals in by_day.items():
        _no_overlap(intervals, text)


def _interval(opens: Any, closes: Any, what: str) -> tuple[str, str]:
    for value in (opens, closes):
        if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3])[0-5]\d", value):
            raise GraphError(100, f"call_hours: {str(value)[:20]!r} on {what} is not HHMM")
    if not opens < closes:
        raise GraphError(100, f"call_hours: on {what} {opens} is not before {closes}")
    return opens, closes


def _no_overlap(intervals: list[tuple[str, str]], what: str) -> None:
    ordered = sorted(intervals)
    for (_, closes), (opens, _) in itertools.pairwise(ordered):
        if opens < closes:
            raise GraphError(100, f"call_hours: intervals overlap on {what}")
