"""The live page: what goes on is there within a second, and only for those whose groups it is about."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

import pytest

from ari_app.store.console.users import Role
from tests.integration.console.desk import Desk
from tests.integration.console.floor import Floor

#: Where the day begins 11 and 25 hours apart.
ZONES = ("Pacific/Kiritimati", "America/New_York")

#: "≤ 1 s behind reality".
BEHIND = 1.0


@pytest.fixture
async def floor(desk: Desk) -> AsyncIterator[Floor]:
    made = Floor(desk)
    await made.clear()
    yield made
    await made.clear()


async def test_the_page_shows_who_waits_who_talks_and_how_agents_stand(desk: Desk, floor: Floor) -> None:
    ada, grace = await floor.agent("Ada"), await floor.agent("Grace")
    first, second = await floor.call("First"), await floor.call("Second", "4915100000002")
    await floor.waits(second, seconds=5)
    await floor.waits(first, seconds=30)
    await floor.rings(first, grace)
    talking = await floor.call("Talker", "4915100000003", path=["group:Sales"])
    await floor.over(await floor.rings(talking, ada), "answered")
    await floor.talks(talking, ada, seconds=65)
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    text = (await browser.get("/live")).text
    waiting = text.split('id="live-waiting"')[1].split("</tbody>")[0]
    assert re.findall(r"First|Second", waiting)[0] == "First"
    assert re.findall(r'class="place">(\d)', waiting) == ["1", "2"]
    assert "Grace" in waiting  # whose phone rings
    calls = text.split('id="live-calls"')[1].split("</tbody>")[0]
    assert "Talker" in calls
    assert "First" not in calls
    assert "data-since" in calls
    agents = re.sub(r"<[^>]+>", " ", text.split('id="live-agents"')[1].split("</ul>")[0])
    assert re.search(r"Ada .*talking", agents, re.S)
    assert re.search(r"Grace .*ringing", agents, re.S)
    assert re.search(r"Edsger .*free", agents, re.S)


async def test_today_is_the_readers_day(desk: Desk, floor: Floor) -> None:
    """A call right after midnight is one of today there, and one of yesterday where the day began later."""
    ada = await floor.agent("Ada")
    call = await floor.call(path=["group:Sales"])
    await floor.over(await floor.rings(call, ada), "answered")
    await floor.talks(call, ada)
    await floor.ends(call)
    now = (await desk.fetch("SELECT now() AS now"))[0]["now"]
    began = {zone: now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=1) for zone in ZONES}
    later, earlier = sorted(ZONES, key=lambda zone: began[zone], reverse=True)
    await desk.fetch(
        "UPDATE pbx.calls SET received_at = $1, queued_at = $1, connected_at = $1, ended_at = $1, linkedid = 'z' "
        "WHERE id = $2",
        *(began[earlier], call),
    )
    await desk.fetch("SELECT reports.refresh()")
    for zone, answered in ((earlier, 1), (later, 0)):
        browser = await desk.signed_in(Role.ADMINISTRATOR)
        browser.plant("aw_zone", zone.replace("/", "%2F"))
        text = (await browser.get("/live")).text
        assert f"Since midnight ({zone})" in text
        tile = re.sub(r"<[^>]+>", " ", text.split('id="t-answered"')[1].split('id="t-abandoned"')[0])
        assert re.search(rf"Answered today\s+{answered}\s", tile), (zone, tile)
    stranger = await desk.signed_in(Role.ADMINISTRATOR)
    stranger.plant("aw_zone", "../../etc/passwd")
    assert "Since midnight (UTC)" in (await stranger.get("/live")).text


async def test_changes_come_within_a_second(desk: Desk, floor: Floor) -> None:
    ada = await floor.agent("Ada")
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    async with browser.follow("/live/events") as stream:
        await stream.shows("live-calls", "No call is going on")
        call = await floor.call()
        await floor.waits(call)
        await stream.shows("live-waiting", "Zoë Müller", within=BEHIND)
        offer = await floor.rings(call, ada)
        await stream.shows("live-agents", "ringing", within=BEHIND)
        await floor.over(offer, "answered")
        await floor.talks(call, ada)
        await stream.shows("live-calls", "Zoë Müller", within=BEHIND)
        await stream.shows("live-waiting", "Nobody waits", within=BEHIND)
        await floor.ends(call)
        await stream.shows("live-calls", "No call is going on", within=BEHIND)
        await desk.fetch("UPDATE pbx.agent_states SET pause_reason = 'Lunch' WHERE agent_id = $1", ada)
        await stream.shows("live-agents", "Lunch", within=BEHIND)
        await desk.fetch("INSERT INTO pbx.device_states VALUES ('PJSIP/1002', 'UNAVAILABLE')")
        await stream.shows("live-agents", "phone unreachable", within=BEHIND)


async def test_a_supervisor_sees_only_the_calls_and_agents_of_the_groups(desk: Desk, floor: Floor) -> None:
    edsger = await floor.agent("Edsger")
    sales, support = await floor.call("Buyer"), await floor.call("Asker", "4915100000002")
    await floor.waits(sales, "Sales")
    await floor.waits(support, "Support")
    outbound = await floor.call("Callee", "4915100000003", direction="outbound", state="dialing", agent_id=edsger)
    for groups, seen in ((("Sales",), ["Buyer"]), (("Support",), ["Asker", "Callee"]), ((), [])):
        browser = await desk.signed_in(Role.SUPERVISOR, groups=groups)
        text = (await browser.get("/live")).text
        assert [name for name in ("Buyer", "Asker", "Callee") if name in text] == seen
        assert ("Edsger" in text) is ("Support" in groups)
        async with browser.follow("/live/events") as stream:
            await stream.shows("live-groups", "Support" if "Support" in groups else "!Support")
            everything = "".join(stream.parts.values())
            assert [name for name in ("Buyer", "Asker", "Callee") if name in everything] == seen
    stranger = await desk.signed_in(Role.SUPERVISOR, groups=("Sales",), agent_id=await floor.agent("Grace"))
    await stranger.get("/live")
    answer = await stranger.post("/live/orders", {"order": f"hangup:{outbound}"})
    assert "This call is over." in answer.text
    assert not await desk.fetch("SELECT 1 FROM pbx.orders")


async def test_orders_go_to_the_application_and_into_the_audit(desk: Desk, floor: Floor) -> None:
    ada, grace = await floor.agent("Ada"), await floor.agent("Grace")
    call, waiting = await floor.call(path=["group:Sales"]), await floor.call("Waiter", "4915100000002")
    await floor.talks(call, ada)
    await floor.waits(waiting)
    nobody = await desk.signed_in(Role.SUPERVISOR, groups=("Sales",))
    await nobody.get("/live")
    assert "No phone is yours" in (await nobody.post("/live/orders", {"order": f"listen:{call}"})).text
    boss = await desk.signed_in(Role.SUPERVISOR, groups=("Sales",), agent_id=grace)
    await boss.get("/live")
    assert "nobody talks in it yet" in (await boss.post("/live/orders", {"order": f"listen:{waiting}"})).text
    assert "Your phone rings" in (await boss.post("/live/orders", {"order": f"whisper:{call}"})).text
    assert "with a call already" in (await boss.post("/live/orders", {"order": f"barge:{call}"})).text
    assert "hung up" in (await boss.post("/live/orders", {"order": f"hangup:{waiting}"})).text
    assert (await boss.post("/live/orders", {"order": f"dance:{call}"})).status == 400
    assert (await boss.post("/live/orders", {"order": "listen:'; DROP TABLE pbx.orders"})).status == 200
    orders = await desk.fetch("SELECT kind, call_id, agent_id, state FROM pbx.orders ORDER BY wanted_at")
    assert [(o["kind"], o["call_id"], o["agent_id"], o["state"]) for o in orders] == [
        ("whisper", call, grace, "wanted"),
        ("hangup", waiting, None, "wanted"),
    ]
    audited = await desk.fetch("SELECT subject, after FROM console.audit WHERE action = 'ordered' ORDER BY id")
    assert [row["subject"] for row in audited] == [str(call), str(waiting)]
    async with boss.follow("/live/events") as stream:
        await stream.shows("live-orders", "Your phone rings")
        await desk.fetch("UPDATE pbx.orders SET state = 'active', active_at = now() WHERE kind = 'whisper'")
        await stream.shows("live-orders", "You whisper in the call with Zoë Müller", within=BEHIND)
        await desk.fetch(
            "UPDATE pbx.orders SET state = 'failed', ended_at = now(), reason = 'nobody picked up' "
            "WHERE kind = 'whisper'"
        )
        await stream.shows("live-orders", "nobody picked up", within=BEHIND)
    other = await desk.signed_in(Role.ADMINISTRATOR)
    assert "nobody picked up" not in (await other.get("/live")).text


async def test_names_of_callers_are_text_and_nothing_else(desk: Desk, floor: Floor) -> None:
    call = await floor.call("<img src=x onerror=alert(1)>", user="'\"><b>")
    await floor.waits(call)
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    assert "<img src=x" not in (await browser.get("/live")).text
    async with browser.follow("/live/events") as stream:
        html = await stream.shows("live-waiting", "onerror")
        assert "<img" not in html
        assert "<b>" not in html


async def test_a_stream_ends_with_the_session(desk: Desk, floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ari_app.console.following.HEARTBEAT", 0.2)
    user, browser = await desk.add_user(Role.ADMINISTRATOR), desk.browser()
    await browser.sign_in(user.login)
    async with browser.follow("/live/events") as stream:
        await stream.shows("live-calls", "No call")
        await desk.fetch("DELETE FROM console.sessions WHERE user_id = $1", user.id)
        await stream.ends()


async def test_two_hundred_calls_are_shown_within_a_second(desk: Desk, floor: Floor) -> None:
    """Two viewers, and a change every 300 ms. What it costs, tests/bench/live_page.py measures."""
    ada = await floor.agent("Ada")
    calls = [await floor.call(f"Caller {n}", str(491510000000 + n), path=["group:Sales"]) for n in range(200)]
    for call in calls[:150]:
        await floor.talks(call, ada)
    for call in calls[150:]:
        await floor.waits(call)
    browsers = [await desk.signed_in(Role.ADMINISTRATOR) for _ in range(2)]
    async with browsers[0].follow("/live/events") as one, browsers[1].follow("/live/events") as two:
        await one.shows("live-calls", "Caller 149")
        await two.shows("live-calls", "Caller 149")
        behind: list[float] = []
        began = time.perf_counter()
        for turn in range(12):
            name = f"Changed {turn}"
            await desk.fetch(
                "UPDATE pbx.calls SET caller_name = $2, path = path || 'step'::text WHERE id = $1", calls[turn], name
            )
            changed = time.perf_counter()
            await one.shows("live-calls", name)
            behind.append(time.perf_counter() - changed)
            await two.shows("live-calls", name)
            if (left := began + 0.3 * (turn + 1) - time.perf_counter()) > 0:
                await asyncio.sleep(left)
    assert max(behind) < BEHIND
