"""Permissions to call users, from the wish in PostgreSQL to Meta's word, against the strict simulator."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.integration.numbers import NUMBER, PNID, House, house
from whatsapp_bridge.meta import invitations, permission_message
from whatsapp_bridge.simulator.consent_models import Answer, CustomerMessage, Grant
from whatsapp_bridge.simulator.message_payloads import Reply
from whatsapp_bridge.simulator.models import GraphFault, Injection, PlaceCall, Release, UserPlan
from whatsapp_bridge.simulator.permissions import DAY, WEEK
from whatsapp_bridge.simulator.webhooks import WebhookOptions

USER, SCOPED = "14085551234", "US.13491208655302741918"
TEMPLATE = {"permission_template": "call_permission"}


@pytest.fixture
async def shop(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(database, tmp_path, meta=TEMPLATE) as it:
        yield it


async def invite(shop: House, user: str = USER, **columns: Any) -> uuid.UUID:
    columns = {"phone_number_id": PNID, "user_key": user, "requested_by": "Ada", **columns}
    names, places = ", ".join(columns), ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    statement = f"INSERT INTO whatsapp.permission_requests ({names}) VALUES ({places}) RETURNING id"
    found: uuid.UUID = await shop.db.fetchval(statement, *columns.values())
    return found


async def state(shop: House, invitation: uuid.UUID, wanted: str) -> dict[str, Any]:
    """The invitation, as soon as it is in that state."""
    query = "SELECT state FROM whatsapp.permission_requests WHERE id = $1"
    try:
        await shop.until(query, invitation, holds=lambda found: found == wanted)
    except TimeoutError:
        pytest.fail(f"the invitation is {await shop.db.fetchval(query, invitation)}, not {wanted}")
    return await shop.row("SELECT * FROM whatsapp.permission_requests WHERE id = $1", invitation)


async def permission(shop: House, user: str = USER, **wanted: Any) -> dict[str, Any]:
    """The permission, as soon as its columns are so."""
    query = "SELECT * FROM whatsapp.permissions WHERE phone_number_id = $1 AND user_key = $2"
    async with asyncio.timeout(8):
        while True:
            row = await shop.db.fetchrow(query, PNID, user)
            if row is not None and all(row[name] == value for name, value in wanted.items()):
                return dict(row)
            await asyncio.sleep(0.02)


async def shown(shop: House, invitation: uuid.UUID) -> str:
    found: str = await shop.db.fetchval("SELECT status FROM reports.invitations WHERE id = $1", invitation)
    return found


async def ask(shop: House, user: str = USER) -> None:
    """Somebody wants to know what Meta says."""
    await shop.db.execute(
        """INSERT INTO whatsapp.permissions (phone_number_id, user_key, check_wanted_at) VALUES ($1, $2, $3)
           ON CONFLICT (phone_number_id, user_key) DO UPDATE SET check_wanted_at = EXCLUDED.check_wanted_at""",
        PNID,
        user,
        datetime.fromtimestamp(shop.world.clock.now(), UTC),
    )


async def plan(shop: House, **more: Any) -> None:
    await shop.meta.plan_user(UserPlan(number=USER, **{"permission": False, "on_request_ms": 0, **more}))


@pytest.mark.parametrize(
    ("answer", "expected", "status", "word"),
    [
        ("accept", "accepted", "temporary", "Accepted"),
        ("accept_permanent", "accepted", "permanent", "Accepted"),
        ("decline", "declined", "none", "Declined"),
    ],
)
async def test_an_invitation_is_sent_and_answered(
    shop: House, answer: Any, expected: str, status: str, word: str
) -> None:
    await plan(shop, on_request=answer)
    told = await notifications(shop)
    invitation = await invite(shop)
    row = await state(shop, invitation, expected)
    facts = await permission(shop, status=status)
    assert row["meta_message_id"] == (await shop.consent.messages())[0]["id"]
    assert row["sent_at"] is not None
    assert row["answered_at"] is not None
    assert (row["error_code"], row["error_text"]) == (None, None)
    assert (facts["expires_at"] is not None) == (status == "temporary")
    assert row["granted_until"] == facts["expires_at"]
    assert await shown(shop, invitation) == word
    assert f"request:{invitation}:{expected}" in told
    assert f"permission:{PNID}:{USER}" in told


async def notifications(shop: House) -> list[str]:
    """What is told on `whatsapp_facts` from now on."""
    told: list[str] = []
    await shop.db.add_listener("whatsapp_facts", lambda *arguments: told.append(str(arguments[3])))
    return told


async def test_one_that_is_not_answered_expires_after_seven_days(shop: House) -> None:
    await plan(shop, on_request="ignore")
    invitation = await invite(shop)
    await state(shop, invitation, "sent")
    assert await shown(shop, invitation) == "Invited"
    await shop.consent.advance_clock(WEEK - 60)
    await invite(shop, "14085550000")  # whatever wakes the worker
    await shop.until(
        "SELECT count(*) FROM whatsapp.permission_requests WHERE state <> 'wanted'", holds=lambda n: n == 2
    )
    assert await shown(shop, invitation) == "Invited"
    await shop.consent.advance_clock(120)
    await state(shop, invitation, "expired")
    assert await shown(shop, invitation) == "Expired"


async def test_a_temporary_permission_runs_out_without_a_word(shop: House) -> None:
    await plan(shop)
    invitation = await invite(shop)
    await state(shop, invitation, "accepted")
    await shop.consent.advance_clock(WEEK + 1)
    await state(shop, invitation, "expired")
    facts = await permission(shop, status="none")
    assert (facts["expires_at"], facts["can_call"]) == (None, False)


async def test_inside_the_service_window_it_is_free_form_else_a_template(shop: House) -> None:
    await plan(shop, on_request="ignore")
    await state(shop, await invite(shop, text="May we call you?"), "sent")
    await shop.db.execute(
        """INSERT INTO whatsapp.calls (id, meta_call_id, phone_number_id, direction, user_id, user_number)
           VALUES ($1, 'wacid.1', $2, 'inbound', $3, $3)""",
        uuid.uuid4(),
        PNID,
        USER,
    )
    await shop.meta.place(PlaceCall(from_=USER))
    await shop.consent.advance_clock(DAY - 60)
    await shop.db.execute("UPDATE whatsapp.calls SET received_at = now() + interval '23 hours'")
    await shop.consent.advance_clock(60)
    await shop.consent.write(CustomerMessage(user=USER))
    await state(shop, await invite(shop, text="May we call you?"), "sent")
    first, second = await shop.consent.messages()
    assert (first["template"], first["body"]["template"]["name"]) == (True, "call_permission")
    assert second["body"]["interactive"]["body"] == {"text": "May we call you?"}


async def test_a_window_that_meta_finds_closed_is_left_by_the_template(shop: House) -> None:
    """What is known here is not all: the template follows the refusal, and only one message is sent."""
    await plan(shop, on_request="ignore")
    await shop.db.execute(
        """INSERT INTO whatsapp.calls (id, meta_call_id, phone_number_id, direction, user_id, user_number)
           VALUES ($1, 'wacid.1', $2, 'inbound', $3, $3)""",
        uuid.uuid4(),
        PNID,
        USER,
    )
    await state(shop, await invite(shop), "sent")
    (message,) = await shop.consent.messages()
    assert message["template"] is True
    assert [r["status"] for r in await shop.meta.requests(action="messages")] == [400, 200]


async def test_without_a_template_the_refusal_says_what_to_do(database: str, tmp_path: Path) -> None:
    async with house(database, tmp_path) as shop:
        await plan(shop)
        row = await state(shop, await invite(shop), "failed")
        assert row["error_code"] == 131047
        assert "permission_template" in row["error_text"]


async def test_a_number_may_have_its_own_wording(database: str, tmp_path: Path) -> None:
    own = {"numbers": {PNID: {"permission_text": "We have news of your order."}}, "permission_text": "Hello"}
    async with house(database, tmp_path, meta=own) as shop:
        await plan(shop, on_request="ignore")
        await shop.consent.write(CustomerMessage(user=USER))
        await state(shop, await invite(shop), "sent")
        (message,) = await shop.consent.messages()
        assert message["body"]["interactive"]["body"] == {"text": "We have news of your order."}


@pytest.mark.parametrize(
    ("status", "code"),
    [("permanent", 138017), ("none", 138009)],
)
async def test_meta_refuses_and_is_then_asked_how_things_stand(shop: House, status: Any, code: int) -> None:
    await plan(shop, on_request="ignore")
    if code == 138009:
        await state(shop, await invite(shop), "sent")
    else:
        await shop.consent.grant(Grant(user=USER, status=status))
    invitation = await invite(shop)
    row = await state(shop, invitation, "failed")
    assert row["error_code"] == code
    assert await shown(shop, invitation) == "Failed"
    facts = await permission(shop, status=status, can_request=False, check_wanted_at=None)
    assert (facts["request_limit_until"] is not None) == (code == 138009)


async def test_an_old_client_is_a_failure_with_metas_reason(shop: House) -> None:
    await plan(shop, on_request="old_client")
    row = await state(shop, await invite(shop), "failed")
    assert row["error_code"] == 131026


@pytest.mark.parametrize(
    "fault",
    [
        GraphFault(action="messages", http_status=500, code=2, applied=True),
        GraphFault(action="messages", disconnect=True, applied=True),
        GraphFault(action="messages", http_status=503, code=2),
    ],
)
async def test_what_may_have_been_sent_is_not_sent_again_and_an_answer_counts(shop: House, fault: GraphFault) -> None:
    await plan(shop, on_request="ignore")
    await shop.meta.fail(fault)
    invitation = await invite(shop)
    row = await state(shop, invitation, "failed")
    assert "not known" in row["error_text"]
    assert len(await shop.meta.requests(action="messages")) == 1
    if fault.applied:
        await shop.consent.answer(Answer(user=USER, response="accept"))
        row = await state(shop, invitation, "accepted")
        assert row["meta_message_id"] == (await shop.consent.messages())[0]["id"]
        await permission(shop, status="temporary")


async def test_a_bridge_that_dies_while_sending_sends_nothing_twice(database: str, tmp_path: Path) -> None:
    async with house(database, tmp_path, meta=TEMPLATE) as shop:
        await plan(shop, on_request="ignore")
        claimed_at = datetime.fromtimestamp(shop.world.clock.now(), UTC) - invitations.ORPHANED_AFTER
        invitation = await invite(shop, claimed_at=claimed_at - timedelta(seconds=1))
        row = await state(shop, invitation, "failed")
        assert "not known" in row["error_text"]
        assert not await shop.consent.messages()


async def test_an_answer_that_overtakes_metas_reply_is_kept(shop: House) -> None:
    await plan(shop, on_request_ms=0)
    await shop.meta.fail(GraphFault(action="messages", delay_ms=0))
    await shop.meta.hold_webhooks()
    invitation = await invite(shop)
    row = await state(shop, invitation, "sent")
    await shop.db.execute(
        "UPDATE whatsapp.permission_requests SET state = 'wanted', meta_message_id = NULL, sent_at = NULL"
    )
    await shop.meta.release_webhooks()
    again = await state(shop, invitation, "accepted")
    assert again["meta_message_id"] == row["meta_message_id"]


async def test_two_bridges_send_one_message(shop: House, database: str, tmp_path: Path) -> None:
    await plan(shop, on_request="ignore")
    other = asyncio.create_task(type(shop.numbers)(shop.config, shop.store, shop.graph).run())
    try:
        for number in range(20):
            await shop.meta.plan_user(UserPlan(number=f"4915112{number:05}", permission=False, on_request="ignore"))
        ids = await asyncio.gather(*(invite_alone(database, f"4915112{number:05}") for number in range(20)))
        for each in ids:
            await state(shop, each, "sent")
        assert sorted(message["user"] for message in await shop.consent.messages()) == [
            f"4915112{number:05}" for number in range(20)
        ]
    finally:
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)


async def invite_alone(dsn: str, user: str) -> uuid.UUID:
    connection = await asyncpg.connect(dsn)
    try:
        found: uuid.UUID = await connection.fetchval(
            """INSERT INTO whatsapp.permission_requests (phone_number_id, user_key, requested_by)
               VALUES ($1, $2, 'command') RETURNING id""",
            PNID,
            user,
        )
        return found
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "fault", [GraphFault(action="messages", http_status=429, code=130429), GraphFault(action="messages", code=131056)]
)
async def test_too_many_messages_are_put_off_and_sent_once(
    shop: House, fault: GraphFault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permission_message, "FIRST_PAUSE", 0.1)
    await plan(shop)
    await shop.meta.fail(fault)
    row = await state(shop, await invite(shop), "accepted")
    assert row["attempts"] == 2
    assert len(await shop.consent.messages()) == 1


async def test_a_wrong_token_says_so(shop: House) -> None:
    await plan(shop)
    await shop.meta.fail(GraphFault(action="messages", code=190))
    row = await state(shop, await invite(shop), "failed")
    assert row["error_code"] == 190
    assert "access_token" in row["error_text"]


async def test_a_user_takes_back_and_gives_again(shop: House) -> None:
    await plan(shop)
    invitation = await invite(shop)
    await state(shop, invitation, "accepted")
    await shop.consent.answer(Answer(user=USER, response="decline", to="profile"))
    await state(shop, invitation, "revoked")
    await permission(shop, status="none")
    assert await shown(shop, invitation) == "Revoked"
    await shop.consent.answer(Answer(user=USER, response="accept_permanent"))
    row = await state(shop, invitation, "accepted")
    assert row["permanent"] is True
    await permission(shop, status="permanent")


async def test_a_user_allows_in_the_profile_what_the_invitation_asked(shop: House) -> None:
    await plan(shop, on_request="ignore")
    invitation = await invite(shop)
    await state(shop, invitation, "sent")
    await shop.consent.answer(Answer(user=USER, response="accept", to="profile"))
    await state(shop, invitation, "accepted")
    await permission(shop, status="permanent")


async def test_a_user_who_calls_may_be_called_back(shop: House) -> None:
    await plan(shop)
    shop.world.numbers[PNID].settings.calling["callback_permission_status"] = "ENABLED"
    call = await shop.meta.place(PlaceCall(from_=USER))
    facts = await permission(shop, status="temporary")
    assert facts["expires_at"] > datetime.now(UTC) + timedelta(days=6)
    await call.end()


async def test_meta_revokes_after_four_calls_not_answered(shop: House) -> None:
    await plan(shop)
    invitation = await invite(shop)
    await state(shop, invitation, "accepted")
    number = shop.world.numbers[PNID].config
    outcomes = [shop.world.permissions.call_unanswered(number, USER, shop.world.clock.now()) for _ in range(4)]
    assert outcomes == [False, False, False, True]
    shop.world.messages.tell(
        number, shop.world.plan_of(USER), Reply(False, int(shop.world.clock.now()), source="automatic")
    )
    await state(shop, invitation, "revoked")


async def test_a_user_who_hides_the_number_is_known_by_the_scoped_id(shop: House) -> None:
    await plan(shop, user_id=SCOPED, hides_number=True)
    invitation = await invite(shop, SCOPED)
    await state(shop, invitation, "accepted")
    await permission(shop, SCOPED, status="temporary")
    assert (await shop.consent.messages())[0]["body"]["recipient"] == SCOPED


async def test_a_user_who_hides_the_number_later_is_still_the_same(shop: House) -> None:
    await plan(shop, user_id=SCOPED)
    await state(shop, await invite(shop), "accepted")
    await permission(shop, status="temporary", scoped_id=SCOPED)
    await shop.meta.plan_user(UserPlan(number=USER, permission=None, user_id=SCOPED, hides_number=True))
    await shop.consent.answer(Answer(user=USER, response="decline", to="profile"))
    await permission(shop, status="none")


async def test_meta_is_asked_when_somebody_wants_to_know(shop: House) -> None:
    await plan(shop)
    await shop.consent.grant(Grant(user=USER, status="temporary", seconds=3600))
    await ask(shop)
    facts = await permission(shop, status="temporary", check_wanted_at=None)
    assert (facts["can_call"], facts["can_request"], facts["check_error"]) == (True, True, None)
    left = facts["expires_at"].timestamp() - shop.world.clock.now()
    assert 3500 < left <= 3600


async def test_a_rate_limit_is_waited_for_and_the_reason_is_there_meanwhile(shop: House) -> None:
    await plan(shop)
    await shop.meta.fail(GraphFault(action="call_permissions", code=613, count=1))
    await ask(shop)
    await shop.until("SELECT check_error FROM whatsapp.permissions", holds=lambda text: "613" in (text or ""))
    facts = await permission(shop, status="none", check_wanted_at=None)
    assert facts["check_error"] is None


async def test_a_question_that_meta_refuses_ends_with_its_words(shop: House) -> None:
    await plan(shop)
    await shop.meta.fail(GraphFault(action="call_permissions", code=100, details="no such user"))
    await ask(shop)
    await permission(shop, check_wanted_at=None)
    facts = await permission(shop, status="unknown")
    assert "no such user" in facts["check_error"]


async def test_many_questions_keep_metas_rate(shop: House) -> None:
    begin = asyncio.get_running_loop().time()
    for number in range(8):
        await ask(shop, f"4915112{number:05}")
    await shop.until("SELECT bool_and(check_wanted_at IS NULL) FROM whatsapp.permissions")
    assert asyncio.get_running_loop().time() - begin >= 0.9


async def test_without_a_notification_it_only_takes_longer(shop: House) -> None:
    await plan(shop)
    await shop.db.execute("ALTER TABLE whatsapp.permission_requests DISABLE TRIGGER USER")
    invitation = await invite(shop)
    await state(shop, invitation, "accepted")


async def test_the_same_reply_twice_is_one_and_orders_do_not_matter(shop: House) -> None:
    await plan(shop, on_request="ignore", webhooks=WebhookOptions(duplicate=2))
    invitation = await invite(shop)
    await state(shop, invitation, "sent")
    await shop.meta.hold_webhooks()
    await shop.consent.answer(Answer(user=USER, response="accept"))
    await shop.consent.advance_clock(5)
    await shop.consent.answer(Answer(user=USER, response="decline"))
    await shop.meta.release_webhooks()
    await state(shop, invitation, "revoked")
    await shop.until("SELECT count(*) FROM whatsapp.webhook_events", holds=lambda n: n == 2)
    # The other way round, an older word changes nothing.
    await shop.meta.hold_webhooks()
    await shop.consent.advance_clock(5)
    await shop.consent.answer(Answer(user=USER, response="decline"))
    await shop.consent.advance_clock(5)
    await shop.consent.answer(Answer(user=USER, response="accept"))
    await shop.meta.release_webhooks(Release(backwards=True))
    await shop.until("SELECT count(*) FROM whatsapp.webhook_events", holds=lambda n: n == 4)
    await state(shop, invitation, "accepted")
    await permission(shop, status="temporary")


async def test_a_reply_older_than_metas_own_answer_lets_meta_be_asked(shop: House) -> None:
    await plan(shop)
    await ask(shop)
    await permission(shop, status="none", check_wanted_at=None)
    before = len(await shop.meta.requests(action="call_permissions"))
    late = Reply(True, int(shop.world.clock.now()) - 3600, permanent=True)
    shop.world.messages.tell(shop.world.numbers[PNID].config, shop.world.plan_of(USER), late)
    await shop.until("SELECT count(*) FROM whatsapp.webhook_events", holds=lambda n: n == 1)
    await permission(shop, status="none", check_wanted_at=None)
    async with asyncio.timeout(5):
        while len(await shop.meta.requests(action="call_permissions")) == before:
            await asyncio.sleep(0.02)


def change(*messages: Any, **more: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": NUMBER, "phone_number_id": PNID}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "messages": list(messages), **more}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}],
    }


def said(**more: Any) -> dict[str, Any]:
    content = {"response": "accept", "is_permanent": True, "response_source": "user_action"}
    interactive = {"type": "call_permission_reply", "call_permission_reply": content}
    return {"from": USER, "id": f"wamid.{uuid.uuid4()}", "timestamp": "1767168000", "interactive": interactive} | more


async def test_malformed_replies_change_nothing_and_spoil_none_beside_them(shop: House, caplog: Any) -> None:
    reply = {"type": "call_permission_reply"}
    bad: list[Any] = [
        said(interactive=reply),
        said(interactive=reply | {"call_permission_reply": None}),
        said(interactive=reply | {"call_permission_reply": {"response": "SECRET-WORD"}}),
        said(interactive=reply | {"call_permission_reply": {"response": "accept", "is_permanent": "perhaps"}}),
        said(id=""),
        said(id="x" * 5000),
        said(timestamp="yesterday"),
        said(timestamp=None),
        said(**{"from": None}),
        said(**{"from": "nobody"}),
        said(context=5),
        None,
        7,
        [],
    ]
    result = await shop.meta.inject(Injection(body=change(*bad, said())))
    assert result["status"] == 200
    await permission(shop, status="permanent")
    assert await shop.db.fetchval("SELECT count(*) FROM whatsapp.webhook_events") == 1
    assert "SECRET-WORD" not in caplog.text


async def test_what_customers_write_is_neither_stored_nor_logged(shop: House, caplog: Any) -> None:
    secret = "my card number is 4111"
    caplog.set_level("DEBUG")
    await shop.consent.write(CustomerMessage(user=USER, text=secret))
    statuses = [
        {"id": "wamid.other", "status": "failed", "recipient_id": USER, "errors": [{"code": 1, "title": secret}]}
    ]
    voice = {"id": "wacid.1", "from": USER, "timestamp": "1", "type": "audio", "audio": {"id": "1", "caption": secret}}
    button = {"id": "wamid.2", "from": USER, "timestamp": "1", "type": "interactive", "interactive": {"type": secret}}
    result = await shop.meta.inject(Injection(body=change(voice, button, said(text=secret), statuses=statuses)))
    assert result["status"] == 200
    await permission(shop, status="permanent")
    assert await found_in_database(shop, "4111") == []
    assert "4111" not in caplog.text


async def found_in_database(shop: House, text: str) -> list[str]:
    """Tables that hold it anywhere."""
    tables = await shop.db.fetch(
        """SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
            WHERE schemaname IN ('whatsapp', 'pbx', 'cdr', 'public')"""
    )
    return [
        row["name"]
        for row in tables
        if await shop.db.fetchval(f"SELECT EXISTS (SELECT FROM {row['name']} t WHERE t::text LIKE $1)", f"%{text}%")
    ]
