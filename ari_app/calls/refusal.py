"""Which outbound calls are refused before Meta is asked, with a code for programs and words for people.

Rules are data (`calling_rules.toml`, which names its sources); the functions here decide by them and by the facts they
are given, in the order in which a person would want to know.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from ari_app.calls.called import Called, Sort, country_of


class Rule(StrEnum):
    """Codes, as in pbx.calls.refusal."""

    EMERGENCY_NUMBER = "emergency_number"
    SHORT_NUMBER = "short_number"
    CUSTOMER_COUNTRY = "customer_country"
    CUSTOMER_REGION = "customer_region"
    INVALID_NUMBER = "invalid_number"
    NO_AGENT = "no_agent"
    PSTN_GUARD = "pstn_guard"
    NO_BUSINESS_NUMBER = "no_business_number"
    BUSINESS_COUNTRY = "business_country"
    CALLING_DISABLED = "calling_disabled"
    RESTRICTED = "restricted"
    NO_RATE = "no_rate"
    BALANCE = "balance"
    BALANCE_UNKNOWN = "balance_unknown"
    NO_PERMISSION = "no_permission"
    INVITED = "invited"
    CALL_LIMIT = "call_limit"
    REQUEST_LIMIT = "request_limit"


#: What the agent hears, in Asterisk's core sounds. Those have no word for permissions or money, so a prompt of one's
#: own says it better: `[app.calling_out.prompts]`.
SPOKEN: dict[Rule, tuple[str, ...]] = {
    Rule.EMERGENCY_NUMBER: ("sound:im-sorry", "sound:cannot-complete-as-dialed"),
    Rule.SHORT_NUMBER: ("sound:cannot-complete-as-dialed",),
    Rule.INVALID_NUMBER: ("sound:pbx-invalid", "sound:check-number-dial-again"),
    Rule.CUSTOMER_COUNTRY: ("sound:im-sorry", "sound:ss-noservice"),
    Rule.CUSTOMER_REGION: ("sound:im-sorry", "sound:ss-noservice"),
    Rule.NO_AGENT: ("sound:im-sorry", "sound:feature-not-avail-line"),
    Rule.PSTN_GUARD: ("sound:im-sorry", "sound:feature-not-avail-line"),
    Rule.NO_BUSINESS_NUMBER: ("sound:im-sorry", "sound:feature-not-avail-line"),
    Rule.BUSINESS_COUNTRY: ("sound:im-sorry", "sound:feature-not-avail-line"),
    Rule.CALLING_DISABLED: ("sound:calling", "sound:is", "sound:disabled"),
    Rule.RESTRICTED: ("sound:im-sorry", "sound:calling", "sound:is", "sound:disabled"),
    Rule.NO_RATE: ("sound:im-sorry", "sound:all-circuits-busy-now"),
    Rule.BALANCE: ("sound:im-sorry", "sound:all-circuits-busy-now"),
    Rule.BALANCE_UNKNOWN: ("sound:im-sorry", "sound:please-try-call-later"),
    Rule.NO_PERMISSION: ("sound:im-sorry", "sound:vm-isunavail"),
    Rule.INVITED: ("sound:im-sorry", "sound:vm-isunavail", "sound:vm-msgforwarded"),
    Rule.CALL_LIMIT: ("sound:simul-call-limit-reached",),
    Rule.REQUEST_LIMIT: ("sound:im-sorry", "sound:vm-isunavail", "sound:please-try-call-later"),
}


@dataclass(frozen=True)
class Refusal:
    """Why a call does not go out."""

    rule: Rule
    reason: str
    "In words, for the record and the command line."


@dataclass(frozen=True)
class Restriction:
    """What Meta does not allow a business number just now, in Meta's words."""

    type: str
    reason: str | None = None
    until: datetime | None = None
    "None: until somebody at Meta takes it back."

    @property
    def stops_calling_out(self) -> bool:
        """By its type: Meta writes `RESTRICTED_BUSINESS_INITIATED_CALLING`, `RESTRICTED_BIZ_INITIATED_AND_USER_…`."""
        return "BUSINESS_INITIATED" in self.type or "BIZ_INITIATED" in self.type


@dataclass(frozen=True)
class CallingRules:
    """Who may not be called, and which numbers may not call."""

    customer_countries: frozenset[str]
    customer_prefixes: Mapping[str, str]
    "Digits, and the region that they are in."
    business_countries: frozenset[str]

    @classmethod
    def shipped(cls) -> "CallingRules":
        """The rules that come with the program."""
        found = tomllib.loads(Path(__file__).with_name("calling_rules.toml").read_text(encoding="utf-8"))
        return cls(
            frozenset(found["customer_countries"]), found["customer_prefixes"], frozenset(found["business_countries"])
        )


def refuse_customer(called: Called, rules: CallingRules) -> Refusal | None:
    """Whether this user may be called at all; None when so."""
    shown = called.shown
    match called.sort:
        case Sort.EMERGENCY:
            reason = f"{shown} is an emergency number, which WhatsApp does not carry: use a telephone"
            return Refusal(Rule.EMERGENCY_NUMBER, reason)
        case Sort.SHORT:
            return Refusal(Rule.SHORT_NUMBER, f"{shown} is a short number, and nobody's on WhatsApp")
    if called.country in rules.customer_countries:
        return Refusal(Rule.CUSTOMER_COUNTRY, f"customers in {called.country} may not be called ({shown})")
    if called.digits and (region := _region(called.digits, rules.customer_prefixes)):
        return Refusal(Rule.CUSTOMER_REGION, f"customers in {region} may not be called ({shown})")
    if called.sort is Sort.INVALID:
        return Refusal(Rule.INVALID_NUMBER, f"{shown or 'what was dialled'} is not a number that anybody can have")
    return None


def refuse_business(
    number: str, rules: CallingRules, *, calling_enabled: bool, restrictions: Iterable[Restriction] = ()
) -> Refusal | None:
    """Whether this business number may call; None when so."""
    country = country_of(number)
    if country in rules.business_countries:
        reason = f"WhatsApp lets no business number of {country} call users (+{number})"
        return Refusal(Rule.BUSINESS_COUNTRY, reason)
    if not calling_enabled:
        return Refusal(Rule.CALLING_DISABLED, f"voice calling is switched off for number {number}")
    if in_force := [each for each in restrictions if each.stops_calling_out]:
        worst = max(in_force, key=lambda each: each.until or datetime.max.replace(tzinfo=UTC))
        until = "" if worst.until is None else f" until {worst.until:%Y-%m-%d %H:%M} UTC"
        why = worst.reason or worst.type
        return Refusal(Rule.RESTRICTED, f"WhatsApp lets number {number} call nobody{until}: {why}")
    return None


def _region(digits: str, prefixes: Mapping[str, str]) -> str | None:
    """By the longest prefix."""
    found = [prefix for prefix in prefixes if digits.startswith(prefix)]
    return prefixes[max(found, key=len)] if found else None
