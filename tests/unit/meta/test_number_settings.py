"""What is done about the difference between wish and observation, by properties."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.meta.number_settings import (
    DAYS,
    FIELDS,
    HOLIDAYS,
    Plan,
    faults,
    normal,
    plan,
    readable,
    restrictions_of,
)
from whatsapp_bridge.simulator.config import NumberConfig
from whatsapp_bridge.simulator.errors import GraphError
from whatsapp_bridge.simulator.settings import NumberSettings

TODAY = date(2026, 11, 24)
NOON = 1_795_521_600.0  # that day, UTC

_TIMES = st.integers(0, 1438).map(lambda minute: f"{minute // 60:02}{minute % 60:02}")
_HOLIDAYS = st.lists(st.dates(date(2026, 11, 1), date(2027, 2, 1)), unique=True, max_size=30)


@st.composite
def hours(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"status": "DISABLED"}
    week = [
        {"day_of_week": day, "open_time": opens, "close_time": closes}
        for day in draw(st.lists(st.sampled_from(DAYS), unique=True, min_size=1))
        for opens, closes in [sorted(draw(st.lists(_TIMES, min_size=2, max_size=2, unique=True)))]
    ]
    days = [{"date": str(day), "start_time": "0000", "end_time": "0001"} for day in draw(_HOLIDAYS)]
    zone = draw(st.sampled_from(["Europe/Berlin", "America/Manaus", "UTC"]))
    return {"status": "ENABLED", "timezone_id": zone, "weekly_operating_hours": week, "holiday_schedule": days}


WISHES = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["ENABLED", "DISABLED"]),
        "call_icon_visibility": st.sampled_from(["DEFAULT", "DISABLE_ALL"]),
        "callback_permission_status": st.sampled_from(["ENABLED", "DISABLED"]),
        "call_hours": hours(),
    }
)
SEEN = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["ENABLED", "DISABLED", "NOT_SET", "SOMETHING_NEW"]),
        "call_icon_visibility": st.sampled_from(["DEFAULT", "DISABLE_ALL", "NOT_SET", "HIDE_IN_CHAT"]),
        "callback_permission_status": st.sampled_from(["ENABLED", "DISABLED", "NOT_SET"]),
        "call_hours": hours(),
    },
)
POLICIES = st.sampled_from(["show", "reapply", "adopt"])


@given(WISHES, SEEN, POLICIES, st.none() | WISHES)
def test_every_difference_is_dealt_with_in_one_way(wish: Any, seen: Any, policy: Any, applied: Any) -> None:
    found = plan(wish, None if applied is None else (applied, TODAY), seen, policy, TODAY)
    named = [*found.apply, *found.adopt, *(each["field"] for each in found.drift)]
    differing = [name for name in FIELDS if normal(wish, TODAY)[name] != normal(seen, TODAY)[name]]
    assert sorted(named) == sorted(differing)
    assert not found.adopt or policy == "adopt"
    assert not found.drift or policy == "show"


@given(WISHES, POLICIES)
def test_nothing_is_done_where_wish_and_observation_agree(wish: Any, policy: Any) -> None:
    assert plan(wish, (wish, TODAY), wish, policy, TODAY) == Plan()
    assert plan(wish, None, wish, policy, TODAY) == Plan()


@given(WISHES, SEEN)
def test_what_is_posted_is_taken_by_meta_and_then_there_is_nothing_left_to_do(wish: Any, seen: Any) -> None:
    """Against the checks of the strict simulator."""
    number = NumberSettings(NumberConfig(phone_number_id="1", display_number="15550783881"))
    number.calling = {name: value for name, value in seen.items() if value != "NOT_SET"}
    posted = plan(wish, None, seen, "show", TODAY).apply
    if posted:
        number.write({"calling": posted}, NOON)
    observed = readable(number.read(NOON))
    assert observed is not None
    assert plan(wish, (wish, TODAY), observed, "show", TODAY) == Plan()


@given(WISHES)
def test_no_fault_is_found_in_what_meta_would_take_and_one_in_what_it_would_not(wish: Any) -> None:
    assert faults(wish) == []
    number = NumberSettings(NumberConfig(phone_number_id="1", display_number="15550783881"))
    wish["call_hours"] = {"status": "ENABLED", "timezone_id": "UTC", "weekly_operating_hours": []}
    with pytest.raises(GraphError):
        number.write({"calling": wish}, NOON)
    assert len(faults(wish)) == 1


@given(hours(), st.integers(0, 60))
def test_passing_days_are_no_drift(wanted: Any, days: int) -> None:
    """Past holidays fall out on both sides; one that Meta had no room for is a change when its time comes."""
    later = date.fromordinal(TODAY.toordinal() + days)
    wish = {"call_hours": wanted}
    at_meta = {"call_hours": normal(wish, TODAY)["call_hours"]}
    found = plan(wish, (wish, TODAY), at_meta, "show", later)
    assert found.drift == []
    if "call_hours" in found.apply:
        assert len(wanted["holiday_schedule"]) > HOLIDAYS


def test_hours_that_are_switched_off_keep_what_meta_requires() -> None:
    seen = {
        "call_hours": {
            "status": "ENABLED",
            "timezone_id": "UTC",
            "weekly_operating_hours": [{"day_of_week": "MONDAY", "open_time": "0900", "close_time": "1700"}],
        }
    }
    posted = plan({"call_hours": {"status": "DISABLED"}}, None, seen, "show", TODAY).apply["call_hours"]
    assert posted == seen["call_hours"] | {"status": "DISABLED"}


def test_a_reply_of_meta_is_read_with_tolerance() -> None:
    reply = {
        "calling": {
            "status": "NOT_SET",
            "call_hours": {
                "status": "ENABLED",
                "timezone_id": "UTC",
                "weekly_operating_hours": [None, {"day_of_week": "FUNDAY"}, {"day_of_week": "MONDAY", "open_time": 9}],
                "holiday_schedule": [
                    {"date": "2026-12-24", "open_time": "0900", "close_time": "1200"},
                    {"date": "2026-02-30", "start_time": "0900", "end_time": "1200"},
                    "Christmas",
                ],
            },
            "sip": {"status": "ENABLED", "servers": [{"hostname": "a", "sip_user_password": "SECRET"}, None]},
            "restrictions": {"restrictions_list": [{"type": "X", "expiration": 5}, {"reason": "?"}, None]},
        }
    }
    calling = readable(reply)
    assert calling is not None
    assert calling["call_hours"]["weekly_operating_hours"] == []
    assert calling["call_hours"]["holiday_schedule"] == [
        {"date": "2026-12-24", "start_time": "0900", "end_time": "1200"}
    ]
    assert "SECRET" not in str(calling)
    assert restrictions_of(calling) == [{"type": "X", "reason": "", "expires_at": 5}]
    for nonsense in ({}, {"calling": None}, {"calling": "x"}):
        assert readable(nonsense) is None
    hours = readable({"calling": {"call_hours": "x"}})
    assert hours is not None
    assert normal(hours, TODAY)["call_hours"] == {"status": "DISABLED"}
