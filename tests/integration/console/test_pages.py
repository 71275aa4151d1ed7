"""The configuration pages: what a form changes, and what it refuses."""

import json
from typing import Any

import pytest

from ari_app.store.console.users import Role
from tests.integration.console.desk import Answer, Browser, Desk

EVIL = '<img src=x onerror="alert(1)">'


def stamp(text: str, action: str | None = None) -> str:
    """Of the page's form with this action, or of its first one."""
    part = text if action is None else text.split(f'action="{action}"')[1]
    return part.split('name="stamp" value="')[1].split('"')[0]


async def edit(browser: Browser, path: str, fields: dict[str, Any], *, to: str | None = None) -> Answer:
    """Open a page and send its form with these fields."""
    opened = await browser.get(path)
    assert opened.status == 200, opened.text
    return await browser.post(to or path, {"stamp": stamp(opened.text, to), **fields})


async def test_an_agent_is_added_changed_and_removed(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/agents/new")
    new = {"endpoint": "PJSIP/1050", "name": "Barbara", "extension": "1050", "voip_only": "true", "enabled": "true"}
    assert (await browser.post("/agents/new", new)).path == "/agents"
    answer = await edit(browser, "/agents/PJSIP/1050", {"name": "Barbara L.", "extension": ""})
    assert "Barbara L." in answer.text
    (row,) = await desk.fetch("SELECT * FROM pbx.agents WHERE endpoint = 'PJSIP/1050'")
    assert (row["name"], row["extension"], row["voip_only"], row["enabled"]) == ("Barbara L.", None, False, False)
    gone = await edit(browser, "/agents/PJSIP/1050", {}, to="/agents/PJSIP/1050/remove")
    assert "is removed" in gone.text
    assert not await desk.fetch("SELECT FROM pbx.agents WHERE endpoint = 'PJSIP/1050'")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "it must have 1 to 128"),
        ({"extension": "1002"}, "is that of"),
        ({"extension": "12a"}, "is not an extension"),
        ({"endpoint": "nonsense"}, "what Asterisk dials"),
        ({"endpoint": "PJSIP/1001"}, "already"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_lost(
    desk: Desk, fields: dict[str, str], said: str
) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/agents/new")
    typed = {"endpoint": "PJSIP/1077", "name": "Typed Name", "enabled": "true", **fields}
    answer = await browser.post("/agents/new", typed)
    assert answer.status in (409, 422)
    assert said in answer.text
    if answer.status == 422:
        assert 'aria-invalid="true"' in answer.text
        assert fields.get("name", "Typed Name") in answer.text
    assert not await desk.fetch("SELECT FROM pbx.agents WHERE endpoint = 'PJSIP/1077'")


async def test_a_group_has_members_with_priorities(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/groups/new")
    fields = {
        "name": "Night & <Day>",
        "member": ["PJSIP/1001", "PJSIP/1003", ""],
        "priority": ["1", "2", ""],
        "strategy": "linear",
        "ring_seconds": "15",
        "no_agent": "dialplan:",
        "no_agent__dialplan": "internal,600",
        "music_class": "default",
    }
    assert (await browser.post("/groups/new", fields)).path == "/groups"
    rows = await desk.fetch(
        "SELECT a.endpoint, m.priority FROM pbx.group_members m JOIN pbx.agents a ON a.id = agent_id "
        "WHERE group_name = 'Night & <Day>' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("PJSIP/1001", 1), ("PJSIP/1003", 2)]
    opened = await browser.get("/groups/Night%20%26%20%3CDay%3E")
    assert "Night &amp; &lt;Day&gt;" in opened.text
    assert "internal,600" in opened.text
    wrong = await edit(
        browser, "/groups/Night%20%26%20%3CDay%3E", fields | {"ring_seconds": "soon", "no_agent": "group:Gone"}
    )
    assert wrong.status == 422
    assert "is not a whole number" in wrong.text
    assert "There is no group" in wrong.text
    await edit(browser, "/groups/Night%20%26%20%3CDay%3E", {}, to="/groups/Night%20%26%20%3CDay%3E/remove")
    assert not await desk.fetch("SELECT FROM pbx.groups WHERE name LIKE 'Night%'")


async def test_what_is_in_use_is_not_removed_and_it_is_said_where(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    for path, said in (("/groups/Sales", "15550783881"), ("/ivr/Help", "Welcome"), ("/groups/Support", "Help")):
        answer = await edit(browser, path, {}, to=f"{path}/remove")
        assert answer.status == 422
        assert said in answer.text
    assert len(await desk.fetch("SELECT FROM pbx.groups WHERE name IN ('Sales', 'Support')")) == 2


async def test_two_who_edit_the_same_thing_do_not_undo_each_other(desk: Desk) -> None:
    first, second = await desk.signed_in(Role.ADMINISTRATOR), await desk.signed_in(Role.ADMINISTRATOR)
    opened = stamp((await first.get("/agents/PJSIP/1003")).text)
    assert (await edit(second, "/agents/PJSIP/1003", {"name": "Edsger D.", "enabled": "true"})).status == 200
    late = await first.post("/agents/PJSIP/1003", {"stamp": opened, "name": "Edsger W.", "enabled": "true"})
    assert late.status == 409
    assert "Somebody else has changed this" in late.text
    (row,) = await desk.fetch("SELECT name FROM pbx.agents WHERE endpoint = 'PJSIP/1003'")
    assert row["name"] == "Edsger D."


async def test_a_menu_is_edited_and_drawn(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/ivr/new")
    fields = {
        "name": "Third",
        "prompt": "other:",
        "prompt__other": "digits/1",
        "digits": ["1", "42", ""],
        "to": ["group:Sales", "back", ""],
        "to__dialplan": ["", "", ""],
        "no_input": "voicemail:Sales",
    }
    added = await browser.post("/ivr/new", fields)
    assert added.path == "/ivr/Third"
    assert "<svg" in added.text
    assert "Voicemail of Sales" in added.text
    rows = await desk.fetch("SELECT digits, destination FROM pbx.menu_options WHERE menu = 'Third' ORDER BY 1")
    assert [tuple(row) for row in rows] == [("1", "group:Sales"), ("42", "back")]
    (row,) = await desk.fetch("SELECT prompt FROM pbx.menus WHERE name = 'Third'")
    assert row["prompt"] == "sound:digits/1"
    wrong = await edit(browser, "/ivr/Third", fields | {"digits": ["1x"], "to": ["menu:Nowhere"]})
    assert wrong.status == 422
    assert "1x" in wrong.text
    loop = await edit(browser, "/ivr/Third", fields | {"no_input": "menu:Third"})
    assert "never get out of this circle" in loop.text
    whole = await browser.get("/ivr")
    assert 'aria-label="The way of callers of +49 30 123456"' in whole.text
    await edit(browser, "/ivr/Third", {}, to="/ivr/Third/remove")


async def test_business_hours_have_two_intervals_a_day_and_holidays(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    fields = {
        "time_zone": "America/Sao_Paulo",
        "monday_1_opens": "08:00",
        "monday_1_closes": "12:00",
        "monday_2_opens": "13:00",
        "monday_2_closes": "00:00",
        "holiday": ["2026-12-25", "2026-12-31", ""],
        "holiday_opens": ["", "09:00", ""],
        "holiday_closes": ["", "12:00", ""],
    }
    await browser.get("/hours/new")
    assert (await browser.post("/hours/new", fields | {"name": "Brazil"})).path == "/hours"
    rows = await desk.fetch(
        "SELECT weekday, opens::text, closes::text FROM pbx.schedule_hours WHERE schedule = 'Brazil'"
    )
    assert sorted(map(tuple, rows)) == [(1, "08:00:00", "12:00:00"), (1, "13:00:00", "24:00:00")]
    rows = await desk.fetch("SELECT day::text, opens::text FROM pbx.holidays WHERE schedule = 'Brazil' ORDER BY day")
    assert [tuple(row) for row in rows] == [("2026-12-25", None), ("2026-12-31", "09:00:00")]
    for name, value, said in (
        ("time_zone", "Europe/Nowhere", "is no time zone"),
        ("monday_1_closes", "", "is no interval"),
        ("monday_1_closes", "14:00", "overlap"),
    ):
        wrong = await edit(browser, "/hours/Brazil", fields | {name: value})
        assert wrong.status == 422
        assert said in wrong.text
    await edit(browser, "/hours/Brazil", {}, to="/hours/Brazil/remove")


async def test_a_number_is_set_up_from_nothing(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/channels/new")
    new = {"number": "+49 (30) 555-0100", "phone_number_id": "4711", "name": "Berlin", "groups": "Sales"}
    added = await browser.post("/channels/new", new)
    assert added.path == "/channels/49305550100/incoming"
    base = "/channels/49305550100"
    incoming = {"incoming": "agent_group", "groups": ["Support", "Sales", ""], "together": "true", "name": "Berlin"}
    await edit(browser, f"{base}/incoming", incoming | {"phone_number_id": "4711"})
    rows = await desk.fetch("SELECT group_name FROM pbx.route_groups WHERE number = '49305550100' ORDER BY position")
    assert [row["group_name"] for row in rows] == ["Support", "Sales"]
    await edit(browser, f"{base}/hours", {"has_hours": "true", "schedule": "", "time_zone": "Europe/Berlin"})
    opened = await browser.get(f"{base}/hours")
    assert "Hours of 49305550100" in opened.text
    await edit(
        browser, f"{base}/calls", {"recording": "true", "recording_days": "30", "max_calls": "5", "priority": "3"}
    )
    targets = {
        "host": ["sip.example.com", "10.0.0.7", ""],
        "port": ["5061", "", ""],
        "transport": ["tls", "udp", "udp"],
        "incoming": ["agent_group", "ivr", "agent_group"],
        "priority": ["", "2", ""],
        "weight": ["", "", ""],
        "max_calls": ["", "", ""],
        "voip_only": ["true", "false", "true"],
    }
    assert (await edit(browser, f"{base}/sip", targets)).status == 200
    rows = await desk.fetch("SELECT host, port, priority, voip_only FROM pbx.sip_targets WHERE number = '49305550100'")
    assert sorted(map(tuple, rows)) == [("10.0.0.7", 5060, 2, False), ("sip.example.com", 5061, 1, True)]
    twice = {name: [values[0]] * 2 for name, values in targets.items()}
    wrong = await edit(browser, f"{base}/sip", twice)
    assert wrong.status == 422
    assert "is here twice" in wrong.text
    six = {name: [f"10.0.0.{n}" if name == "host" else values[1] for n in range(6)] for name, values in targets.items()}
    assert "5 SIP targets at most" in (await edit(browser, f"{base}/sip", six)).text
    (row,) = await desk.fetch("SELECT * FROM pbx.routes WHERE number = '49305550100'")
    assert row["schedule"] == "Hours of 49305550100"
    assert (row["recording_days"], row["max_calls"], row["priority"]) == (30, 5, 3)
    assert row["groups_together"] is True
    none = await edit(browser, f"{base}/incoming", {"incoming": "none", "phone_number_id": "4711", "name": "Berlin"})
    assert none.status == 200
    assert not await desk.fetch("SELECT FROM pbx.routes WHERE number = '49305550100'")
    assert (await browser.get(f"{base}/sip")).status == 404
    listed = await browser.get("/channels")
    remove = f"{base}/remove"
    assert (await browser.post(remove, {"stamp": stamp(listed.text, remove)})).status == 200
    assert not await desk.fetch("SELECT FROM whatsapp.numbers WHERE phone_number_id = '4711'")


async def test_allow_voice_calling_is_one_click_and_is_audited(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    path = "/channels/15550783881/calling"
    for on in (False, True):
        listed = await browser.get("/channels")
        fields = {"stamp": stamp(listed.text, path)} | ({"calling_enabled": "true"} if on else {})
        assert (await browser.post(path, fields)).status == 200
        (row,) = await desk.fetch("SELECT calling_enabled FROM pbx.routes WHERE number = '15550783881'")
        assert row["calling_enabled"] is on
    rows = await desk.fetch(
        "SELECT before, after FROM console.audit WHERE subject = '15550783881' ORDER BY id DESC LIMIT 1"
    )
    assert json.loads(rows[0]["before"]) == {"calling_enabled": "false"}
    assert json.loads(rows[0]["after"]) == {"calling_enabled": "true"}


async def test_voice_calling_needs_a_quotation_while_calls_cost_money(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    path = "/channels/15550783881/calling"
    listed = await browser.get("/channels")
    await browser.post(path, {"stamp": stamp(listed.text, path)})
    settings = {
        "enabled": "true",
        "end_calls": "true",
        "reserve_seconds": "60",
        "warn_seconds": "15",
        "currency": "EUR",
    }
    await browser.get("/money")
    assert (await browser.post("/money/settings", settings)).status == 200
    listed = await browser.get("/channels")
    refused = await browser.post(path, {"stamp": stamp(listed.text, path), "calling_enabled": "true"})
    assert refused.status == 409
    assert "before its quotation exists" in refused.text
    await browser.get("/money")
    rate = {"number": "15550783881", "destination": "", "price": "0.02", "first": "6", "next": "6"}
    assert (await browser.post("/money/rates", rate)).status == 200
    listed = await browser.get("/channels")
    done = await browser.post(path, {"stamp": stamp(listed.text, path), "calling_enabled": "true"})
    assert done.status == 200
    await browser.get("/money")
    settings.pop("enabled")
    assert (await browser.post("/money/settings", settings)).status == 200


async def test_money_is_booked_to_the_cent_and_the_ledger_names_who(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.ADMINISTRATOR), desk.browser()
    await browser.sign_in(user.login)
    await browser.get("/money")
    done = await browser.post("/money/book", {"kind": "top_up", "amount": "12.50", "note": EVIL})
    assert "12.50" in done.text
    assert EVIL not in done.text
    for amount, said in (("x", "An amount"), ("0", "An amount"), ("-1", "more than 0"), ("1e99", "An amount")):
        wrong = await browser.post("/money/book", {"kind": "top_up", "amount": amount})
        assert wrong.status == 422
        assert said in wrong.text
    over = await browser.post("/money/book", {"kind": "correction", "amount": "-99"})
    assert over.status == 422
    assert "has only 12.5" in over.text
    assert (await browser.post("/money/book", {"kind": "correction", "amount": "-12.5"})).status == 200
    rows = await desk.fetch("SELECT amount, made_by FROM pbx.ledger ORDER BY entry")
    assert [(float(row["amount"]), row["made_by"]) for row in rows] == [(12.5, user.login), (-12.5, user.login)]


async def test_names_are_text_wherever_they_are_shown(desk: Desk) -> None:
    """XSS by whatever people may name."""
    browser = await desk.signed_in(Role.ADMINISTRATOR, name=EVIL)
    await browser.get("/agents/new")
    await browser.post("/agents/new", {"endpoint": "PJSIP/1066", "name": EVIL, "enabled": "true"})
    await browser.get("/groups/new")
    group = f'Evil "{EVIL}" group'
    await browser.post("/groups/new", {"name": group, "member": "PJSIP/1066", "priority": "1"})
    pages = [
        "/agents",
        "/groups",
        "/users",
        "/audit",
        "/account",
        "/agents/PJSIP/1066",
        "/channels/15550783881/incoming",
    ]
    for path in pages:
        text = (await browser.get(path)).text
        assert "<img" not in text, path
        assert "&lt;img" in text, path
    wrong = await browser.post("/groups/new", {"name": group, "ring_seconds": EVIL})
    assert "<img" not in wrong.text


async def test_the_audit_shows_before_and_after_and_takes_no_orders(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await edit(
        browser, "/agents/PJSIP/1002", {"name": "Grace H.", "extension": "1002", "voip_only": "true", "enabled": "true"}
    )
    shown = await browser.get("/audit?kind=agent&subject=1002")
    assert "<del>Grace</del>" in shown.text
    assert "<ins>Grace H.</ins>" in shown.text
    injection = "'; DROP TABLE console.audit; --"
    for name in ("actor", "kind", "subject", "since", "until", "before"):
        answer = await browser.get(f"/audit?{name}={injection.replace(' ', '%20').replace(';', '%3B')}")
        assert answer.status == 200, name
    assert await desk.fetch("SELECT FROM console.audit LIMIT 1")
    with pytest.raises(Exception, match="only ever added to"):
        await desk.fetch("DELETE FROM console.audit")


async def test_the_last_administrator_cannot_be_lost(desk: Desk) -> None:
    user, browser = await desk.add_user(Role.ADMINISTRATOR), desk.browser()
    await browser.sign_in(user.login)
    await browser.get(f"/users/{user.id}")
    own = await browser.post(f"/users/{user.id}", {"name": "Me", "role": "reporting", "enabled": "true"})
    assert own.status == 422
    assert "take your own rights away" in own.text


async def test_a_user_is_added_with_a_password_that_is_shown_once(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/users/new")
    agents = await desk.fetch("SELECT id FROM pbx.agents WHERE endpoint = 'PJSIP/1001'")
    fields = {
        "login": "ada@example.com",
        "name": "Ada",
        "role": "agent",
        "agent_id": str(agents[0]["id"]),
        "enabled": "true",
    }
    lacking = await browser.post("/users/new", fields | {"agent_id": ""})
    assert "needs an agent" in lacking.text
    added = await browser.post("/users/new", fields)
    password = added.text.split('<p class="secret">')[1].split("<")[0]
    ada = desk.browser()
    assert (await ada.sign_in("ada@example.com", password)).path == "/account/password"
    again = await browser.post("/users/new", fields | {"login": "other"})
    assert "another user is this agent already" in again.text
