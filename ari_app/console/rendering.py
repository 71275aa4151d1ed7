"""Templates: everything is escaped, nothing undefined is printed, and each page knows its reader."""

import datetime
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import jinja2
import phonenumbers

from ari_app.console.static import Assets

_STYLES = {"time": "%H:%M:%S", "day": "%Y-%m-%d", "both": "%Y-%m-%d %H:%M:%S"}

FOLDER = Path(__file__).with_name("templates")


class Renderer:
    def __init__(self, assets: Assets) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "duration": duration,
            "telephone": telephone,
            "moment": moment,
            "in_zone": in_zone,
            "iso": iso,
            "shown": shown,
            "initials": initials,
            "urlencode_name": lambda name: quote(str(name), safe=""),
            "words": lambda name: str(name).replace("_", " "),
        }
        self._environment.globals["asset"] = assets.address
        for name in ("ui", "fields"):
            self._environment.globals[name] = self._environment.get_template(f"parts/{name}.html").module

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(context)


def duration(seconds: float | None) -> str:
    """HH:MM:SS; nothing for None."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


@lru_cache(maxsize=4096)
def telephone(digits: str) -> str:
    """E.164 digits, with + or without, as people write them, +49 30 901820; what is no number, as it is."""
    digits = digits.removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and len(digits) >= 7):
        return digits
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return digits
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def iso(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).isoformat(timespec="milliseconds")


def moment(at: datetime.datetime | None) -> str:
    """In UTC; the browser's script makes it local."""
    return "" if at is None else f"{at.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def in_zone(at: datetime.datetime, zone: str, style: str = "both") -> str:
    """In a time zone; `style`: time, day or both."""
    return f"{at.astimezone(ZoneInfo(zone)):{_STYLES[style]}}"


def shown(value: Any) -> str:
    """A setting's value in words."""
    match value:
        case None:
            return "none"
        case bool():
            return "on" if value else "off"
        case list() | tuple():
            return ", ".join(map(shown, value)) or "none"
        case dict():
            return ", ".join(f"{name}: {shown(item)}" for name, item in value.items()) or "none"
    return str(value)


def initials(name: str) -> str:
    words = [word for word in name.split() if word[0].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "?"
