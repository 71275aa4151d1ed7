"""Settings of a number at Meta: from the route in PostgreSQL to Meta and back, against the strict simulator."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.integration.numbers import NUMBER, PNID, House, house
from whatsapp_bridge.meta import settings_reconciler
from whatsapp_bridge.simulator.client import SimulatorError
from whatsapp_bridge.simulator.consent_models import AccountUpdate, SettingsChange
from whatsapp_bridge.simulator.models import GraphFault, PlaceCall

FRESH = [{"phone_number_id": PNID, "display_number": NUMBER, "calling": "NOT_SET"}]
WEEK = [{"day_of_week": "MONDAY", "open_time": "0900", "close_time": "1700"}]
HOURS = {"status": "ENABLED", "timezone_id": "Europe/Berlin", "weekly_operating_hours": WEEK, "holiday_schedule": []}


@pytest.fixture
async def shop(database: str, tmp_path: Path) -> AsyncIterator[House]:
    """A number that was never touched at Meta."""
    async with house(database, tmp_path, numbers=FRESH) as it:
        yield it


async def route(shop: House, **columns: Any) -> None:
    """The number's route, or a change of it."""
    names, places = ", ".join(columns), ", ".join(f"${n}" for n in range(2, 2 + len(columns)))
    if await shop.db.fetchval("SELECT count(*) FROM pbx.routes WHERE number = $1", NUMBER):
        await shop.db.execute(
            f"UPDATE pbx.routes SET ({names}) = ROW({places}) WHERE number = $1", NUMBER, *columns.values()
        )
    elif columns:
        await shop.db.execute(
            f"INSERT INTO pbx.routes (number, {names}) VALUES ($1, {places})", NUMBER, *columns.values()
        )
    else:
        await shop.db.execute("INSERT INTO pbx.routes (number) VALUES ($1)", NUMBER)


async def schedule(shop: House, name: str = "Office", zone: str = "Europe/Berlin") -> None:
    await shop.db.execute("INSERT INTO pbx.schedules (name, time_zone) VALUES ($1, $2)", name, zone)
    await shop.db.execute(
        "INSERT INTO pbx.schedule_hours (schedule, weekday, opens, closes) VALUES ($1, 1, '09:00', '17:00')", name
    )


async def at_meta(shop: House, timeout: float = 8, **wanted: Any) -> dict[str, Any]:
    """What Meta has, as soon as it is so."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                calling: dict[str, Any] = (await shop.consent.settings(PNID))["calling"]
                if all(calling.get(name) == value for name, value in wanted.items()):
                    return calling
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"Meta has {calling}, not {wanted}; {await row(shop)}")


async def row(shop: House) -> dict[str, Any]:
    found = await shop.row("SELECT * FROM whatsapp.number_settings WHERE phone_number_id = $1", PNID)
    for name in ("observed", "applied", "drift", "restrictions", "notices"):
        found[name] = json.loads(found[name]) if found[name] is not None else None
    return found


async def in_line(shop: House) -> dict[str, Any]:
    """The row, as soon as the last wish was acted on."""
    await shop.until(
        """SELECT s.applied = w.calling AND s.error_text IS NULL AND s.reconcile_wanted_at IS NULL
             FROM whatsapp.number_settings s JOIN whatsapp.wanted_settings w USING (phone_number_id)"""
    )
    return await row(shop)


async def drifted(shop: House, *fields: str) -> list[dict[str, Any]]:
    """The drift, as soon as it is in these fields."""

    def same(text: str | None) -> bool:
        return [each["field"] for each in json.loads(text or "[]")] == list(fields)

    await shop.until("SELECT drift FROM whatsapp.number_settings", holds=same)
    found: list[dict[str, Any]] = (await row(shop))["drift"]
    return found


async def failed(shop: House, words: str) -> dict[str, Any]:
    await shop.until("SELECT error_text FROM whatsapp.number_settings", holds=lambda text: words in (text or ""))
    return await row(shop)


def posts(shop: House) -> list[dict[str, Any]]:
    """What was posted to the settings, in order."""
    return [
        entry["body"]["calling"]
        for entry in shop.world.requests
        if entry["action"] == "settings_post" and entry["status"] == 200
    ]


async def test_a_number_is_switched_on_and_off_at_meta(shop: House) -> None:
    with pytest.raises(SimulatorError, match="calling is off"):
        await shop.meta.place(PlaceCall())
    await route(shop)
    assert (await in_line(shop))["calling_status"] == "NOT_SET"
    assert posts(shop) == [{"call_icon_visibility": "DISABLE_ALL"}]
    await route(shop, calling_enabled=True)
    await at_meta(shop, status="ENABLED")
    facts = await in_line(shop)
    assert (facts["calling_status"], facts["call_icon"], facts["drift"]) == ("ENABLED", "DISABLE_ALL", [])
    assert posts(shop)[1:] == [{"status": "ENABLED"}]
    await (await shop.meta.place(PlaceCall())).end()
    await route(shop, calling_enabled=False)
    await at_meta(shop, status="DISABLED")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"calling_enabled": True}, {"status": "ENABLED"}),
        ({"call_icon": True}, {"call_icon_visibility": "DEFAULT"}),
        ({"callback_permission": True}, {"callback_permission_status": "ENABLED"}),
        ({"schedule": "Office"}, {"call_hours": HOURS}),
    ],
)
@pytest.mark.parametrize("policy", ["show", "reapply", "adopt"])
async def test_each_field_goes_there_and_comes_back(
    shop: House, columns: dict[str, Any], expected: dict[str, Any], policy: str
) -> None:
    """Applied, then changed elsewhere; what becomes of that is the number's policy."""
    await schedule(shop)
    await shop.consent.change_settings(
        PNID, SettingsChange(calling={"call_icon_visibility": "DISABLE_ALL"}, tell=False)
    )
    await route(shop, on_drift="show")
    await in_line(shop)
    await route(shop, **columns)
    await at_meta(shop, **expected)
    facts = await in_line(shop)
    assert facts["drift"] == []
    assert facts["observed"] | expected == facts["observed"]
    before = dict(await shop.row("SELECT * FROM pbx.routes"))
    await route(shop, on_drift=policy)
    (field,) = expected
    others: dict[str, Any] = {"call_hours": {"status": "DISABLED"}, "call_icon_visibility": "DISABLE_ALL"}
    other = others.get(field, "DISABLED")
    await shop.consent.change_settings(PNID, SettingsChange(calling={field: other}))
    match policy:
        case "show":
            assert await drifted(shop, field) == [{"field": field, "wanted": expected[field], "observed": other}]
            assert (await shop.consent.settings(PNID))["calling"][field] == other
            # A new wish is no drift: it is applied.
            await route(shop, on_drift="reapply")
            await at_meta(shop, **expected)
            await drifted(shop)
        case "reapply":
            await at_meta(shop, **expected)
            await drifted(shop)
        case "adopt":
            (column,) = columns
            await shop.until(f"SELECT {column} FROM pbx.routes", holds=lambda value: value in (False, None))
            facts = await in_line(shop)
            assert facts["drift"] == []
            assert facts["observed"][field] == other
    after = dict(await shop.row("SELECT * FROM pbx.routes"))
    if policy != "adopt":
        assert {**after, "on_drift": ""} == {**before, "on_drift": ""}


async def test_hours_are_adopted_into_a_schedule_of_the_numbers_own(shop: House) -> None:
    await schedule(shop)
    await shop.db.execute("INSERT INTO pbx.routes (number, schedule) VALUES ('4930123456', 'Office')")
    await route(shop, schedule="Office", on_drift="adopt", call_icon=True)
    await in_line(shop)
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date()
    later = tomorrow + timedelta(days=1)
    changed = {
        "status": "ENABLED",
        "timezone_id": "America/Manaus",
        "weekly_operating_hours": [
            {"day_of_week": "TUESDAY", "open_time": "1300", "close_time": "2359"},
            {"day_of_week": "TUESDAY", "open_time": "0108", "close_time": "1020"},
        ],
        "holiday_schedule": [
            {"date": str(later), "start_time": "0000", "end_time": "0001"},
            {"date": str(tomorrow), "start_time": "1000", "end_time": "1200"},
        ],
    }
    await shop.consent.change_settings(PNID, SettingsChange(calling={"call_hours": changed}))
    own = f"Meta {NUMBER}"
    await shop.until(f"SELECT schedule FROM pbx.routes WHERE number = '{NUMBER}'", holds=lambda name: name == own)
    assert await shop.db.fetchval("SELECT schedule FROM pbx.routes WHERE number = '4930123456'") == "Office"
    assert await shop.db.fetchval("SELECT time_zone FROM pbx.schedules WHERE name = $1", own) == "America/Manaus"
    hours = await shop.db.fetch(
        "SELECT weekday, opens::text, closes::text FROM pbx.schedule_hours WHERE schedule = $1 ORDER BY opens", own
    )
    assert [tuple(each) for each in hours] == [(2, "01:08:00", "10:20:00"), (2, "13:00:00", "24:00:00")]
    days = await shop.db.fetch(
        "SELECT day, opens::text, closes::text FROM pbx.holidays WHERE schedule = $1 ORDER BY day", own
    )
    assert [tuple(each) for each in days] == [(tomorrow, "10:00:00", "12:00:00"), (later, None, None)]
    facts = await in_line(shop)
    assert facts["drift"] == []
    # The next change goes into the same schedule.
    shorter = changed | {"holiday_schedule": []}
    await shop.consent.change_settings(PNID, SettingsChange(calling={"call_hours": shorter}))
    await shop.until("SELECT count(*) FROM pbx.holidays", holds=lambda count: count == 0)
    assert await shop.db.fetchval("SELECT count(*) FROM pbx.schedules") == 2


async def test_the_schedule_of_the_pbx_is_that_of_meta_and_every_change_of_it_goes_there(shop: House) -> None:
    await schedule(shop)
    await route(shop, schedule="Office", calling_enabled=True)
    await at_meta(shop, call_hours=HOURS)
    await shop.db.execute("INSERT INTO pbx.schedule_hours VALUES ('Office', 2, '00:00', '24:00')")
    whole_day = {"day_of_week": "TUESDAY", "open_time": "0000", "close_time": "2359"}
    hours = HOURS | {"weekly_operating_hours": [*WEEK, whole_day]}
    await at_meta(shop, call_hours=hours)
    past, closed, short = (datetime.now(UTC).date() + timedelta(days=days) for days in (-3, 3, 4))
    await shop.db.execute(
        "INSERT INTO pbx.holidays VALUES ('Office', $1, NULL, NULL), ('Office', $2, NULL, NULL), "
        "('Office', $3, '10:00', '12:00')",
        *(past, closed, short),
    )
    assert await shop.db.fetchval("SELECT count(*) FROM pbx.holidays WHERE opens IS NULL") == 2
    holidays = [
        {"date": str(closed), "start_time": "0000", "end_time": "0001"},
        {"date": str(short), "start_time": "1000", "end_time": "1200"},
    ]
    await at_meta(shop, call_hours=hours | {"holiday_schedule": holidays})
    await shop.db.execute("UPDATE pbx.schedules SET time_zone = 'America/Manaus'")
    await at_meta(shop, call_hours=hours | {"holiday_schedule": holidays, "timezone_id": "America/Manaus"})
    await route(shop, schedule=None)
    await shop.until("SELECT hours_status = 'DISABLED' FROM whatsapp.number_settings")
    assert (await in_line(shop))["drift"] == []
    await shop.db.execute("DELETE FROM pbx.schedules")


async def test_of_many_holidays_those_that_come_next_are_at_meta(shop: House) -> None:
    await schedule(shop, zone="UTC")
    today = datetime.now(UTC).date()
    await shop.db.executemany(
        "INSERT INTO pbx.holidays (schedule, day) VALUES ('Office', $1)",
        [(today + timedelta(days=days),) for days in range(1, 26)],
    )
    await route(shop, schedule="Office")
    facts = await in_line(shop)
    sent = [each["date"] for each in facts["observed"]["call_hours"]["holiday_schedule"]]
    assert sent == [str(today + timedelta(days=days)) for days in range(1, 21)]
    assert facts["drift"] == []
    # Days later some are over, and others take their place: no drift, although nobody wished anything new.
    await shop.consent.advance_clock(4 * 86_400)
    await shop.until(
        "SELECT observed #>> '{call_hours,holiday_schedule,19,date}' FROM whatsapp.number_settings",
        holds=lambda last: last == str(today + timedelta(days=23)),
    )
    assert (await row(shop))["drift"] == []


async def test_users_are_let_in_by_local_time_before_and_after_the_clocks_change(shop: House) -> None:
    """Berlin, 25 October 2026 and 28 March 2027: nine o'clock is nine o'clock on both sides of the change."""
    await shop.db.execute("INSERT INTO pbx.schedules VALUES ('Days', 'Europe/Berlin')")
    await shop.db.execute(
        "INSERT INTO pbx.schedule_hours SELECT 'Days', day, '09:00', '17:00' FROM generate_series(1, 7) AS day"
    )
    await route(shop, schedule="Days", calling_enabled=True)
    await in_line(shop)
    before = posts(shop)
    settings, berlin = shop.world.numbers[PNID].settings, ZoneInfo("Europe/Berlin")
    for day in ("2026-10-24", "2026-10-25", "2026-10-26", "2027-03-27", "2027-03-28", "2027-03-29"):
        for clock, is_open in (("08:59", False), ("09:00", True), ("16:59", True), ("17:00", False)):
            moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=berlin)
            assert settings.open_at(moment.timestamp()) is is_open, (day, clock)
    # In UTC these are different hours, and what was sent is the same for both.
    assert before[-1]["call_hours"]["weekly_operating_hours"][0] == WEEK[0]
    spring = datetime(2027, 3, 29, 12, tzinfo=UTC)
    await shop.consent.advance_clock((spring - datetime.now(UTC)).total_seconds())
    await shop.until("SELECT observed_at > '2027-03-29' FROM whatsapp.number_settings")
    assert posts(shop) == before
    assert (await row(shop))["drift"] == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM pbx.schedule_hours", "no opening hours"),
        ("UPDATE pbx.schedule_hours SET opens = '09:00:10', closes = '09:00:50'", "monday: 09:00 is not before 09:00"),
        ("INSERT INTO pbx.schedule_hours VALUES ('Office', 1, '12:00', '13:00')", "monday: intervals overlap"),
        ("UPDATE pbx.schedules SET time_zone = 'Europe/Berlln'", "no time zone 'Europe/Berlln'"),
    ],
)
async def test_what_meta_would_refuse_is_not_sent(shop: House, statement: str, words: str) -> None:
    await schedule(shop)
    await shop.db.execute(statement)
    await route(shop, schedule="Office", call_icon=True)
    facts = await failed(shop, words)
    assert facts["error_text"].startswith("not sent to Meta")
    assert posts(shop) == []
    await route(shop, schedule=None)
    await in_line(shop)


@pytest.mark.parametrize(
    ("number", "code"), [({"messaging_limit": 250}, 138015), ({"calls_subscribed": False}, 138018)]
)
async def test_metas_refusal_keeps_code_and_words(
    database: str, tmp_path: Path, number: dict[str, Any], code: int
) -> None:
    async with house(database, tmp_path, numbers=[FRESH[0] | number]) as shop:
        await route(shop, calling_enabled=True)
        facts = await failed(shop, "cannot be enabled")
        assert (facts["error_code"], facts["calling_status"]) == (code, "NOT_SET")
        assert facts["retry_at"] > datetime.now(UTC) + timedelta(minutes=50)
        # The same wish waits; another one does not.
        await route(shop, calling_enabled=False)
        assert (await in_line(shop))["error_code"] is None


@pytest.mark.parametrize(
    "fault",
    [
        GraphFault(action="settings_post", http_status=429, code=4),
        GraphFault(action="settings_post", http_status=500, code=2),
        GraphFault(action="settings_post", disconnect=True, applied=True),
        GraphFault(action="settings_get", http_status=503, code=2),
    ],
)
async def test_a_meta_in_trouble_is_asked_again(
    shop: House, fault: GraphFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_reconciler, "FIRST_PAUSE", 0.1)
    await shop.meta.fail(fault)
    await route(shop, calling_enabled=True)
    await at_meta(shop, status="ENABLED")
    assert (await in_line(shop))["failures"] == 0


async def test_pauses_grow_while_meta_is_in_trouble(shop: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_reconciler, "FIRST_PAUSE", 0.1)
    await shop.meta.fail(GraphFault(action="settings_get", http_status=500, code=2, count=1000))
    await route(shop, calling_enabled=True)
    await shop.until("SELECT failures FROM whatsapp.number_settings", holds=lambda n: (n or 0) >= 4)
    facts = await row(shop)
    assert facts["retry_at"] - facts["error_at"] >= timedelta(seconds=0.79)
    assert "500" in facts["error_text"]
    await shop.meta.clear_faults()
    await in_line(shop)


async def test_a_wrong_token_is_in_the_row_and_in_the_log_once(
    shop: House, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(settings_reconciler, "REFUSED_PAUSE", timedelta(seconds=0.05))
    await shop.meta.fail(GraphFault(action="settings_get", code=190, count=1000))
    await route(shop, calling_enabled=True)
    facts = await failed(shop, "access_token")
    assert facts["error_code"] == 190
    await shop.until("SELECT failures FROM whatsapp.number_settings", holds=lambda n: n >= 4)
    assert len([record for record in caplog.records if "access_token" in record.getMessage()]) == 1
    assert "Bearer" not in caplog.text


async def test_a_number_without_a_route_is_only_looked_at(shop: House) -> None:
    await shop.consent.change_settings(PNID, SettingsChange(calling={"status": "ENABLED"}))
    await shop.until("SELECT calling_status = 'ENABLED' FROM whatsapp.number_settings")
    assert (await row(shop))["applied"] is None
    assert posts(shop) == []


async def test_what_is_at_meta_before_us_is_adopted_if_so_wished(shop: House) -> None:
    await shop.consent.change_settings(PNID, SettingsChange(calling={"status": "ENABLED"}, tell=False))
    await route(shop, on_drift="adopt", calling_enabled=False)
    await shop.until("SELECT calling_enabled FROM pbx.routes")
    await in_line(shop)
    assert posts(shop) == []


async def test_what_the_database_does_not_allow_is_not_adopted_and_says_why(shop: House) -> None:
    await shop.db.execute("UPDATE pbx.billing SET enabled = true")
    await route(shop, on_drift="adopt", call_icon=True)
    await in_line(shop)
    await shop.consent.change_settings(PNID, SettingsChange(calling={"status": "ENABLED"}))
    facts = await failed(shop, "quotation")
    assert facts["error_text"].startswith("Meta's settings cannot be adopted")
    assert await shop.db.fetchval("SELECT calling_enabled FROM pbx.routes") is False


async def test_other_settings_and_credentials_are_left_alone(shop: House) -> None:
    server = {"hostname": "sip.example.com", "sip_user_password": "SECRET"}
    change = {"sip": {"status": "DISABLED", "servers": [server]}, "audio": {"additional_codecs": ["PCMU"]}}
    await shop.consent.change_settings(PNID, SettingsChange(calling=change))
    await route(shop, calling_enabled=True)
    facts = await in_line(shop)
    assert facts["observed"]["audio"] == {"additional_codecs": ["PCMU"]}
    assert facts["observed"]["sip"]["servers"] == [{"hostname": "sip.example.com"}]
    assert all(not {"sip", "audio"} & set(each) for each in posts(shop))
    assert (await shop.consent.settings(PNID))["calling"]["sip"]["servers"] == [server]


async def restrictions(shop: House) -> dict[str, datetime | None]:
    rows = await shop.db.fetch("SELECT type, expires_at FROM whatsapp.restrictions")
    return {each["type"]: each["expires_at"] for each in rows}


async def test_a_restriction_is_known_at_once_and_ends_with_its_time(shop: House) -> None:
    await route(shop, calling_enabled=True)
    await in_line(shop)
    both = "RESTRICTED_BIZ_INITIATED_AND_USER_INITIATED_CALLING"
    await shop.consent.account_update(PNID, AccountUpdate(restriction="RESTRICTED_BUSINESS_INITIATED_CALLING"))
    await shop.until("SELECT count(*) FROM whatsapp.restrictions", holds=lambda n: n == 1)
    await in_line(shop)
    ends = (await restrictions(shop))["RESTRICTED_BUSINESS_INITIATED_CALLING"]
    assert ends is not None
    assert timedelta(days=6) < ends - datetime.now(UTC) <= timedelta(days=7)
    reason = await shop.db.fetchval("SELECT reason FROM whatsapp.restrictions")
    assert reason == "too much negative feedback"  # from GET, which says more than the webhook
    # One that ends early ends with Meta's word; one that GET does not know stays.
    await shop.consent.account_update(PNID, AccountUpdate(restriction=both, seconds=None))
    await shop.until("SELECT count(*) FROM whatsapp.restrictions", holds=lambda n: n == 2)
    shop.world.numbers[PNID].settings.restrictions.clear()
    await shop.db.execute("UPDATE whatsapp.number_settings SET reconcile_wanted_at = now()")
    await shop.until("SELECT count(*) FROM whatsapp.restrictions", holds=lambda n: n == 1)
    assert set(await restrictions(shop)) == {both}


async def test_warnings_and_the_hidden_button_are_known(shop: House) -> None:
    await route(shop, calling_enabled=True, call_icon=True)
    await in_line(shop)
    low = "USER_INITIATED_CALLS_LOW_PICKUP_RATE"
    for text in ("first", "second"):
        await shop.consent.account_update(PNID, AccountUpdate(violation=low, remediation=text))
        await shop.until(f"SELECT notices #>> '{{0,text}}' = '{text}' FROM whatsapp.number_settings")
    hidden = "RESTRICTED_USER_INITIATED_CALLING_CALL_BUTTON_HIDDEN"
    await shop.consent.account_update(PNID, AccountUpdate(restriction=hidden, seconds=None, remediation="by hand"))
    await shop.until("SELECT button_hidden_at IS NOT NULL FROM whatsapp.number_settings")
    facts = await row(shop)
    assert [(each["type"], each["text"]) for each in facts["notices"]] == [(low, "second")]
    await shop.consent.advance_clock(5)
    await shop.consent.change_settings(PNID, SettingsChange(calling={"call_icon_visibility": "DEFAULT"}))
    await shop.until("SELECT button_hidden_at IS NULL FROM whatsapp.number_settings")
    assert await restrictions(shop) == {}


async def test_a_change_that_nobody_tells_is_found_with_time(database: str, tmp_path: Path) -> None:
    async with house(database, tmp_path, meta={"settings_seconds": 5}, numbers=FRESH) as shop:
        await route(shop, calling_enabled=True)
        await in_line(shop)
        await shop.consent.change_settings(PNID, SettingsChange(calling={"status": "DISABLED"}, tell=False))
        await shop.consent.advance_clock(6)
        await drifted(shop, "status")
