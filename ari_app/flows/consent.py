"""Does the user allow to be called? By what Meta said lately, or by asking; and inviting the user to allow it."""

import asyncio
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta

from ari_app.ari import Subscription
from ari_app.calls.permission import May, Permission
from ari_app.calls.refusal import Refusal, Rule
from ari_app.config import CallingOutConfig
from ari_app.flows.clearance import Errand
from ari_app.flows.entrance import now
from ari_app.flows.facts import Facts, Told
from ari_app.flows.legs import CallerLeg
from ari_app.store.outgoing import BusinessNumber
from ari_app.store.permissions import PermissionStore

#: How long an agent waits for Meta's answer, s; then the call itself is the question.
ASK_SECONDS = 3.0

#: For that the agent is looking: a word of PostgreSQL that got lost costs so much, s.
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Consent:
    """One for all calls. All methods raise StoreError."""

    store: PermissionStore
    facts: Facts
    config: CallingOutConfig

    async def ask(self, leg: CallerLeg, business: BusinessNumber, user_key: str) -> Permission:
        """What Meta says now, or said lately; unknown when it does not answer in time. Raises CallerLeft."""
        known = await self.store.find(business.phone_number_id, user_key)
        if known.is_fresh(now()):
            return known
        deadline = asyncio.get_running_loop().time() + ASK_SECONDS
        with self._watching(leg.events, business, user_key):
            await self.store.want_check(business.phone_number_id, user_key)
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                with suppress(TimeoutError):
                    await leg.wait_for(Told, timeout=min(left, LOOK_SECONDS))
                if await self.store.is_answered(business.phone_number_id, user_key):
                    found = await self.store.find(business.phone_number_id, user_key)
                    return found if found.checked_at is not None else Permission()
        return Permission()

    def verdict(self, permission: Permission, errand: Errand) -> Refusal | None:
        """None when the user may be called, or when only Meta can tell."""
        match permission.may_call(now()):
            case May.NO:
                return Refusal(Rule.NO_PERMISSION, f"{errand.called.shown} has not allowed calls")
            case May.LIMIT:
                until = permission.call_limit_until
                when = f", until {until:%Y-%m-%d %H:%M} UTC" if until is not None else ""
                reason = f"{errand.called.shown} has had as many calls as WhatsApp allows{when}"
                return Refusal(Rule.CALL_LIMIT, reason)
        return None

    async def invite(
        self, errand: Errand, business: BusinessNumber, permission: Permission, *, text: str | None = None
    ) -> Refusal:
        """Ask the user for permission, and have the agent called back if there is one; as the refusal of a call."""
        shown, at = errand.called.shown, now()
        if not permission.may_request(at):
            until = permission.request_limit_until
            when = f" before {until:%Y-%m-%d %H:%M} UTC" if until is not None else " now"
            reason = f"{shown} has not allowed calls, and WhatsApp takes no further invitation{when}"
            return Refusal(Rule.REQUEST_LIMIT, reason)
        agent = errand.agent
        _, is_new = await self.store.invite(
            business.phone_number_id,
            errand.called.user_key,
            agent=agent.id if agent is not None else None,
            requested_by=agent.name if agent is not None else "command",
            call_back_until=None if agent is None else at + timedelta(hours=self.config.call_back_hours),
            text=text,
        )
        what = "an invitation was sent" if is_new else "an invitation waits for the answer"
        then = "" if agent is None else f", and {agent.name}'s phone rings when it is accepted"
        return Refusal(Rule.INVITED, f"{shown} has not allowed calls; {what}{then}")

    def _watching(self, events: Subscription, business: BusinessNumber, user_key: str) -> AbstractContextManager[None]:
        return self.facts.watching(events, f"permission:{business.phone_number_id}:{user_key}")
