"""State at Meta: what the bridge wrote down is shown, live, and what is wished is told to the bridge."""

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from ari_app.console.pages.channel_meta import words
from ari_app.store.console.users import Role
from tests.integration.console.desk import Desk

PAGE = "/channels/15550783881/meta"
EVIL = "<script>alert(1)</script>"


@pytest_asyncio.fixture
async def told(desk: Desk) -> AsyncIterator[asyncio.Queue[str]]:
    """What the bridge is told."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    connection = await asyncpg.connect(desk.dsn)
    try:
        await connection.add_listener("whatsapp_wanted", lambda *word: heard.put_nowait(str(word[3])))
        yield heard
    finally:
        await connection.close()
        await desk.fetch("DELETE FROM whatsapp.number_settings")


async def observe(desk: Desk, **columns: object) -> None:
    """As the bridge writes it."""
    values = {"observed": {"status": "ENABLED", "call_icon_visibility": "DEFAULT"}, **columns}
    await desk.fetch(
        "INSERT INTO whatsapp.number_settings (phone_number_id, observed, observed_at, drift, error_code, error_text, "
        "restrictions) VALUES ('106', $1, now(), $2, $3, $4, $5) ON CONFLICT (phone_number_id) DO UPDATE "
        "SET observed = excluded.observed, drift = excluded.drift, error_code = excluded.error_code, "
        "error_text = excluded.error_text, restrictions = excluded.restrictions",
        json.dumps(values["observed"]),
        json.dumps(values.get("drift", [])),
        values.get("error_code"),
        values.get("error_text"),
        json.dumps(values.get("restrictions", [])),
    )


async def test_drift_errors_and_restrictions_are_shown_as_text(desk: Desk, told: asyncio.Queue[str]) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    assert "not asked yet" in (await browser.get(PAGE)).text
    await observe(
        desk,
        drift=[{"field": "call_icon_visibility", "wanted": "DISABLE_ALL", "observed": "DEFAULT"}],
        error_code=138018,
        error_text=f"Calling cannot be enabled {EVIL}",
        restrictions=[{"type": "RESTRICTED_BIZ_INITIATED_CALLING", "reason": EVIL, "expires_at": None}],
    )
    shown = await browser.get(PAGE)
    assert "138018" in shown.text
    assert "Calling cannot be enabled" in shown.text
    assert "changed there" in shown.text
    assert "RESTRICTED BIZ INITIATED CALLING" in shown.text
    assert EVIL not in shown.text


async def test_the_bridge_is_told_to_ask_and_to_apply_again(desk: Desk, told: asyncio.Queue[str]) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get(PAGE)
    asked = await browser.post(f"{PAGE}/ask")
    assert "Meta is being asked" in asked.text
    async with asyncio.timeout(5):
        assert await told.get() == "settings:106"
    await observe(desk)
    await desk.fetch("UPDATE whatsapp.number_settings SET applied = '{}', reconcile_wanted_at = NULL")
    await browser.post(f"{PAGE}/apply")
    (row,) = await desk.fetch("SELECT applied, reconcile_wanted_at FROM whatsapp.number_settings")
    assert row["applied"] is None
    assert row["reconcile_wanted_at"] is not None
    (audited,) = await desk.fetch("SELECT subject FROM console.audit WHERE action = 'applied_again'")
    assert audited["subject"] == "15550783881"


async def test_what_somebody_set_at_meta_is_taken_over(desk: Desk, told: asyncio.Queue[str]) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get(PAGE)
    (before,) = await desk.fetch("SELECT call_icon FROM pbx.routes WHERE number = '15550783881'")
    now, then = ("DISABLE_ALL", "DEFAULT") if before["call_icon"] else ("DEFAULT", "DISABLE_ALL")
    await observe(desk, drift=[{"field": "call_icon_visibility", "wanted": then, "observed": now}])
    await browser.post(f"{PAGE}/adopt")
    (after,) = await desk.fetch("SELECT call_icon FROM pbx.routes WHERE number = '15550783881'")
    assert after["call_icon"] is not before["call_icon"]
    (audited,) = await desk.fetch("SELECT before, after FROM console.audit WHERE action = 'adopted'")
    assert json.loads(audited["after"]) == {"call_icon_visibility": now}


async def test_the_page_follows_what_the_bridge_writes(desk: Desk, told: asyncio.Queue[str]) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    shown = await browser.get(PAGE)
    assert f'data-live="{PAGE}/live"' in shown.text
    async with browser.follow(f"{PAGE}/live") as stream:
        await stream.shows("meta-state", "not asked yet")
        await observe(desk, error_text="Meta is out of reach")
        await stream.shows("meta-state", "Meta is out of reach", within=2)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "not set"),
        ("ENABLED", "on"),
        ("DISABLE_ALL", "hidden"),
        ("SOMETHING_NEW", "SOMETHING_NEW"),
        ({"status": "DISABLED"}, "off"),
        (
            {
                "status": "ENABLED",
                "timezone_id": "Europe/Berlin",
                "weekly_operating_hours": [
                    {"day_of_week": day, "open_time": "0900", "close_time": "1730"}
                    for day in ("MONDAY", "TUESDAY", "WEDNESDAY")
                ],
                "holiday_schedule": [{"date": "2026-12-25", "start_time": "0000", "end_time": "0001"}],
            },
            "Europe/Berlin: Mon-Wed 09:00-17:30; 1 special day",
        ),
    ],
)
def test_metas_words_become_ours(value: object, said: str) -> None:
    assert words(value) == said
