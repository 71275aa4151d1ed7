"""Opening hours, on ordinary days and on those on which the clock is set."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.calls.hours import DAY, HORIZON_DAYS, Interval, Schedule, ScheduleError

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # set its clock at one minute past midnight
    "Africa/Cairo",  # sets it forward at midnight: some days have no 00:00
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Apia",  # left out a whole day
    "Asia/Kolkata",
    "UTC",
)


def hours(text: str) -> Interval:
    """`09:00-17:30`."""
    opens, closes = (timedelta(hours=int(t[:2]), minutes=int(t[3:])) for t in text.split("-"))
    return Interval(opens, closes)


def every_day(*intervals: str, zone: ZoneInfo = BERLIN, **holidays: str | None) -> Schedule:
    days = {date.fromisoformat(day[1:].replace("_", "-")): text and hours(text) for day, text in holidays.items()}
    week = {weekday: [hours(text) for text in intervals] for weekday in range(1, 8)}
    return Schedule("office", zone, week, {day: other or None for day, other in days.items()})


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-11-23 08:59:59", False),
        ("2026-11-23 09:00", True),
        ("2026-11-23 11:59:59", True),
        ("2026-11-23 12:00", False),
        ("2026-11-23 13:00", True),
        ("2026-11-23 17:30", False),
    ],
)
def test_opening_belongs_to_the_hours_and_closing_does_not(at: str, is_open: bool) -> None:
    assert every_day("13:00-17:30", "09:00-12:00").is_open(berlin(at)) is is_open


def test_the_callers_zone_does_not_matter() -> None:
    office = every_day("09:00-17:00")
    assert office.is_open(datetime(2026, 11, 23, 8, 0, tzinfo=UTC))
    assert not office.is_open(datetime(2026, 7, 1, 15, 0, tzinfo=UTC))


def test_a_day_that_is_not_mentioned_is_closed_and_the_next_opening_is_told() -> None:
    office = Schedule("office", BERLIN, {weekday: [hours("09:00-17:00")] for weekday in range(1, 6)})
    saturday = berlin("2026-11-21 10:00")
    assert not office.is_open(saturday)
    assert office.next_opening(saturday) == berlin("2026-11-23 09:00")
    assert office.next_opening(berlin("2026-11-23 10:00")) == berlin("2026-11-23 10:00")


def test_holidays_replace_the_hours_of_their_weekday() -> None:
    office = every_day("09:00-17:00", _2026_12_25=None, _2026_12_24="10:00-12:00")
    assert not office.is_open(berlin("2026-12-24 09:30"))
    assert office.is_open(berlin("2026-12-24 11:00"))
    assert not office.is_open(berlin("2026-12-24 13:00"))
    assert office.next_opening(berlin("2026-12-24 13:00")) == berlin("2026-12-26 09:00")


def test_24_hours_a_day_are_open_without_a_break() -> None:
    always = every_day("00:00-24:00")
    at = berlin("2026-03-28 00:00").astimezone(UTC)
    assert all(always.is_open(at + timedelta(minutes=m)) for m in range(0, 3 * 24 * 60, 7))
    at = berlin("2026-10-24 22:00").astimezone(UTC)
    assert all(always.is_open(at + timedelta(minutes=m)) for m in range(0, 8 * 60, 7))


def test_what_never_opens_has_no_next_opening() -> None:
    assert Schedule("never", BERLIN, {}).next_opening(berlin("2026-11-23 10:00")) is None


def test_an_opening_in_the_skipped_hour_is_when_the_clock_is_set() -> None:
    office = every_day("02:30-06:00")
    assert office.next_opening(berlin("2026-03-29 00:00")) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert not office.is_open(datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC))
    assert office.is_open(datetime(2026, 3, 29, 1, 0, tzinfo=UTC))


def test_hours_within_the_skipped_hour_do_not_open() -> None:
    office = every_day("02:10-02:50")
    assert office.next_opening(berlin("2026-03-29 00:00")) == berlin("2026-03-30 02:10")


def test_an_hour_that_comes_twice_opens_at_its_first_coming_and_once_only() -> None:
    office = every_day("02:10-02:50")
    assert office.is_open(berlin("2026-10-25 02:30", fold=0))
    assert not office.is_open(berlin("2026-10-25 02:30", fold=1))
    longer = every_day("02:30-06:00")
    assert longer.is_open(berlin("2026-10-25 02:15", fold=1))


def test_impossible_hours_are_refused_in_words() -> None:
    with pytest.raises(ScheduleError, match="does not end after it begins"):
        hours("17:00-09:00")
    with pytest.raises(ScheduleError, match="within one day"):
        Interval(timedelta(), DAY + timedelta(seconds=1))
    with pytest.raises(ScheduleError, match="more than 2 intervals"):
        every_day("01:00-02:00", "03:00-04:00", "05:00-06:00")
    with pytest.raises(ScheduleError, match="no weekday"):
        Schedule("office", BERLIN, {0: []})


minutes = st.integers(0, 24 * 60)
intervals = (
    st.tuples(minutes, minutes)
    .filter(lambda pair: pair[0] != pair[1])
    .map(lambda pair: Interval(timedelta(minutes=min(pair)), timedelta(minutes=max(pair))))
)
#: Clocks are set in these weeks, somewhere.
days = st.one_of(
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    st.dates(date(2026, 3, 6), date(2026, 4, 30)),
    st.dates(date(2026, 9, 25), date(2026, 11, 3)),
    st.dates(date(2011, 12, 28), date(2012, 1, 1)),
    st.dates(date(2006, 4, 1), date(2006, 4, 3)),
    st.dates(date(2006, 10, 28), date(2006, 10, 30)),
)
moments = st.builds(
    lambda day, second: datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second),
    days,
    st.integers(0, 86_399),
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    week = draw(st.dictionaries(st.integers(1, 7), st.lists(intervals, max_size=2), max_size=7))
    holidays = draw(st.dictionaries(days, st.none() | intervals, max_size=4))
    return Schedule("any", ZoneInfo(draw(st.sampled_from(ZONES))), week, holidays)


@given(schedules(), moments)
def test_the_next_opening_is_open_and_nothing_before_it_is(schedule: Schedule, at: datetime) -> None:
    opening = schedule.next_opening(at)
    if opening is None:
        assert not any(schedule.is_open(at + timedelta(hours=h)) for h in range(0, 24 * (HORIZON_DAYS - 1), 7))
        return
    # Within one zone Python reckons by the clock on the wall, which jumps when it is set.
    opening = opening.astimezone(UTC)
    assert schedule.is_open(opening)
    assert opening >= at
    assert schedule.is_open(at) == (opening == at)
    wait = opening - at
    if wait:
        probes = {at + wait * part / 23 for part in range(23)} | {opening - timedelta(seconds=1)}
        assert not any(schedule.is_open(probe) for probe in probes if at <= probe < opening)


@given(schedules(), moments)
def test_on_ordinary_days_the_clock_on_the_wall_decides(schedule: Schedule, at: datetime) -> None:
    local = at.astimezone(schedule.zone)
    around = {(at + timedelta(hours=h)).astimezone(schedule.zone).utcoffset() for h in range(-50, 51)}
    if len(around) > 1:
        return
    day = local.date()
    after_midnight = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)
    if day in schedule.holidays:
        other = schedule.holidays[day]
        expected = other is not None and other.opens <= after_midnight < other.closes
    else:
        expected = any(i.opens <= after_midnight < i.closes for i in schedule.hours.get(day.isoweekday(), ()))
    assert schedule.is_open(at) is expected


@given(schedules(), moments, st.integers(0, 10**6))
def test_waiting_for_the_opening_does_not_move_it(schedule: Schedule, at: datetime, later: int) -> None:
    opening = schedule.next_opening(at)
    if opening is not None:
        assert schedule.next_opening(min(opening, at + timedelta(seconds=later))) == opening
