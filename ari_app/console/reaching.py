"""An agent wants to call a user, or to invite one: what speaks against it, in words, before anybody's phone rings.

The application judges again when it places the call; it is the same judgement (`flows/clearance.py`).
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ari_app.calls.permission import May, Permission
from ari_app.calls.refusal import Refusal, Rule
from ari_app.config import AppConfig
from ari_app.flows.clearance import Clearance, Errand
from ari_app.store.billing import BillingStore
from ari_app.store.call_requests import CallRequestStore
from ari_app.store.database import Database
from ari_app.store.outgoing import BusinessNumber, OutgoingStore
from ari_app.store.permissions import PermissionStore

#: The agent's phone is to ring within so long, s.
CALL_SECONDS = 30.0


@dataclass(frozen=True)
class Cleared:
    """Nothing speaks against it."""

    errand: Errand
    business: BusinessNumber
    permission: Permission
    request: UUID | None = None
    "The call request, or the invitation, that came of it."

    @property
    def user_key(self) -> str:
        return self.errand.called.user_key


class Reach:
    """All methods raise StoreError."""

    def __init__(self, database: Database, config: AppConfig) -> None:
        self._config = config.calling_out
        self._outgoing = OutgoingStore(database)
        self._permissions = PermissionStore(database)
        self._requests = CallRequestStore(database)
        self._clearance = Clearance(self._outgoing, BillingStore(database), config)

    async def user_key(self, agent: UUID, typed: str) -> str:
        """The WhatsApp user that is meant by what was typed, as far as that can be told."""
        return (await self._errand(agent, typed, None)).called.user_key

    async def call(self, agent: UUID, typed: str, named: str | None, requested_by: str) -> Cleared | Refusal:
        """Want the agent's phone to ring, and then the user's."""
        cleared = await self._clear(agent, typed, named)
        if isinstance(cleared, Refusal):
            return cleared
        shown = cleared.errand.called.shown
        match cleared.permission.may_call(datetime.now(UTC)):
            case May.NO:
                return Refusal(Rule.NO_PERMISSION, f"{shown} has not allowed calls: invite them first")
            case May.LIMIT:
                return Refusal(Rule.CALL_LIMIT, f"{shown} has had as many calls as WhatsApp allows for now")
        request = await self._requests.add(
            agent,
            cleared.user_key,
            number=cleared.business.number,
            origin="console",
            requested_by=requested_by,
            seconds=CALL_SECONDS,
        )
        return replace(cleared, request=request)

    async def invite(self, agent: UUID, typed: str, named: str | None, requested_by: str) -> Cleared | Refusal:
        """Want the user to be asked for permission to call; if given, the agent's phone rings."""
        cleared = await self._clear(agent, typed, named)
        if isinstance(cleared, Refusal):
            return cleared
        now, shown = datetime.now(UTC), cleared.errand.called.shown
        if not cleared.permission.may_request(now):
            until = cleared.permission.request_limit_until
            when = f" before {until:%Y-%m-%d %H:%M} UTC" if until is not None else " now"
            return Refusal(Rule.REQUEST_LIMIT, f"WhatsApp takes no further invitation of {shown}{when}")
        request, _ = await self._permissions.invite(
            cleared.business.phone_number_id,
            cleared.user_key,
            agent=agent,
            requested_by=requested_by,
            call_back_until=now + timedelta(hours=self._config.call_back_hours),
        )
        return replace(cleared, request=request)

    async def _errand(self, agent: UUID, typed: str, named: str | None) -> Errand:
        return await self._clearance.errand(await self._outgoing.agent(agent), typed, named)

    async def _clear(self, agent: UUID, typed: str, named: str | None) -> Cleared | Refusal:
        errand = await self._errand(agent, typed, named)
        if errand.agent is None:
            return Refusal(Rule.NO_AGENT, "you may not take calls: ask an administrator to enable your agent")
        if refusal := self._clearance.refuse(errand):
            return refusal
        assert errand.business is not None
        if isinstance(looked := await self._clearance.pay(errand, None), Refusal):
            return looked
        permission = await self._permissions.find(errand.business.phone_number_id, errand.called.user_key)
        return Cleared(errand, errand.business, permission)
