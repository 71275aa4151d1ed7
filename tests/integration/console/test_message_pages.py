"""Voicemail in the console: heard, marked, deleted, by those whose groups it was left for; and reconciliation."""

import csv
import io
import uuid
from datetime import datetime

import asyncpg
import pytest

from ari_app.store.console.users import Role
from tests.integration.console.desk import Browser, Desk
from tests.integration.console.history import DAYS, VOICEMAIL, History, linkedid, write_tone


async def shows(browser: Browser, message: uuid.UUID, query: str = "") -> bool:
    answer = await browser.get(f"/reports/voicemail?{query}")
    assert answer.status == 200, answer.text
    return f'id="message-{message}"' in answer.text


async def test_a_message_is_heard_and_marked_and_phones_are_told(desk: Desk, history: History) -> None:
    browser = await desk.signed_in(Role.SUPERVISOR, groups=("Sales",))
    assert await shows(browser, history.message, "show=new")
    heard = await browser.get(f"/reports/voicemail/{history.message}/sound", headers={"Range": "bytes=0-3"})
    assert (heard.status, heard.text) == (206, "RIFF")
    told: list[object] = []
    listener = await asyncpg.connect(desk.dsn)
    await listener.add_listener("pbx_wanted", lambda *word: told.append(word[3]))
    done = await browser.post(f"/reports/voicemail/{history.message}/heard", {"heard": "yes"})
    assert "counts as heard" in done.text
    assert not await shows(browser, history.message, "show=new")
    assert await shows(browser, history.message)
    (row,) = await desk.fetch("SELECT heard_at FROM pbx.voicemails WHERE id = $1", history.message)
    await browser.post(f"/reports/voicemail/{history.message}/heard", {"heard": "yes"})
    (again,) = await desk.fetch("SELECT heard_at FROM pbx.voicemails WHERE id = $1", history.message)
    assert again["heard_at"] == row["heard_at"]
    await browser.post(f"/reports/voicemail/{history.message}/heard", {"heard": "no"})
    assert await shows(browser, history.message, "show=new")
    await listener.execute("SELECT 1")
    assert told == ["mailbox:Sales"] * 3
    await listener.close()


async def test_messages_are_for_the_groups_they_were_left_for(desk: Desk, history: History) -> None:
    (ada,) = await desk.fetch("SELECT id FROM pbx.agents WHERE endpoint = 'PJSIP/1001'")
    sales = [
        await desk.signed_in(Role.SUPERVISOR, groups=("Sales",)),
        await desk.signed_in(Role.AGENT, agent_id=ada["id"]),
    ]
    for browser in sales:
        assert await shows(browser, history.message)
        assert not await shows(browser, history.other_message)
        assert not await shows(browser, history.other_message, "group=Support")
        assert not await shows(browser, history.message, f"after={history.other_message}&group='%00")
        for action, fields in (("heard", {"heard": "yes"}), ("delete", {})):
            assert (await browser.post(f"/reports/voicemail/{history.other_message}/{action}", fields)).status == 404
        assert (await browser.get(f"/reports/voicemail/{history.other_message}/sound")).status == 404
    for browser in (await desk.signed_in(Role.ADMINISTRATOR), await desk.signed_in(Role.REPORTING)):
        assert await shows(browser, history.message)
        assert await shows(browser, history.other_message)
        assert (await browser.get(f"/reports/voicemail/{history.other_message}/sound")).status == 200
    nobody = await desk.signed_in(Role.SUPERVISOR)
    assert not await shows(nobody, history.message)
    (row,) = await desk.fetch("SELECT heard_at FROM pbx.voicemails WHERE id = $1", history.other_message)
    assert row["heard_at"] is None
    await desk.fetch("UPDATE console.users SET agent_id = NULL")


async def test_a_deleted_message_is_gone_with_its_file_and_the_audit_knows(desk: Desk, history: History) -> None:
    message, file = uuid.uuid4(), desk.folders.voicemail_folder / "short-lived.wav"
    write_tone(file, channels=1)
    await desk.fetch(VOICEMAIL, message, "Sales", str(file), linkedid(7))
    reader = await desk.signed_in(Role.REPORTING)
    await reader.get("/reports/voicemail")
    assert (await reader.post(f"/reports/voicemail/{message}/delete")).status == 403
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/reports/voicemail")
    assert (await browser.post(f"/reports/voicemail/{message}/delete", token="forged")).status == 403
    assert file.exists()
    done = await browser.post(f"/reports/voicemail/{message}/delete")
    assert "is deleted" in done.text
    assert not file.exists()
    assert not await desk.fetch("SELECT FROM pbx.voicemails WHERE id = $1", message)
    assert await desk.fetch("SELECT FROM console.audit WHERE kind = 'voicemail' AND subject = $1", str(message))
    assert (await browser.post(f"/reports/voicemail/{message}/delete")).status == 404


async def test_a_long_list_of_messages_has_pages(desk: Desk, history: History) -> None:
    file = str(desk.folders.voicemail_folder / f"{history.message}.wav")
    made = [uuid.uuid4() for _ in range(60)]
    for n, message in enumerate(made, start=8):
        await desk.fetch(VOICEMAIL, message, "Sales", file, linkedid(n))
    browser = await desk.signed_in(Role.SUPERVISOR, groups=("Sales",))
    first = (await browser.get("/reports/voicemail")).text
    older = first.split('rel="next" href="')[1].split('"')[0]
    second = (await browser.get(older)).text
    shown = [[str(message) for message in made if f'id="message-{message}"' in text] for text in (first, second)]
    assert sorted(shown[0] + shown[1]) == sorted(map(str, made))
    assert set(shown[0]) >= {str(message) for message in made[-40:]}
    assert 'rel="next"' not in second
    await desk.fetch("DELETE FROM pbx.voicemails WHERE id = ANY ($1)", made)


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.REPORTING])
async def test_reconciliation_shows_what_does_not_fit_and_why(desk: Desk, history: History, role: Role) -> None:
    browser = await desk.signed_in(role)
    await desk.fetch(
        'INSERT INTO cdr.cdr (linkedid, uniqueid, calldate, start, "end", disposition, dst, sequence, billsec, '
        "whatsapp_call_id) VALUES ('odd/1', 'odd/1', $1, $1, $1, 'ANSWERED', '100', 1, 61, '=cmd|<b>')",
        datetime.fromisoformat("2026-03-29T05:00:00+00:00"),
    )
    text = (await browser.get(f"/reports/reconciliation?{DAYS}")).text
    assert "CDR without Meta call" in text
    assert "the bridge never heard of this call" in text
    assert "00:01:01" in text
    assert "=cmd|&lt;b&gt;" in text
    assert 'href="/reports/records/odd%2F1"' in text
    sheet = (await browser.get(f"/reports/reconciliation.csv?{DAYS}")).text
    found = [row for row in csv.DictReader(io.StringIO(sheet)) if row["linkedid"] == "odd/1"]
    assert [row["kind"] for row in found] == ["CDR without Meta call"]
    elsewhere = (await browser.get("/reports/reconciliation?since=2019-01-01&until=2019-01-02")).text
    assert "All of one mind" in elsewhere
    await desk.fetch("DELETE FROM cdr.cdr WHERE linkedid = 'odd/1'")
