"""Prices: started pulses, the right rate for a number, and money that reaches as far as it is said to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.calls.rates import UNIT, Rate, fee_seconds, price, rate_for, reach, reserve, shown

JUNE = datetime(2026, 6, 1, tzinfo=UTC)

prices = st.decimals(min_value=0, max_value=1000, places=6)
rates = st.builds(
    Rate,
    destination=st.just("DE"),
    price_per_minute=prices,
    currency=st.just("USD"),
    valid_from=st.just(JUNE),
    first_pulse_seconds=st.integers(1, 600),
    next_pulse_seconds=st.integers(1, 600),
)
spans = st.timedeltas(min_value=timedelta(), max_value=timedelta(hours=24))


def rate(destination: str = "DE", per_minute: str = "0.0103", since: datetime = JUNE, first: int = 6) -> Rate:
    return Rate(destination, Decimal(per_minute), "USD", since, first)


@pytest.mark.parametrize(
    ("seconds", "fee"), [(0, 0), (0.001, 6), (6, 6), (6.001, 12), (59.9, 60), (60, 60), (3601, 3606)]
)
def test_started_pulses_count_in_full(seconds: float, fee: int) -> None:
    assert fee_seconds(rate(), timedelta(seconds=seconds)) == fee


def test_a_long_first_pulse_is_paid_by_the_shortest_call() -> None:
    assert [fee_seconds(rate(first=60), timedelta(seconds=s)) for s in (1, 60, 61)] == [60, 60, 66]


def test_the_price_is_exact() -> None:
    assert price(rate(), 6) == Decimal("0.001030")
    assert price(rate(per_minute="0.01"), 6 * 7) == Decimal("0.007000")
    assert price(rate(per_minute="0.000001"), 30) == Decimal("0.000001"), "half a unit is rounded up"


@given(rates, spans)
def test_fee_seconds_cover_the_call_and_no_pulse_more(rate: Rate, answered: timedelta) -> None:
    fee = timedelta(seconds=fee_seconds(rate, answered))
    assert fee >= answered
    longest = max(rate.first_pulse_seconds, rate.next_pulse_seconds)
    assert fee - answered < timedelta(seconds=longest) or answered == timedelta() == fee


@given(rates, spans, spans)
def test_longer_calls_cost_no_less(rate: Rate, one: timedelta, other: timedelta) -> None:
    shorter, longer = sorted((one, other))
    assert price(rate, fee_seconds(rate, shorter)) <= price(rate, fee_seconds(rate, longer))


@given(rates, spans)
def test_what_is_reserved_for_a_time_pays_for_it(rate: Rate, talking: timedelta) -> None:
    held = reserve(rate, talking)
    assert price(rate, fee_seconds(rate, talking)) <= held
    reached = reach(rate, held)
    assert reached is None or reached >= talking


@given(rates, st.decimals(min_value=0, max_value=10_000, places=6))
def test_talking_as_far_as_money_reaches_never_costs_more(rate: Rate, money: Decimal) -> None:
    reached = reach(rate, money)
    if reached is None:
        assert rate.price_per_minute == 0
    else:
        assert price(rate, fee_seconds(rate, reached)) <= money
        further = fee_seconds(rate, reached + timedelta(microseconds=1))
        assert rate.price_per_minute * further / 60 > money - UNIT


def test_the_most_exact_rate_counts() -> None:
    quoted = [rate("*"), rate("DE"), rate("49"), rate("49151"), rate("FR")]
    assert rate_for(quoted, "4915112345678", "DE", JUNE) is quoted[3]
    assert rate_for(quoted, "4930123456", "DE", JUNE) is quoted[2]
    assert rate_for(quoted, "33612345678", "FR", JUNE) is quoted[4]
    assert rate_for(quoted, "819012345678", "JP", JUNE) is quoted[0]
    assert rate_for(quoted[1:], "819012345678", "JP", JUNE) is None


def test_a_rate_counts_from_its_day_until_the_next_one() -> None:
    old, new = rate(), rate(since=JUNE + timedelta(days=30))
    assert rate_for([new, old], "4915112345678", "DE", JUNE + timedelta(days=29)) is old
    assert rate_for([new, old], "4915112345678", "DE", JUNE + timedelta(days=30)) is new
    assert rate_for([new, old], "4915112345678", "DE", JUNE - timedelta(days=1)) is None


def test_money_is_shown_as_people_write_it() -> None:
    assert shown(Decimal("12.5"), "EUR") == "12.50 EUR"
    assert shown(Decimal("0.001030"), "USD") == "0.00103 USD"
    assert shown(Decimal("-3"), "USD") == "-3.00 USD"
