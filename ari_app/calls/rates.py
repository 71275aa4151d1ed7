"""What an outbound call costs: rates by destination, started pulses, and how far money reaches. No money is a float.

Meta bills by started pulses of 6 s of answered time (its page on the pricing of calls, March 2026).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

#: Smallest unit of money here, as PostgreSQL keeps it.
UNIT = Decimal("0.000001")

MINUTE = 60

#: A rate for all destinations that no other one names.
EVERYWHERE = "*"


@dataclass(frozen=True)
class Rate:
    """A price of calls from one business number."""

    destination: str
    "Digits that called numbers begin with, or an ISO 3166 country, or `*`."
    price_per_minute: Decimal
    currency: str
    valid_from: datetime
    first_pulse_seconds: int = 6
    next_pulse_seconds: int = 6


def rate_for(rates: Iterable[Rate], digits: str, country: str | None, at: datetime) -> Rate | None:
    """The rate for a call to this number at that time: the longest prefix before the country before everywhere, and
    of each the one that is valid since the shortest time. None when none is quoted.
    """
    found = [rate for rate in rates if rate.valid_from <= at and _reaches(rate.destination, digits, country)]
    return max(found, key=lambda rate: (_exactness(rate.destination), rate.valid_from), default=None)


def fee_seconds(rate: Rate, answered: timedelta) -> int:
    """Answered time in started pulses, s. A call that was not answered has none."""
    if answered <= timedelta():
        return 0
    beyond = answered - timedelta(seconds=rate.first_pulse_seconds)
    if beyond <= timedelta():
        return rate.first_pulse_seconds
    pulses = -(-beyond // timedelta(seconds=rate.next_pulse_seconds))
    return rate.first_pulse_seconds + pulses * rate.next_pulse_seconds


def price(rate: Rate, seconds: int) -> Decimal:
    """Of so many fee seconds, to the smallest unit, half of one rounded up."""
    return (rate.price_per_minute * seconds / MINUTE).quantize(UNIT, ROUND_HALF_UP)


def reserve(rate: Rate, talking: timedelta) -> Decimal:
    """Money that suffices for so much talking."""
    return (rate.price_per_minute * fee_seconds(rate, talking) / MINUTE).quantize(UNIT, ROUND_CEILING)


def reach(rate: Rate, money: Decimal) -> timedelta | None:
    """How long one may talk for this money, in whole pulses; None for ever, where talking costs nothing."""
    if rate.price_per_minute == 0:
        return None
    seconds = int((money * MINUTE / rate.price_per_minute).to_integral_value(ROUND_FLOOR))
    if seconds < rate.first_pulse_seconds:
        return timedelta()
    pulses = (seconds - rate.first_pulse_seconds) // rate.next_pulse_seconds
    return timedelta(seconds=rate.first_pulse_seconds + pulses * rate.next_pulse_seconds)


def shown(money: Decimal, currency: str) -> str:
    """For people: at least two decimals, and no zeros after those."""
    text = f"{money:.6f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')} {currency}"


def _reaches(destination: str, digits: str, country: str | None) -> bool:
    if destination == EVERYWHERE:
        return True
    return digits.startswith(destination) if destination.isdigit() else destination == country


def _exactness(destination: str) -> int:
    """More for what says more of the number."""
    if destination == EVERYWHERE:
        return 0
    return 1 + len(destination) if destination.isdigit() else 1
