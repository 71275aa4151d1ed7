"""Sends invitations, and lets what has run out lapse: the worker behind `whatsapp.permission_requests`.

An invitation is sent at most once. It is claimed in the database before Meta is asked, and only given back where Meta
certainly has not taken it: no connection, or too many requests. After a time-out, a 5xx, or a crash of the bridge
between the request and the record, nobody knows; it is then `failed`, in those words, and not sent again. Should it
have reached the user, the user's answer finds it and counts.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from whatsapp_bridge.meta import permission_message as message
from whatsapp_bridge.meta.graph import GraphClient, GraphRefused, GraphUnavailable
from whatsapp_bridge.meta.permission_message import Wording
from whatsapp_bridge.permission_store import Claimed, PermissionStore

logger = logging.getLogger(__name__)

#: How many are sent at once.
AT_ONCE = 4
#: An invitation that could not even be sent for so long is of no use any more.
GIVE_UP_AFTER = timedelta(hours=1)
#: Whoever claimed an invitation has had its answer, or none, long before.
ORPHANED_AFTER = timedelta(minutes=2)

UNKNOWN = "whether the invitation reached the user is not known; it is not sent again, but an answer would count"


def utc_now() -> datetime:
    return datetime.now(UTC)


class Invitations:
    """`work` is one round. `now` is a clock for tests."""

    def __init__(
        self,
        store: PermissionStore,
        graph: GraphClient,
        wording: Callable[[str], Wording],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._graph, self._wording, self._now = store, graph, wording, now

    async def work(self) -> float | None:
        """Send what is wanted, end what is over. In how many seconds there is more to do, None if that is open."""
        await self._store.lapse(self._now())
        await self._store.give_up_orphans(self._now() - ORPHANED_AFTER, f"the bridge stopped while sending: {UNKNOWN}")
        while claimed := await self._store.claim(self._now(), AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for each in claimed:
                    group.create_task(self._send(each))
        due = await self._store.next_due()
        return None if due is None else (due - self._now()).total_seconds()

    async def _send(self, claimed: Claimed) -> None:
        wording = self._wording(claimed.phone_number_id)
        template = message.use_template(wording, window_open=claimed.window_open)
        try:
            try:
                reply = await self._post(claimed, wording, template=template)
            except GraphRefused as refused:
                if refused.code != message.WINDOW_CLOSED or template or wording.template is None:
                    raise
                reply = await self._post(claimed, wording, template=True)
        except GraphRefused as refused:
            await self._refused(claimed, refused)
        except GraphUnavailable as error:
            if not error.taken:
                await self._put_off(claimed, None, error.text)
            else:
                await self._fail(claimed, None, f"{error.text}: {UNKNOWN}", perhaps_sent=True)
        else:
            if (message_id := message.message_id(reply)) is None:
                await self._fail(claimed, None, f"Meta's reply names no message: {UNKNOWN}", perhaps_sent=True)
                return
            await self._store.sent(claimed, message_id, message.scoped_id(reply), self._now())
            logger.info("invitation %s sent%s", claimed.id, " as a template" if template else "")

    async def _post(self, claimed: Claimed, wording: Wording, *, template: bool) -> dict[str, object]:
        body = message.body(claimed.user_key, wording, claimed.text, template=template)
        return await self._graph.of_number("POST", claimed.phone_number_id, "messages", body=body)

    async def _refused(self, claimed: Claimed, refused: GraphRefused) -> None:
        if refused.status == 429 or refused.code in message.THROTTLED:
            await self._put_off(claimed, refused.code, refused.meta_text)
            return
        text = refused.meta_text
        if refused.code == message.WINDOW_CLOSED:
            text += " (the user has not called or written within 24 hours; set permission_template in [meta])"
        await self._fail(claimed, refused.code, text)

    async def _put_off(self, claimed: Claimed, code: int | None, text: str) -> None:
        now = self._now()
        if now - claimed.wanted_at > GIVE_UP_AFTER:
            await self._fail(claimed, code, f"{text} (tried {claimed.attempts} times)")
            return
        pause = message.pause(claimed.attempts)
        logger.warning("invitation %s not sent, again in %g s: %s", claimed.id, pause, text)
        await self._store.put_off(claimed, now + timedelta(seconds=pause), code, text)

    async def _fail(self, claimed: Claimed, code: int | None, text: str, *, perhaps_sent: bool = False) -> None:
        logger.warning("invitation %s failed: %s %s", claimed.id, code or "", text)
        check = code in (message.PERMANENT_ALREADY, message.REQUEST_LIMIT)
        await self._store.failed(claimed, code, text, perhaps_sent=perhaps_sent, check=check, now=self._now())
