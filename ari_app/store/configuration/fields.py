"""Types of single settings, checked with messages for people. Ranges and patterns are those of the SQL schema."""

import datetime
import ipaddress
import itertools
import re
import unicodedata
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ari_app.calls import destination
from ari_app.store.configuration.faults import did_you_mean, quoted

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
INTERVALS_A_DAY = 2
#: As much as `ari_app.media.prompts` speaks.
LONGEST_SPEECH = 3000

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MEDIA = re.compile(r"(sound|prompt):[A-Za-z0-9_/&.-]{1,200}")
_CONTEXT_AND_EXTENSION = re.compile(r"[A-Za-z0-9_-]{1,79},[A-Za-z0-9_*#+-]{1,79}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?|24:00")
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?")


@dataclass(frozen=True, slots=True)
class Checked(BeforeValidator):
    """A check of what a file says, and the type of the same setting where settings have types (JSON)."""

    plain: Any = None


def text_of(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("has no value" if value is None else "must be a single value")


def between(low: int, high: int) -> Checked:
    def check(value: object) -> int:
        text = text_of(value)
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
            raise ValueError(f"{quoted(text)} is not a whole number")
        if not low <= (number := int(text)) <= high:
            raise ValueError(f"{number} is not between {low} and {high}")
        return number

    return Checked(check, plain=Annotated[int, Field(ge=low, le=high)])


def matching(pattern: str, meaning: str) -> Checked:
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        if not compiled.fullmatch(text := text_of(value)):
            raise ValueError(f"{quoted(text)} is not {meaning}")
        return text

    return Checked(check, plain=Annotated[str, Field(pattern=f"^(?:{pattern})$", description=meaning)])


def one_of(*known: str) -> Checked:
    def check(value: object) -> str:
        if (text := text_of(value)) not in known:
            raise ValueError(f"{quoted(text)} is none of {', '.join(known)}{did_you_mean(text, known)}")
        return text

    return Checked(check, plain=Literal[known])


def printed(low: int, high: int) -> Checked:
    """Text for people, that many characters of it, on one line."""

    def check(value: object) -> str:
        if not low <= len(text := text_of(value)) <= high:
            raise ValueError(f"has {len(text)} characters; it must have {low} to {high}")
        if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text):
            raise ValueError("has control characters in it")
        if text != text.strip():
            raise ValueError(f"{quoted(text)} begins or ends with a space")
        return text

    return Checked(check, plain=Annotated[str, Field(min_length=low, max_length=high)])


def _flag(value: object) -> bool:
    text = text_of(value)
    if (found := _FLAGS.get(text.lower())) is None:
        raise ValueError(f"{quoted(text)} is neither true nor false")
    return found


def _media(text: str) -> str:
    if not _MEDIA.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no sound: write sound:<file of Asterisk> or prompt:<name>")
    return text


def _destination(text: str) -> str:
    """As the domain pbx.destination has it: some kinds exist only inside a call."""
    kind, colon, target = text.partition(":")
    if text == "back":
        raise ValueError('"back" is for the options of menus only')
    if kind not in KINDS:
        kinds = f"it begins with none of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}"
        raise ValueError(f"{quoted(text)} is no destination: {kinds}")
    destination.Destination.parse(text)
    if colon and not target:
        raise ValueError(f"{quoted(text)} is incomplete: something must follow the colon")
    if kind == "dialplan" and not _CONTEXT_AND_EXTENSION.fullmatch(target):
        raise ValueError(f"{quoted(text)}: write dialplan:<context>,<extension>")
    if kind == "hangup" and target:
        _media(target)
    return text


def _destination_or_back(text: str) -> str:
    return text if text == "back" else _destination(text)


def _spoken(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; write what is to be spoken")
    if len(text) > LONGEST_SPEECH:
        raise ValueError(f"has {len(text)} characters; it may have {LONGEST_SPEECH}")
    if "\0" in text or any(unicodedata.category(c) == "Cs" for c in text):
        raise ValueError("has control characters in it")
    return text


def _host(value: object) -> str:
    text = text_of(value)
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text:
        try:
            ipaddress.IPv6Address(text)
        except ValueError:
            raise ValueError(f"{quoted(text)} is no IPv6 address; the port is a setting of its own") from None
        if "%" in text:
            raise ValueError(f"{quoted(text)}: an address with a zone (%) is of use on one machine only")
    elif re.fullmatch(r"[0-9.]+", text):
        try:
            ipaddress.IPv4Address(text)
        except ValueError:
            raise ValueError(f"{quoted(text)} is no IPv4 address") from None
    elif not _HOST_NAME.fullmatch(text):
        raise ValueError(f"{quoted(text)} is neither a host name nor an IP address")
    return text.lower()


def _time_zone(text: str) -> str:
    known = zoneinfo.available_timezones()
    if text not in known:
        raise ValueError(f"{quoted(text)} is no time zone, such as Europe/Berlin{did_you_mean(text, known)}")
    return text


def _day(text: str) -> str:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise ValueError(f"{quoted(text)} is no day; write 2026-12-25")


def _interval(text: str) -> tuple[str, str]:
    """Opening and closing time as PostgreSQL writes them."""
    ends = [end.strip() for end in text.split("-")]
    if len(ends) != 2 or not all(_TIME.fullmatch(end) for end in ends):
        raise ValueError(f"{quoted(text.strip())} is no interval; write 09:00-17:30, or closed")
    opens, closes = ((end if end.count(":") == 2 else f"{end}:00") for end in ends)
    if closes <= opens:
        raise ValueError(
            f"{quoted(text.strip())} ends before it begins; hours that pass midnight are two intervals: "
            f"{ends[0]}-24:00 on this day, 00:00-{ends[1]} on the next"
        )
    return opens, closes


def _hours(value: object) -> tuple[tuple[str, str], ...]:
    parts: Sequence[object] = value if isinstance(value, list) else text_of(value).split(",")
    if len(parts) == 1 and text_of(parts[0]).strip() == "closed":
        return ()
    found = sorted(_interval(text_of(part)) for part in parts)
    if len(found) > INTERVALS_A_DAY:
        raise ValueError(f"has {len(found)} intervals; there may be {INTERVALS_A_DAY} a day")
    for (_, closes), (opens, _) in itertools.pairwise(found):
        if opens < closes:
            raise ValueError(f"has intervals that overlap: one ends at {closes[:5]}, the next begins at {opens[:5]}")
    return tuple(found)


def _holiday(value: object) -> tuple[tuple[str, str], ...]:
    found = _hours(value)
    if len(found) > 1:
        raise ValueError("has two intervals; a holiday has one at most")
    return found


KINDS = ("group", "menu", "voicemail", "sip", "ai_agent", "dialplan", "hangup")

Text = Annotated[str, BeforeValidator(text_of)]
Name = Annotated[str, printed(1, 64)]
Flag = Annotated[bool, Checked(_flag, plain=bool)]
Media = Annotated[Text, AfterValidator(_media)]
Place = Annotated[str, printed(1, 300), AfterValidator(_destination)]
PlaceOrBack = Annotated[str, printed(1, 300), AfterValidator(_destination_or_back)]
SpokenText = Annotated[Text, AfterValidator(_spoken)]
Host = Annotated[str, Checked(_host, plain=Annotated[str, Field(min_length=1, max_length=255)])]
TimeZone = Annotated[Text, AfterValidator(_time_zone)]
Day = Annotated[Text, AfterValidator(_day)]
Hours = Annotated[tuple[tuple[str, str], ...], Checked(_hours, plain=Annotated[str, Field(max_length=100)])]
Holiday = Annotated[tuple[tuple[str, str], ...], Checked(_holiday, plain=Annotated[str, Field(max_length=100)])]
Weekday = Annotated[str, one_of(*WEEKDAYS)]
Incoming = Annotated[str, one_of("agent_group", "ivr", "ai_agent")]
