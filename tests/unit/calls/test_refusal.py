"""Whom nobody may call, which numbers may not call, and what is no number at all."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.calls.called import Sort, country_of, read_called
from ari_app.calls.permission import May, Permission, Status
from ari_app.calls.refusal import SPOKEN, CallingRules, Restriction, Rule, refuse_business, refuse_customer

RULES = CallingRules.shipped()
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("dialled", "home"),
    [
        ("+49 151 12345678", "GB"),
        ("004915112345678", "US"),
        ("0151 12345678", "DE"),
        ("4915112345678", "US"),
        ("4915112345678", "DE"),
        ("4915112345678", None),
        ("(0151) 123-456/78", "DE"),
    ],
)
def test_a_number_is_read_as_people_dial_it(dialled: str, home: str | None) -> None:
    called = read_called(dialled, home)
    assert (called.user_key, called.country, called.sort) == ("4915112345678", "DE", Sort.USER)
    assert refuse_customer(called, RULES) is None


def test_a_user_who_hides_the_number_is_called_by_metas_id() -> None:
    called = read_called("US.13491208655302741918", "DE")
    assert (called.user_key, called.country, called.digits) == ("US.13491208655302741918", "US", None)
    assert refuse_customer(called, RULES) is None
    hidden = refuse_customer(read_called("SY.1", "DE"), RULES)
    assert hidden is not None
    assert hidden.rule is Rule.CUSTOMER_COUNTRY


@pytest.mark.parametrize(
    ("dialled", "home", "rule"),
    [
        ("+5352345678", "DE", Rule.CUSTOMER_COUNTRY),
        ("+989121234567", "DE", Rule.CUSTOMER_COUNTRY),
        ("+850192123456", "DE", Rule.CUSTOMER_COUNTRY),
        ("00963944567890", "DE", Rule.CUSTOMER_COUNTRY),
        ("+73652123456", "DE", Rule.CUSTOMER_REGION),
        ("+79787012345", "DE", Rule.CUSTOMER_REGION),
        ("+78692123456", "DE", Rule.CUSTOMER_REGION),
        ("+380652123456", "DE", Rule.CUSTOMER_REGION),
        ("+380692123456", "DE", Rule.CUSTOMER_REGION),
        ("+79491234567", "DE", Rule.CUSTOMER_REGION),
        ("+380621234567", "DE", Rule.CUSTOMER_REGION),
        ("+79591234567", "DE", Rule.CUSTOMER_REGION),
        ("0641234567", "UA", Rule.CUSTOMER_REGION),
        ("112", "DE", Rule.EMERGENCY_NUMBER),
        ("911", "US", Rule.EMERGENCY_NUMBER),
        ("+49112", "US", Rule.EMERGENCY_NUMBER),
        ("116117", "DE", Rule.SHORT_NUMBER),
        ("+4911833", "DE", Rule.SHORT_NUMBER),
        ("12", "DE", Rule.INVALID_NUMBER),
        ("+4912", "DE", Rule.INVALID_NUMBER),
        ("+999123456789", "DE", Rule.INVALID_NUMBER),
        ("*61", "DE", Rule.INVALID_NUMBER),
        ("", "DE", Rule.INVALID_NUMBER),
        ("+49151123456789012345", "DE", Rule.INVALID_NUMBER),
    ],
)
def test_who_may_not_be_called(dialled: str, home: str, rule: Rule) -> None:
    refusal = refuse_customer(read_called(dialled, home), RULES)
    assert refusal is not None
    assert refusal.rule is rule, refusal


@pytest.mark.parametrize("dialled", ["+79161234567", "+380501234567", "+77012345678"])
def test_the_neighbours_of_what_is_blocked_may_be_called(dialled: str) -> None:
    assert refuse_customer(read_called(dialled, "DE"), RULES) is None


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("15550783881", "US"),
        ("14165550100", "CA"),
        ("905301234567", "TR"),
        ("201001234567", "EG"),
        ("84912345678", "VN"),
        ("2348031234567", "NG"),
    ],
)
def test_which_business_numbers_may_not_call(number: str, country: str) -> None:
    refusal = refuse_business(number, RULES, calling_enabled=True)
    assert refusal is not None
    assert refusal.rule is Rule.BUSINESS_COUNTRY
    assert country in refusal.reason


def test_an_administrators_list_replaces_ours() -> None:
    without_turkey = CallingRules(RULES.customer_countries, RULES.customer_prefixes, frozenset({"US"}))
    assert refuse_business("905301234567", without_turkey, calling_enabled=True) is None
    lenient = CallingRules(frozenset(), {}, frozenset())
    assert refuse_customer(read_called("+5352345678", "DE"), lenient) is None
    assert refuse_customer(read_called("+79787012345", "DE"), lenient) is None


def test_a_number_with_calling_switched_off_calls_nobody() -> None:
    refusal = refuse_business("4930123456", RULES, calling_enabled=False)
    assert refusal is not None
    assert refusal.rule is Rule.CALLING_DISABLED
    assert refuse_business("4930123456", RULES, calling_enabled=True) is None


@pytest.mark.parametrize(
    ("type_", "stops"),
    [
        ("RESTRICTED_BUSINESS_INITIATED_CALLING", True),
        ("RESTRICTED_BIZ_INITIATED_AND_USER_INITIATED_CALLING", True),
        ("RESTRICTED_USER_INITIATED_CALLING", False),
        ("RESTRICTED_USER_INITIATED_CALLING_CALL_BUTTON_HIDDEN", False),
    ],
)
def test_a_restriction_of_metas_stops_calls_of_its_direction(type_: str, *, stops: bool) -> None:
    refusal = refuse_business("4930123456", RULES, calling_enabled=True, restrictions=[Restriction(type_)])
    assert (refusal is not None) == stops
    if refusal is not None:
        assert (refusal.rule, refusal.reason) == (
            Rule.RESTRICTED,
            f"WhatsApp lets number 4930123456 call nobody: {type_}",
        )


def test_of_several_restrictions_the_longest_is_named() -> None:
    kind = "RESTRICTED_BUSINESS_INITIATED_CALLING"
    ends = [datetime(2026, 12, day, 9, 30, tzinfo=UTC) for day in (3, 8, 5)]
    known = [Restriction(kind, "too many complaints", end) for end in ends]
    refusal = refuse_business("4930123456", RULES, calling_enabled=True, restrictions=known)
    assert refusal is not None
    assert (
        refusal.reason == "WhatsApp lets number 4930123456 call nobody until 2026-12-08 09:30 UTC: too many complaints"
    )


def test_every_rule_has_a_code_and_words_to_be_heard() -> None:
    for rule in Rule:
        assert re.fullmatch("[a-z_]{1,40}", rule)
        assert SPOKEN[rule]


@given(st.text(max_size=80), st.sampled_from(["DE", "US", "KZ", None]))
def test_whatever_is_dialled_is_a_user_or_refused_in_words(dialled: str, home: str | None) -> None:
    called = read_called(dialled, home)
    refusal = refuse_customer(called, RULES)
    if refusal is None:
        assert called.digits is None or 4 <= len(called.digits) <= 17
        assert called.user_key.isascii()
    else:
        assert refusal.reason.isprintable()
        assert len(refusal.reason) < 200


@given(st.from_regex(r"(53|98|850|963)[0-9]{4,12}", fullmatch=True))
def test_no_number_of_a_blocked_country_gets_through(digits: str) -> None:
    assert country_of(digits) in RULES.customer_countries | {None}
    assert refuse_customer(read_called(f"+{digits}", "DE"), RULES) is not None


@given(st.sampled_from(sorted(RULES.customer_prefixes)), st.from_regex(r"[0-9]{3,9}", fullmatch=True))
def test_no_number_of_a_blocked_region_gets_through(prefix: str, rest: str) -> None:
    for dialled in (f"+{prefix}{rest}", f"00{prefix}{rest}", f"{prefix}{rest}"):
        called = read_called(dialled, None)
        assert refuse_customer(called, RULES) is not None, called


permissions = st.builds(
    Permission,
    status=st.sampled_from(Status),
    expires_at=st.none() | st.just(NOW + timedelta(days=6, hours=4, minutes=30)),
    can_call=st.none() | st.booleans(),
    call_limit_until=st.none() | st.just(NOW + timedelta(hours=1)),
    checked_at=st.none() | st.just(NOW),
)


@given(permissions, st.timedeltas(timedelta(days=-1), timedelta(days=30)))
def test_only_who_allowed_it_is_called(permission: Permission, later: timedelta) -> None:
    may = permission.may_call(NOW + later)
    if may is May.YES:
        assert permission.holds(NOW + later)
        assert permission.call_limit_until is None or later >= timedelta(hours=1)
        assert permission.remaining(NOW + later)
    elif may is May.NO:
        assert permission.remaining(NOW + later) == ""


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (timedelta(days=6, hours=4, minutes=59), "6d 4h"),
        (timedelta(hours=23, minutes=59, seconds=59), "23h 59m"),
        (timedelta(minutes=59), "59m"),
        (timedelta(seconds=30), "0m"),
        (timedelta(), ""),
        (timedelta(days=-1), ""),
    ],
)
def test_the_remaining_time_is_shown_briefly(left: timedelta, shown: str) -> None:
    assert Permission(Status.TEMPORARY, NOW + left).remaining(NOW) == shown


def test_a_permanent_permission_says_so() -> None:
    assert Permission(Status.PERMANENT).remaining(NOW) == "permanent"


def test_a_yes_is_believed_longer_than_a_no() -> None:
    asked = NOW - timedelta(minutes=1)
    assert Permission(Status.PERMANENT, checked_at=asked).is_fresh(NOW)
    assert not Permission(Status.NONE, checked_at=asked).is_fresh(NOW)
    assert not Permission(Status.PERMANENT).is_fresh(NOW)
    expired = Permission(Status.TEMPORARY, NOW - timedelta(seconds=1), checked_at=asked)
    assert not expired.is_fresh(NOW)
    assert expired.may_call(NOW) is May.NO


def test_a_national_number_that_begins_with_the_countrys_code_is_still_one() -> None:
    """Italian mobile numbers may begin with 39, Italy's code."""
    assert read_called("3931234567", "IT").user_key == "393931234567"
