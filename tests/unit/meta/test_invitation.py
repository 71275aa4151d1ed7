"""The state machine of invitations and permissions, by properties."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.meta.invitation import REQUEST_LIFE, Invitation, Permission, State, settle, takes_back
from whatsapp_bridge.meta.number_events import PermissionReply

START = datetime(2026, 11, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 60 * 24 * 30).map(lambda minutes: START + timedelta(minutes=minutes))
IDS = st.sampled_from(["wamid.1", "wamid.2", "wamid.3"])
CONTEXTS: st.SearchStrategy[str | None] = IDS | st.none()


@st.composite
def replies(draw: st.DrawFn, contexts: st.SearchStrategy[str | None] = CONTEXTS) -> PermissionReply:
    at, accepted = draw(MOMENTS), draw(st.booleans())
    permanent = accepted and draw(st.booleans())
    return PermissionReply(
        phone_number_id="1",
        message_id=str(uuid.uuid4()),
        number="49",
        scoped_id=None,
        accepted=accepted,
        permanent=permanent,
        expires_at=at + timedelta(days=7) if accepted and not permanent else None,
        context_id=draw(contexts),
        automatic=draw(st.booleans()),
        at=at,
    )


@st.composite
def invitations(draw: st.DrawFn) -> list[Invitation]:
    """Up to three of one user, each sent, or on its way."""
    found = []
    for message_id in draw(st.lists(IDS, unique=True, max_size=3)):
        at = draw(MOMENTS)
        if draw(st.booleans()):
            found.append(Invitation(uuid.uuid4(), State.SENT, at, claimed_at=at, message_id=message_id, sent_at=at))
        else:
            found.append(Invitation(uuid.uuid4(), State.WANTED, at, claimed_at=at))
    return found


def apply(known: list[Invitation], reply: PermissionReply) -> list[Invitation]:
    changed = {each.id: each for each in settle(known, reply)}
    return [changed.get(each.id, each) for each in known]


@given(invitations(), st.lists(replies(), max_size=6))
def test_the_newest_answer_to_an_invitation_counts_in_whatever_order_answers_come(
    known: list[Invitation], said: list[PermissionReply]
) -> None:
    for each in known:
        if each.message_id is None:
            continue
        mine = [reply for reply in said if reply.context_id == each.message_id]
        if len({reply.at for reply in mine}) != len(mine) or not mine:
            continue
        alone = [each]
        for reply in mine:
            alone = apply(alone, reply)
        newest = max(mine, key=lambda reply: reply.at)
        assert (alone[0].state is State.ACCEPTED) == newest.accepted
        assert alone[0].answered_at == newest.at


@given(invitations(), replies())
def test_a_reply_answers_one_invitation_at_most_or_takes_back_accepted_ones(
    known: list[Invitation], reply: PermissionReply
) -> None:
    changed = settle(known, reply)
    before = {each.id: each for each in known}
    answered = [each for each in changed if each.answered_at != before[each.id].answered_at]
    if reply.context_id is None and not reply.accepted:
        assert all(before[each.id].state is State.ACCEPTED and each.state is State.REVOKED for each in changed)
    else:
        assert len(answered) <= 1
        assert all(each.state is State.EXPIRED for each in changed if each not in answered)


@given(invitations(), replies(), replies())
def test_the_same_reply_twice_changes_nothing(
    known: list[Invitation], reply: PermissionReply, before: PermissionReply
) -> None:
    once = apply(apply(known, before), reply)
    if reply.context_id is not None:
        matched = any(each.message_id == reply.context_id for each in once)
        assert not matched or apply(once, reply) == once


@given(MOMENTS, MOMENTS)
def test_an_invitation_is_open_for_seven_days(sent: datetime, now: datetime) -> None:
    invitation = Invitation(uuid.uuid4(), State.SENT, sent, sent, "wamid.1", sent)
    assert (invitation.lapsed(now).state is State.EXPIRED) == (now >= sent + REQUEST_LIFE)


@given(replies(IDS.filter(lambda each: each == "wamid.1")), MOMENTS)
def test_what_was_accepted_for_a_while_expires_and_what_is_permanent_does_not(
    reply: PermissionReply, now: datetime
) -> None:
    (accepted,) = apply([Invitation(uuid.uuid4(), State.SENT, START, START, "wamid.1", START)], reply)
    lapsed = accepted.lapsed(now)
    if reply.accepted:
        assert (lapsed.state is State.EXPIRED) == (reply.expires_at is not None and reply.expires_at <= now)
    assert lapsed.lapsed(now) == lapsed


@given(st.lists(replies(), max_size=8).filter(lambda said: len({reply.at for reply in said}) == len(said)))
def test_permissions_do_not_depend_on_the_order_of_replies(said: list[PermissionReply]) -> None:
    """As far as each reply says enough by itself: acceptances, and what is taken back."""
    clear = [reply for reply in said if reply.accepted or reply.context_id is None]

    def result(order: list[PermissionReply]) -> Permission:
        permission = Permission()
        for reply in order:
            permission = permission.after(reply, takes_back=takes_back([], reply))
        return permission

    assert result(clear) == result(clear[::-1])


def test_who_declines_a_new_request_keeps_what_was_given_before() -> None:
    given_before = Permission("temporary", START + timedelta(days=3), START)
    declined = PermissionReply(
        "1", "wamid.r", "49", None, False, False, None, "wamid.2", False, START + timedelta(hours=1)
    )
    sent = Invitation(uuid.uuid4(), State.SENT, START, START, "wamid.2", START)
    assert not takes_back([sent], declined)
    assert given_before.after(declined, takes_back=False).status == "temporary"
    assert takes_back([replace(sent, state=State.ACCEPTED, permanent=True)], declined)
    assert given_before.after(declined, takes_back=True).status == "none"


def test_what_meta_refused_is_not_answered_by_a_reply_to_something_else() -> None:
    refused = Invitation(uuid.uuid4(), State.FAILED, START)
    unknown = replace(refused, id=uuid.uuid4(), claimed_at=START)
    reply = PermissionReply("1", "wamid.r", "49", None, True, True, None, "wamid.9", False, START)
    assert settle([refused], reply) == []
    (accepted,) = settle([refused, unknown], reply)
    assert (accepted.id, accepted.state, accepted.message_id) == (unknown.id, State.ACCEPTED, "wamid.9")
