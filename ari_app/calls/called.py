"""Whom an agent wants to call: what was dialled, read as a WhatsApp user (phonenumbers, ITU-T E.164)."""

import re
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers
from phonenumbers import PhoneNumber, shortnumberinfo

#: What people write between digits.
_BETWEEN = re.compile(r"[ ()./\u00a0-]")
_DIALLED = re.compile(r"\+?[0-9]{1,32}")

#: Meta's id of a user who hides the number: an ISO 3166 country, a dot, and what only Meta understands.
_USER_ID = re.compile(r"([A-Z]{2})\.[A-Za-z0-9]{1,125}")


class Sort(StrEnum):
    """What a number is good for."""

    USER = "user"
    EMERGENCY = "emergency"
    SHORT = "short"
    INVALID = "invalid"


@dataclass(frozen=True)
class Called:
    """A WhatsApp user as dialled."""

    user_key: str
    "E.164 digits without +, or Meta's id; what was dialled where it is neither."
    country: str | None
    "ISO 3166; of an invalid number that of its country code."
    sort: Sort = Sort.USER

    @property
    def digits(self) -> str | None:
        """None for users who hide their number."""
        return self.user_key if self.user_key.isdigit() else None

    @property
    def shown(self) -> str:
        """For people."""
        return f"+{self.user_key}" if self.sort is Sort.USER and self.digits else self.user_key


def country_of(digits: str) -> str | None:
    """ISO 3166 of an E.164 number without +; numbers that nobody has yet belong to the country code's first country."""
    try:
        number = phonenumbers.parse(f"+{digits}", None)
    except phonenumbers.NumberParseException:
        return None
    return _country(number)


def read_called(dialled: str, home: str | None) -> Called:
    """Read what was dialled: `+` or `00` and an international number, a number as people dial it in `home` (ISO 3166,
    the business number's country), an international one without anything before it, or Meta's id of a user.
    """
    if match := _USER_ID.fullmatch(dialled):
        return Called(dialled, match[1])
    text = _BETWEEN.sub("", dialled[:64])
    if not _DIALLED.fullmatch(text):
        return Called(_printable(dialled), None, Sort.INVALID)
    if text.startswith("00") and len(text) > 4:
        text = "+" + text[2:]
    if text.startswith("+"):
        return _read(text, None)
    if home is not None and shortnumberinfo.is_emergency_number(text, home):
        return Called(text, home, Sort.EMERGENCY)
    national, international = _read(text, home), _read("+" + text, None)
    # "4915112345678" is a valid national number of Germany too, since it has areas that begin with 49; nobody dials so.
    if international.sort is Sort.USER and (national.sort is not Sort.USER or international.country == home):
        return international
    return national


def _read(text: str, home: str | None) -> Called:
    try:
        number = phonenumbers.parse(text, home)
    except phonenumbers.NumberParseException:
        return Called(text.removeprefix("+"), home, Sort.INVALID)
    country, digits = _country(number), f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    if phonenumbers.is_valid_number(number):
        return Called(digits, country)
    own = phonenumbers.national_significant_number(number)
    if country is not None and shortnumberinfo.is_emergency_number(own, country):
        return Called(own, country, Sort.EMERGENCY)
    if shortnumberinfo.is_possible_short_number(number):
        return Called(own, country, Sort.SHORT)
    return Called(digits, country, Sort.INVALID)


def _country(number: PhoneNumber) -> str | None:
    code = number.country_code or 0
    region = phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(code)
    return None if region in ("001", "ZZ") else region


def _printable(text: str) -> str:
    return "".join(c for c in text[:32] if c.isascii() and c.isprintable())
