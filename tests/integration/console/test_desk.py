"""The agent desk: the call status on every page, the conversation, what an agent may do from it."""

import re
from collections.abc import AsyncIterator

import pytest

from ari_app.store.console.users import Role
from tests.integration.console.desk import Browser, Desk
from tests.integration.console.floor import NUMBER, USER, Floor

BEHIND = 1.0
PHONE_NUMBER_ID = "106"


@pytest.fixture
async def floor(desk: Desk) -> AsyncIterator[Floor]:
    made = Floor(desk)
    await made.clear()
    yield made
    await made.clear()
    await desk.fetch("UPDATE pbx.billing SET enabled = false")


@pytest.fixture
async def agent(desk: Desk, floor: Floor) -> Browser:
    """Ada's browser."""
    return await desk.signed_in(Role.AGENT, name="Ada", agent_id=await floor.agent("Ada"))


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


async def test_the_call_status_follows_the_call_on_every_page(desk: Desk, floor: Floor, agent: Browser) -> None:
    ada = await floor.agent("Ada")
    assert 'data-live="/events"' in (await agent.get("/account")).text
    async with agent.follow("/events") as stream:
        await stream.shows("call-status", "free")
        call = await floor.call()
        offer = await floor.rings(call, ada)
        html = await stream.shows("call-status", "Incoming call", within=BEHIND)
        assert "Zoë Müller +49 1511 2345678" in words(html)
        await floor.over(offer, "answered")
        await floor.talks(call, ada)
        await stream.shows("call-status", "In a Call", within=BEHIND)
        assert "data-since" in stream.parts["call-status"]
        await desk.fetch("UPDATE pbx.calls SET connected_at = now() - interval '75 seconds' WHERE id = $1", call)
        await floor.ends(call)
        html = await stream.shows("call-status", "Call Ended", within=BEHIND)
        assert "00:01:15" in html


@pytest.mark.parametrize("outcome", ["rejected", "missed", "cancelled"])
async def test_the_status_closes_when_the_phone_rings_no_longer(floor: Floor, agent: Browser, outcome: str) -> None:
    async with agent.follow("/events") as stream:
        call = await floor.call()
        offer = await floor.rings(call, await floor.agent("Ada"))
        await stream.shows("call-status", "Incoming call", within=BEHIND)
        await floor.over(offer, outcome)
        await stream.shows("call-status", "!Incoming call", within=BEHIND)


async def test_the_conversation_is_a_time_line_of_calls_and_invitations(
    desk: Desk, floor: Floor, agent: Browser
) -> None:
    ada = await floor.agent("Ada")
    answered = await floor.call(path=["group:Sales"])
    await floor.over(await floor.rings(answered, ada), "answered")
    await floor.talks(answered, ada, seconds=75)
    await floor.ends(answered)
    abandoned = await floor.call()
    await floor.over(await floor.rings(abandoned, ada), "cancelled")
    await floor.ends(abandoned, "User Abandon", reason="the caller hung up while Ada was ringing")
    missed = await floor.call()
    await floor.over(await floor.rings(missed, ada), "missed")
    await floor.ends(missed, "Voicemail")
    await desk.fetch(
        "INSERT INTO pbx.voicemails (id, call_id, number, file, seconds) VALUES (gen_random_uuid(), $1, $2, 'x', 12)",
        *(missed, NUMBER),
    )
    for state in ("accepted", "declined", "failed", "sent"):
        await desk.fetch(
            "INSERT INTO whatsapp.permission_requests (phone_number_id, user_key, state, requested_by, agent_id, "
            "error_code, error_text) VALUES ($1, $2, $3, 'Ada', $4, 131000, CASE $3 WHEN 'failed' THEN 'no way' END)",
            *(PHONE_NUMBER_ID, USER, state, ada),
        )
    text = words((await agent.get(f"/desk?user={USER}")).text)
    assert "Call Ended · 00:01:15" in text
    assert "User Abandon" in text
    assert "Ada missed it" in text
    assert "message of 00:00:12" in text
    for status in ("Accepted", "Declined", "Failed", "Invited"):
        assert f"Invited to call {status}" in text
    assert "no way (131000)" in text


async def test_agents_see_their_own_calls_only(desk: Desk, floor: Floor, agent: Browser) -> None:
    edsger = await floor.agent("Edsger")
    strange = await floor.call("Stranger", path=["group:Support"])
    await floor.talks(strange, edsger)
    await floor.ends(strange)
    await desk.fetch(
        "INSERT INTO whatsapp.permission_requests (phone_number_id, user_key, requested_by, agent_id) "
        "VALUES ($1, $2, 'Edsger', $3)",
        *(PHONE_NUMBER_ID, USER, edsger),
    )
    text = (await agent.get(f"/desk?user={USER}")).text
    assert "Stranger" not in text
    assert "Nothing yet" in text
    assert (await agent.post("/desk/notes", {"call": str(strange), "note": "mine"})).status == 404
    seen = [
        (await desk.signed_in(Role.SUPERVISOR, groups=("Support",)), True),
        (await desk.signed_in(Role.SUPERVISOR, groups=("Sales",)), False),
        (await desk.signed_in(Role.ADMINISTRATOR), True),
    ]
    for browser, sees in seen:
        text = (await browser.get(f"/desk?user={USER}")).text
        assert ("Stranger" in text) is sees
        assert ("Invited to call" in text) is sees
    unlinked = await desk.signed_in(Role.AGENT, agent_id=await floor.agent("Grace"))
    await desk.fetch("UPDATE console.users SET agent_id = NULL WHERE agent_id = $1", await floor.agent("Grace"))
    assert "Stranger" not in (await unlinked.get(f"/desk?user={USER}")).text


async def test_a_call_leads_to_its_record_where_the_reader_may_see_it(desk: Desk, floor: Floor, agent: Browser) -> None:
    call = await floor.call(path=["group:Sales"])
    link = f'href="/reports/records/{call}"'
    await floor.talks(call, await floor.agent("Ada"))
    assert link not in (await agent.get(f"/desk?user={USER}")).text
    await floor.ends(call)
    await desk.fetch(
        "UPDATE pbx.calls SET received_at = now() - interval '1 minute', connected_at = now() - interval '1 minute', "
        "ended_at = now() - interval '50 seconds' WHERE id = $1",
        call,
    )
    while (await desk.fetch("SELECT reports.refresh() AS n"))[0]["n"]:
        pass
    assert link in (await agent.get(f"/desk?user={USER}")).text
    assert (await agent.get(f"/reports/records/{call}")).status == 200
    supervisor = await desk.signed_in(Role.SUPERVISOR, groups=("Sales",))
    assert link in (await supervisor.get(f"/desk?user={USER}")).text
    stranger = await desk.signed_in(Role.SUPERVISOR, groups=("Support",))
    assert link not in (await stranger.get(f"/desk?user={USER}")).text


async def test_pause_login_and_logout(desk: Desk, floor: Floor, agent: Browser) -> None:
    ada = await floor.agent("Ada")

    async def state() -> tuple[bool, str | None]:
        row = (await desk.fetch("SELECT logged_in, pause_reason FROM pbx.agent_states WHERE agent_id = $1", ada))[0]
        return row["logged_in"], row["pause_reason"]

    await agent.get("/desk")
    async with agent.follow("/desk/events") as stream:
        assert "You are paused." in (await agent.post("/desk/state", {"what": "pause:Lunch"})).text
        await stream.shows("desk-state", "Lunch", within=BEHIND)
        assert await state() == (True, "Lunch")
        await agent.post("/desk/state", {"what": "resume"})
        assert await state() == (True, None)
        await agent.post("/desk/state", {"what": "logout"})
        await stream.shows("call-status", "logged out", within=BEHIND)
        await agent.post("/desk/state", {"what": "login"})
        assert await state() == (True, None)
    assert (await agent.post("/desk/state", {"what": "pause:<b>mine</b>"})).status == 400
    assert (await agent.post("/desk/state", {"what": "fly"})).status == 400
    await agent.get("/desk")
    await agent.post("/desk/call-back", {"wanted": "off"})
    assert (await desk.fetch("SELECT call_back FROM pbx.agents WHERE id = $1", ada))[0]["call_back"] is False
    await agent.post("/desk/call-back", {"wanted": "on"})


async def test_notes_and_wrap_up_codes(desk: Desk, floor: Floor, agent: Browser) -> None:
    ada = await floor.agent("Ada")
    boss = await desk.signed_in(Role.SUPERVISOR, groups=("Sales",))
    await boss.get("/wrap-up")
    await boss.post("/wrap-up", {"group": "Sales", "codes": "Order\n\n Complaint \n"})
    assert (await boss.post("/wrap-up", {"group": "Support", "codes": "Mine"})).status == 404
    assert (await boss.post("/wrap-up", {"group": "Sales", "codes": "A\nA"})).status == 422
    call = await floor.call()
    await floor.over(await floor.rings(call, ada), "answered")
    await floor.talks(call, ada)
    text = (await agent.get("/desk")).text
    assert re.findall(r'<option value="([^"]*)"', text.split('name="code"')[1].split("</select>")[0]) == [
        "",
        "Complaint",
        "Order",
    ]
    sent = {"call": str(call), "note": "wants <b>two</b>", "code": "Order", "user": USER}
    assert "The note is saved." in (await agent.post("/desk/notes", sent)).text
    text = (await agent.get(f"/desk?user={USER}")).text
    assert "wants &lt;b&gt;two&lt;/b&gt;" in text
    refused = await agent.post("/desk/notes", sent | {"code": "Unheard"})
    assert refused.status == 422
    assert "no longer on the list" in refused.text
    assert (await agent.post("/desk/notes", sent | {"note": "x" * 4001})).status == 422
    row = (await desk.fetch("SELECT note, code, written_by FROM pbx.call_notes"))[0]
    assert tuple(row) == ("wants <b>two</b>", "Order", "Ada")


async def test_an_invitation_and_a_call_are_wanted_of_bridge_and_application(
    desk: Desk, floor: Floor, agent: Browser
) -> None:
    """Numbers of the United States may not call; here another one may."""
    await agent.get("/desk")
    refused = await agent.post("/desk/invite", {"to": f"+{USER}"})
    assert refused.status == 422
    assert "United States" in words(refused.text) or "US" in words(refused.text)
    assert not await desk.fetch("SELECT 1 FROM whatsapp.permission_requests")
    await desk.fetch(
        "INSERT INTO whatsapp.numbers (phone_number_id, display_number, name) VALUES ('107', '4930901820', 'Berlin') "
        "ON CONFLICT DO NOTHING"
    )
    await desk.fetch(
        "INSERT INTO pbx.routes (number, calling_enabled) VALUES ('4930901820', true) ON CONFLICT DO NOTHING"
    )
    named = {"to": f"+{USER}", "number": "4930901820"}
    try:
        async with agent.follow(f"/desk/events?user={USER}") as stream:
            await stream.shows("desk-conversation", "Nothing yet")
            assert "invitation is on its way" in (await agent.post("/desk/invite", named)).text
            await stream.shows("desk-conversation", "Invited", within=BEHIND)
            assert "Your phone rings" in (await agent.post("/desk/call", named)).text
            await stream.shows("call-status", "Pick up to call", within=BEHIND)
            await desk.fetch(
                "UPDATE pbx.call_requests SET state = 'failed', ended_at = now(), reason = 'Ada did not answer in 25 s'"
            )
            await stream.shows("desk-call", "Ada did not answer in 25 s", within=BEHIND)
        invited = (await desk.fetch("SELECT * FROM whatsapp.permission_requests"))[0]
        assert (invited["user_key"], invited["phone_number_id"], invited["state"]) == (USER, "107", "wanted")
        assert invited["call_back_until"] is not None
        wanted = (await desk.fetch("SELECT * FROM pbx.call_requests"))[0]
        assert (wanted["user_key"], wanted["number"], wanted["origin"]) == (USER, "4930901820", "console")
        for typed, why in (
            ("+5352123456", "customers in CU may not be called"),
            ("12", "number"),
            ("+49 15", "number"),
            ("<b>", "number"),
        ):
            answer = await agent.post("/desk/call", named | {"to": typed})
            assert answer.status == 422
            assert why in words(answer.text).replace("Customers", "customers")
            assert "<b>" not in answer.text.split("desk-form")[0]
        await desk.fetch(
            "INSERT INTO whatsapp.permissions (phone_number_id, user_key, status, checked_at) "
            "VALUES ('107', $1, 'none', now())",
            USER,
        )
        answer = await agent.post("/desk/call", named)
        assert answer.status == 422
        assert "has not allowed calls: invite them first" in answer.text
        await desk.fetch("UPDATE pbx.routes SET calling_enabled = false WHERE number <> '4930901820'")
        await desk.fetch(
            "INSERT INTO pbx.rates (number, destination, price_per_minute, currency) "
            "VALUES ('4930901820', '*', 1, 'USD')"
        )
        await desk.fetch("UPDATE pbx.billing SET enabled = true")
        for where in ("/desk/call", "/desk/invite"):
            answer = await agent.post(where, named)
            assert answer.status == 422
            assert "Insufficient balance" in answer.text
    finally:
        await desk.fetch("UPDATE pbx.billing SET enabled = false")
        await desk.fetch("UPDATE pbx.routes SET calling_enabled = true")
        await desk.fetch(
            "TRUNCATE pbx.rates, pbx.call_requests, whatsapp.permission_requests, whatsapp.permissions CASCADE"
        )
        await desk.fetch("DELETE FROM pbx.routes WHERE number = '4930901820'")
        await desk.fetch("DELETE FROM whatsapp.numbers WHERE phone_number_id = '107'")
