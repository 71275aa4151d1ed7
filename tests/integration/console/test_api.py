"""The JSON API: who may do what, and that it does what the pages do."""

import asyncio
import re
import uuid
import wave
from decimal import Decimal
from io import BytesIO

import pytest

from ari_app.console.api.door import LIMIT, STRANGERS
from ari_app.console.api.limits import Buckets
from ari_app.console.api.operations import Operation
from ari_app.console.api.routing import operations
from ari_app.store.console.users import Role
from tests.integration.console.desk import Desk
from tests.integration.console.floor import Floor
from tests.integration.console.history import History
from tests.integration.console.programs import program, stranger, token_of

#: The role was let through: what was asked is not there, not understood, or done.
LET_THROUGH = {200, 201, 204, 404, 409, 415, 422}


def filled_in(operation: Operation) -> str:
    """With names that nothing has."""
    parts = {"number": "999", "id": str(uuid.UUID(int=0)), "technology": "PJSIP", "delivery": "999999"}
    return re.sub(r"\{([a-z]+)\}", lambda found: parts.get(found[1], "nothing"), operation.path)


@pytest.mark.parametrize("role", [None, *Role], ids=str)
async def test_each_role_may_do_what_is_declared_and_nothing_else(desk: Desk, role: Role | None) -> None:
    """The matrix: every operation, as each role asks for it, and nobody."""
    asks = stranger(desk) if role is None else await program(desk, role)
    wrong = []
    for one in operations():
        answer = await asks(one.method, filled_in(one), {"no": "sense"} if one.body is not None else None)
        if role is None:
            allowed = answer.status == 401
        elif role in one.roles:
            allowed = answer.status in LET_THROUGH
        else:
            allowed = answer.status == 403
        if not allowed:
            wrong.append((one.method, one.path, answer.status, answer.text[:200]))
    assert not wrong


async def test_tokens_that_are_worth_nothing(desk: Desk) -> None:
    """Revoked, run out, of a disabled user, of somebody whose role has changed, and invented ones."""
    user = await desk.add_user(Role.SUPERVISOR)
    tokens = [await token_of(desk, user) for _ in range(3)]
    ask = [stranger(desk, token) for token in tokens]
    assert [(await one("GET", "/me")).status for one in ask] == [200, 200, 200]
    by_age = "(SELECT id FROM console.tokens WHERE user_id = $1 ORDER BY created_at LIMIT 1 OFFSET {})"
    await desk.fetch(f"UPDATE console.tokens SET revoked_at = now() WHERE id = {by_age.format(0)}", user.id)
    await desk.fetch(f"UPDATE console.tokens SET expires_at = now() WHERE id = {by_age.format(1)}", user.id)
    assert [(await one("GET", "/me")).status for one in ask] == [401, 401, 200]
    await desk.fetch("UPDATE console.users SET role = 'reporting' WHERE id = $1", user.id)
    assert (await ask[2]("GET", "/me")).error == "no_token"
    await desk.fetch("UPDATE console.users SET role = 'supervisor', enabled = false WHERE id = $1", user.id)
    assert (await ask[2]("GET", "/me")).status == 401
    for invented in ("aw_" + "x" * 43, "aw_", tokens[2][:-1], "x" * 5000):
        assert (await stranger(desk, invented)("GET", "/me")).status == 401


async def test_the_database_does_not_have_the_token(desk: Desk) -> None:
    asks = await program(desk, Role.REPORTING)
    assert (await asks("GET", "/me")).json["role"] == "reporting"
    rows = await desk.fetch("SELECT * FROM console.tokens")
    assert asks.token.removeprefix("aw_") not in str([dict(row) for row in rows])
    assert any(row["last_used_at"] for row in rows)


async def test_a_session_of_a_browser_opens_nothing_in_the_api(desk: Desk) -> None:
    """No cookie counts, so no page of another site can use it."""
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    assert (await browser.get("/api/v1/users")).status == 401


async def test_too_many_requests_are_put_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asks, other = await program(desk, Role.REPORTING), await program(desk, Role.REPORTING)
    few = Buckets(3)
    monkeypatch.setattr(desk.app[LIMIT], "take", few.take)
    assert [(await asks("GET", "/me")).status for _ in range(4)] == [200, 200, 200, 429]
    answer = await asks("GET", "/me")
    assert answer.error == "too_many"
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    assert (await other("GET", "/me")).status == 200


async def test_whoever_tries_tokens_is_put_off(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Buckets(2)
    monkeypatch.setattr(desk.app[STRANGERS], "take", few.take)
    monkeypatch.setattr(desk.app[STRANGERS], "wait", few.wait)
    guess = stranger(desk, "aw_" + "y" * 43)
    assert [(await guess("GET", "/me")).status for _ in range(3)] == [401, 401, 429]


async def test_errors_are_problem_details(desk: Desk) -> None:
    asks = await program(desk, Role.ADMINISTRATOR)
    assert (await asks("GET", "/nowhere")).error == "not_found"
    wrong_method = await asks("DELETE", "/me")
    assert wrong_method.status == 405
    assert wrong_method.error == "method"
    assert wrong_method.headers["Allow"] == "GET"
    assert (await asks("POST", "/balance/top-ups", data=b"{", headers={"Content-Type": "text/plain"})).status == 415
    json_type = {"Content-Type": "application/json"}
    assert (await asks("POST", "/balance/top-ups", data=b"{", headers=json_type)).error == "not_understood"
    assert (await asks("POST", "/balance/top-ups", data=b"[" * 200_000, headers=json_type)).status == 400
    assert (await asks("POST", "/balance/top-ups", data=b" " * 300_000, headers=json_type)).status == 413
    wrong = await asks("POST", "/balance/top-ups", {"amount": "-1", "note": "x", "more": 1})
    assert wrong.error == "invalid"
    assert {part["field"] for part in wrong.json["errors"]} == {"body/amount", "body/more"}
    assert (await asks("POST", "/balance/top-ups", {"amount": "1", "note": "a\0b"})).status == 422
    assert (await asks("GET", "/calls?limit=0")).error == "invalid"
    assert (await asks("GET", "/calls?cursor=rubbish")).error == "invalid"
    assert (await asks("GET", "/calls?unknown=1")).error == "invalid"
    assert (await asks("GET", "/users/%00")).status == 404


async def test_a_group_from_nothing_to_nothing(desk: Desk) -> None:
    asks = await program(desk, Role.ADMINISTRATOR)
    added = await asks("PUT", "/groups/Returns", {"members": {"PJSIP/1001": 1}, "strategy": "ring_all"})
    assert added.status == 201, added.text
    assert added.json["ring_seconds"] == 20
    version = added.json["version"]
    changed = await asks("PATCH", "/groups/Returns", {"version": version, "ring_seconds": 30})
    assert changed.status == 200, changed.text
    assert (changed.json["ring_seconds"], changed.json["strategy"]) == (30, "ring_all")
    assert (await asks("PATCH", "/groups/Returns", {"version": version, "ring_seconds": 9})).error == "outdated"
    assert (await asks("PATCH", "/groups/Returns", {"ring_seconds": 301})).error == "invalid"
    nowhere = await asks("PATCH", "/groups/Returns", {"no_agent": "group:Nowhere"})
    assert nowhere.error == "refused"
    assert nowhere.json["errors"][0]["field"].startswith("groups/Returns/no_agent")
    assert "Returns" in [group["name"] for group in (await asks("GET", "/groups")).json["items"]]
    assert (await asks("DELETE", "/groups/Returns")).status == 204
    assert (await asks("GET", "/groups/Returns")).status == 404
    lines = (await asks("GET", "/audit?kind=group&subject=Returns")).json["items"]
    assert [line["action"] for line in lines] == ["removed", "changed", "added"]
    assert "token" in lines[0]["actor"]


async def test_the_switch_of_a_number(desk: Desk) -> None:
    asks = await program(desk, Role.ADMINISTRATOR)
    changed = await asks("PATCH", "/numbers/15550783881", {"calling_enabled": True, "name": "Corner shop"})
    assert changed.status == 200, changed.text
    row = (await desk.fetch("SELECT name FROM whatsapp.numbers WHERE display_number = '15550783881'"))[0]
    assert row["name"] == "Corner shop"
    back = {"calling_enabled": False, "name": "Shop"}
    assert (await asks("PATCH", "/numbers/15550783881", back)).json["calling_enabled"] is False


async def test_a_top_up_that_is_sent_twice_is_booked_once(desk: Desk) -> None:
    asks = await program(desk, Role.ADMINISTRATOR)
    before = Decimal((await asks("GET", "/balance")).json["balance"])
    key = {"Idempotency-Key": "invoice 7"}
    both = await asyncio.gather(*(asks("POST", "/balance/top-ups", {"amount": "12.50"}, headers=key) for _ in range(5)))
    assert {answer.status for answer in both} <= {201, 409}
    again = await asks("POST", "/balance/top-ups", {"amount": "12.50"}, headers=key)
    assert again.status == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert Decimal(again.json["balance"]) == before + Decimal("12.50")
    assert Decimal((await asks("GET", "/balance")).json["balance"]) == before + Decimal("12.50")
    assert (await asks("POST", "/balance/top-ups", {"amount": "1"}, headers=key)).error == "key_reused"
    assert (await asks("GET", "/balance/ledger?limit=1")).json["items"][0]["kind"] == "top_up"


async def test_what_was_refused_may_be_asked_again_with_its_key(desk: Desk) -> None:
    floor = Floor(desk)
    await floor.clear()
    asks = await program(desk, Role.AGENT, agent_id=await floor.agent("Ada"))
    key = {"Idempotency-Key": "once"}
    first = await asks("POST", "/call-requests", {"to": "4915112345678"}, headers=key)
    assert first.error == "refused"
    assert first.json["errors"][0]["field"].startswith("rule/")
    assert (await asks("POST", "/call-requests", {"to": "4915112345678"}, headers=key)).error == "refused"


async def test_an_agent_calls_and_invites_and_sees_nobody_elses(desk: Desk) -> None:
    floor = Floor(desk)
    await floor.clear()
    await desk.fetch(
        "INSERT INTO whatsapp.numbers (phone_number_id, display_number, name) VALUES ('107', '4930901820', 'Berlin') "
        "ON CONFLICT DO NOTHING"
    )
    await desk.fetch(
        "INSERT INTO pbx.routes (number, calling_enabled) VALUES ('4930901820', true) ON CONFLICT DO NOTHING"
    )
    asks = await program(desk, Role.AGENT, agent_id=await floor.agent("Ada"))
    other = await program(desk, Role.AGENT, agent_id=await floor.agent("Grace"))
    invited = await asks("POST", "/invitations", {"to": "+49 151 12345678", "number": "4930901820"})
    assert invited.status == 201, invited.text
    assert (invited.json["user_key"], invited.json["state"]) == ("4915112345678", "wanted")
    assert [one["id"] for one in (await asks("GET", "/invitations")).json["items"]] == [invited.json["id"]]
    assert (await other("GET", "/invitations")).json["items"] == []
    await desk.fetch(
        "INSERT INTO whatsapp.permissions (phone_number_id, user_key, status, can_call, checked_at) "
        "VALUES ('107', '4915112345678', 'permanent', true, now())"
    )
    named = {"to": "4915112345678", "number": "4930901820"}
    wanted = await asks("POST", "/call-requests", named)
    assert wanted.status == 201, wanted.text
    mine = await asks("GET", f"/call-requests/{wanted.json['id']}")
    assert (mine.json["state"], mine.json["endpoint"]) == ("wanted", "PJSIP/1001")
    assert (await other("GET", f"/call-requests/{wanted.json['id']}")).status == 404
    assert (await asks("POST", "/call-requests", {**named, "agent": "PJSIP/1002"})).status == 404
    await floor.clear()


async def test_agents_states_are_set_by_themselves_and_their_supervisors(desk: Desk) -> None:
    floor = Floor(desk)
    await floor.clear()
    ada = await program(desk, Role.AGENT, agent_id=await floor.agent("Ada"))
    support = await program(desk, Role.SUPERVISOR, groups=("Support",))
    assert (await ada("PUT", "/agents/PJSIP/1001/state", {"state": "logout"})).status == 204
    assert (await ada("PUT", "/agents/PJSIP/1002/state", {"state": "logout"})).status == 404
    assert (await support("PUT", "/agents/PJSIP/1001/state", {"state": "login"})).status == 404
    assert (await support("PUT", "/agents/PJSIP/1003/state", {"state": "pause", "reason": "no such"})).status == 409
    shown = {one["endpoint"]: one["standing"] for one in (await ada("GET", "/agent-states")).json["items"]}
    assert shown == {"PJSIP/1001": "logged out"}
    assert [one["endpoint"] for one in (await support("GET", "/agent-states")).json["items"]] == ["PJSIP/1003"]
    await floor.clear()


async def test_records_are_seen_by_those_whom_they_concern(desk: Desk) -> None:
    """List, one, steps and recording, each as agent, supervisor and reporting person see them."""
    floor = Floor(desk)
    await floor.clear()
    call = await floor.call("Zoë", path=["group:Sales"], received_at=await _ago(desk, 60))
    offer = await floor.rings(call, await floor.agent("Ada"))
    await floor.talks(call, await floor.agent("Ada"), 30)
    await floor.over(offer, "answered")
    await floor.ends(call)
    await desk.fetch("UPDATE pbx.calls SET ended_at = now() - interval '10 seconds' WHERE id = $1", call)
    folder = desk.folders.recordings_folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "one.wav").write_bytes(_sound())
    await desk.fetch(
        "INSERT INTO pbx.recordings (id, call_id, file, seconds, started_at) VALUES ($1, $2, 'one.wav', 1, now())",
        *(uuid.uuid4(), call),
    )
    ada = await program(desk, Role.AGENT, agent_id=await floor.agent("Ada"))
    grace = await program(desk, Role.AGENT, agent_id=await floor.agent("Grace"))
    sales = await program(desk, Role.SUPERVISOR, groups=("Sales",))
    support = await program(desk, Role.SUPERVISOR, groups=("Support",))
    reporting = await program(desk, Role.REPORTING)
    for who, sees in ((ada, True), (grace, False), (sales, True), (support, False), (reporting, True)):
        listed = [one["linkedid"] for one in (await who("GET", "/calls?status=Answered")).json["items"]]
        assert (str(call) in listed) is sees
        for path in ("", "/steps", "/recording"):
            assert (await who("GET", f"/calls/{call}{path}")).status == (200 if sees else 404), (path, sees)
    shown = (await ada("GET", f"/calls/{call}")).json
    assert (shown["status"], shown["group_name"], shown["user_name"]) == ("Answered", "Sales", "Zoë")
    assert "recording_file" not in shown
    part = await ada("GET", f"/calls/{call}/recording", headers={"Range": "bytes=0-3"})
    assert (part.status, part.content) == (206, b"RIFF")
    await desk.fetch("UPDATE pbx.recordings SET file = '../../../../etc/passwd' WHERE call_id = $1", call)
    assert (await ada("GET", f"/calls/{call}/recording")).status == 404
    await floor.clear()


async def test_pages_of_records_go_on_where_the_last_one_ended(desk: Desk) -> None:
    floor = Floor(desk)
    await floor.clear()
    calls = [str(await floor.call(received_at=await _ago(desk, 100 - number))) for number in range(5)]
    await desk.fetch(
        "UPDATE pbx.calls SET state = 'ended', status = 'Missed', ended_at = now() - interval '10 s', ended_by = 'user'"
    )
    asks, found, path = await program(desk, Role.REPORTING), [], "/calls?limit=2&sort=started_at"
    while path:
        page = (await asks("GET", path)).json
        found += [one["linkedid"] for one in page["items"]]
        path = f"/calls?limit=2&sort=started_at&cursor={page['next']}" if page["next"] else ""
    assert found == calls
    await floor.clear()


async def test_messages_are_listed_heard_and_marked_by_those_whose_groups_they_are_for(
    desk: Desk, history: History
) -> None:
    administrator = await program(desk, Role.ADMINISTRATOR)
    first = (await administrator("GET", "/voicemails?limit=1")).json
    second = (await administrator("GET", f"/voicemails?limit=1&after={first['next']}")).json
    assert {page["items"][0]["id"] for page in (first, second)} == {str(history.message), str(history.other_message)}
    assert second["next"] is None
    assert "file" not in first["items"][0]
    assert (await administrator("GET", f"/voicemails?after={uuid.uuid4()}")).error == "invalid"

    supervisor = await program(desk, Role.SUPERVISOR, groups=["Sales"])
    (seen,) = (await supervisor("GET", "/voicemails")).json["items"]
    assert (seen["id"], seen["group"], seen["heard_at"]) == (str(history.message), "Sales", None)
    heard = await supervisor("GET", f"/voicemails/{history.message}/sound")
    with wave.open(BytesIO(heard.content)) as sound:
        assert sound.getnframes() == 16_000
    marked = await supervisor("PATCH", f"/voicemails/{history.message}", {"heard": True})
    assert marked.json["heard_at"] is not None
    assert (await supervisor("GET", "/voicemails?new=true")).json["items"] == []
    for method, path in (
        ("GET", f"/voicemails/{history.other_message}/sound"),
        ("PATCH", f"/voicemails/{history.other_message}"),
    ):
        assert (await supervisor(method, path, {"heard": True} if method == "PATCH" else None)).status == 404
    agent = await program(desk, Role.AGENT)
    assert (await agent("GET", "/voicemails")).json["items"] == []


async def test_a_supervisor_sees_the_live_board_of_the_groups(desk: Desk) -> None:
    floor = Floor(desk)
    await floor.clear()
    await floor.waits(await floor.call("Zoë"), "Sales")
    sales = await program(desk, Role.SUPERVISOR, groups=("Sales",))
    support = await program(desk, Role.SUPERVISOR, groups=("Support",))
    assert [row["name"] for row in (await sales("GET", "/live")).json["waiting"]] == ["Zoë"]
    assert (await support("GET", "/live")).json["waiting"] == []
    await floor.clear()


async def test_a_prompt_is_uploaded_heard_and_removed(desk: Desk) -> None:
    asks = await program(desk, Role.ADMINISTRATOR)
    assert (await asks("PUT", "/prompts/hello", data=_sound(2.0))).status == 201
    heard = await asks("GET", "/prompts/hello/sound", headers={"Range": "bytes=0-3"})
    assert (heard.status, heard.content) == (206, b"RIFF")
    assert [one["name"] for one in (await asks("GET", "/prompts")).json["items"]] == ["hello"]
    assert (await asks("PUT", "/prompts/hello", data=b"no sound")).error == "refused"
    assert (await asks("DELETE", "/prompts/hello")).status == 204
    assert (await asks("GET", "/prompts/hello/sound")).status == 404


async def test_a_user_is_added_changed_and_signs_in(desk: Desk) -> None:
    asks = await program(desk, Role.ADMINISTRATOR)
    login = f"api-{uuid.uuid4().hex[:8]}"
    added = await asks("POST", "/users", {"login": login, "name": "Barbara", "role": "reporting"})
    assert added.status == 201, added.text
    assert (await desk.browser().sign_in(login, added.json["password"])).path == "/account/password"
    path = f"/users/{added.json['id']}"
    assert "password" not in (await asks("GET", path)).json
    assert (await asks("PATCH", path, {"enabled": False})).json["enabled"] is False
    assert (await asks("POST", "/users", {"login": login, "name": "B", "role": "reporting"})).error == "refused"
    assert (await asks("POST", "/users", {"login": login + "2", "name": "B", "role": "agent"})).error == "refused"


async def _ago(desk: Desk, seconds: float) -> object:
    return (await desk.fetch("SELECT now() - $1 * interval '1 second' AS at", seconds))[0]["at"]


def _sound(seconds: float = 1.0) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes([0, 16, 0, 240]) * int(4000 * seconds))
    return file.getvalue()
