"""Settings of a number: what the simulated Meta takes and refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.simulator.conftest import Stage
from whatsapp_bridge.simulator.client import SimulatorError
from whatsapp_bridge.simulator.config import NumberConfig
from whatsapp_bridge.simulator.consent_client import ConsentClient
from whatsapp_bridge.simulator.consent_models import AccountUpdate, SettingsChange
from whatsapp_bridge.simulator.models import PlaceCall
from whatsapp_bridge.simulator.settings import NumberSettings

PNID = "106540352242922"
MONDAY = {"day_of_week": "MONDAY", "open_time": "0400", "close_time": "1020"}
HOURS = {"status": "ENABLED", "timezone_id": "America/Manaus", "weekly_operating_hours": [MONDAY]}


async def post(stage: Stage, calling: Any, **more: Any) -> tuple[int, str]:
    """Meta's code and details; 0 if it took them."""
    body = {"calling": calling} | more
    _, reply = await stage.business.post(body, path=f"/v23.0/{PNID}/settings")
    error = reply.get("error")
    return (error["code"], error.get("error_data", {}).get("details", "")) if error else (0, "")


def hours(**more: Any) -> dict[str, Any]:
    return {"call_hours": HOURS | more}


def holiday(day: str = "2099-01-01", start: str = "0000", end: str = "2359") -> dict[str, str]:
    return {"date": day, "start_time": start, "end_time": end}


@pytest.mark.parametrize(
    ("calling", "words"),
    [
        ({}, "calling is missing"),
        ({"status": "ON"}, "calling.status"),
        ({"call_icon_visibility": "HIDE"}, "calling.call_icon_visibility"),
        ({"callback_permission_status": True}, "calling.callback_permission_status"),
        ({"colour": "red"}, "calling.colour is unknown"),
        ({"call_hours": []}, "not an object"),
        (hours(status="MAYBE"), "call_hours.status"),
        (hours(timezone_id="Mars/Olympus"), "timezone_id"),
        (hours(timezone_id=None), "timezone_id"),
        (hours(weekly_operating_hours=[]), "is empty"),
        (hours(weekly_operating_hours=[MONDAY | {"day_of_week": "FUNDAY"}]), "no weekday"),
        (hours(weekly_operating_hours=[MONDAY | {"open_time": "4:00"}]), "not HHMM"),
        (hours(weekly_operating_hours=[MONDAY | {"close_time": "2400"}]), "not HHMM"),
        (hours(weekly_operating_hours=[MONDAY | {"close_time": "0400"}]), "not before"),
        (hours(weekly_operating_hours=[MONDAY, MONDAY]), "overlap"),
        (
            hours(
                weekly_operating_hours=[
                    {"day_of_week": "MONDAY", "open_time": f"{hour:02}00", "close_time": f"{hour:02}30"}
                    for hour in (1, 2, 3)
                ]
            ),
            "more than 2",
        ),
        (hours(holiday_schedule=[holiday(f"2099-01-{day:02}") for day in range(1, 22)]), "21 entries"),
        (hours(holiday_schedule=[holiday("2020-01-01")]), "in the past"),
        (hours(holiday_schedule=[holiday("2099-02-30")]), "no date"),
        (hours(holiday_schedule=[holiday("tomorrow")]), "YYYY-MM-DD"),
        (hours(holiday_schedule=[holiday(start="1200", end="1100")]), "not before"),
        (hours(holiday_schedule=[holiday(), holiday()]), "overlap"),
    ],
)
async def test_wrong_settings_are_refused_as_a_whole(stage: Stage, calling: dict[str, Any], words: str) -> None:
    before = stage.world.numbers[PNID].settings.calling.copy()
    code, details = await post(stage, calling | ({"status": "DISABLED"} if calling and "status" not in calling else {}))
    assert code == 100
    assert words in details
    assert stage.world.numbers[PNID].settings.calling == before


async def test_settings_are_replaced_field_by_field_and_hours_as_a_whole(stage: Stage) -> None:
    consent = ConsentClient(stage.meta)
    assert await post(stage, hours(holiday_schedule=[holiday()])) == (0, "")
    assert await post(stage, {"call_icon_visibility": "DISABLE_ALL"}) == (0, "")
    calling = (await consent.settings(PNID))["calling"]
    assert calling["call_hours"]["holiday_schedule"] == [holiday()]
    assert (calling["status"], calling["callback_permission_status"]) == ("ENABLED", "NOT_SET")
    assert await post(stage, {"call_hours": HOURS}) == (0, "")
    assert "holiday_schedule" not in (await consent.settings(PNID))["calling"]["call_hours"]
    await stage.business.posts(3)
    assert [change["field"] for body in stage.business.received for change in body["entry"][0]["changes"]] == [
        "account_settings_update"
    ] * 3
    assert stage.business.values()[0]["phone_number_settings"]["phone_number_id"] == PNID


@pytest.mark.parametrize(
    ("config", "code"),
    [({"messaging_limit": 1000}, 138015), ({"calls_subscribed": False}, 138018), ({"test_number": True}, 0)],
)
def test_who_may_switch_calling_on(config: dict[str, Any], code: int) -> None:
    number = NumberSettings(NumberConfig(phone_number_id="1", display_number="155", calling="NOT_SET", **config))
    if code:
        with pytest.raises(Exception, match=str(code)):
            number.write({"calling": {"status": "ENABLED"}}, 0)
    else:
        number.write({"calling": {"status": "ENABLED"}}, 0)
    assert number.calling_enabled == (code == 0)


async def test_users_are_let_in_by_status_hours_and_restrictions(stage: Stage) -> None:
    consent = ConsentClient(stage.meta)
    for calling, words in (
        ({"status": "DISABLED"}, "calling is off"),
        ({"status": "ENABLED", "call_hours": HOURS | {"weekly_operating_hours": []}}, "outside its call hours"),
    ):
        await consent.change_settings(PNID, SettingsChange(calling=calling))
        with pytest.raises(SimulatorError, match=words):
            await stage.meta.place(PlaceCall())
    await consent.change_settings(PNID, SettingsChange(calling={"call_hours": {"status": "DISABLED"}}))
    await (await stage.meta.place(PlaceCall())).end()
    await consent.account_update(PNID, AccountUpdate(restriction="RESTRICTED_USER_INITIATED_CALLING", seconds=60))
    with pytest.raises(SimulatorError, match="restricted"):
        await stage.meta.place(PlaceCall())
    await consent.advance_clock(61)
    await (await stage.meta.place(PlaceCall())).end()


async def test_an_account_update_names_neither_both_nor_nothing(stage: Stage) -> None:
    with pytest.raises(SimulatorError, match="name a restriction"):
        await ConsentClient(stage.meta).account_update(PNID, AccountUpdate())
