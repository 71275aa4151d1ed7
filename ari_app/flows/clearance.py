"""May this agent call this user, and with what money? All that is decided before Meta is asked, but for permission."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from ari_app.calls.call import ChannelType
from ari_app.calls.called import Called, country_of, read_called
from ari_app.calls.offer import Agent
from ari_app.calls.rates import Rate, rate_for, reserve, shown
from ari_app.calls.refusal import Refusal, Rule, refuse_business, refuse_customer
from ari_app.config import AppConfig
from ari_app.flows.balance_endpoint import BalanceEndpoint
from ari_app.flows.entrance import now
from ari_app.flows.guard import may_join
from ari_app.store.billing import Billing, BillingStore
from ari_app.store.outgoing import BusinessNumber, OutgoingStore


@dataclass(frozen=True)
class Errand:
    """What an agent wants, as far as it could be found out."""

    agent: Agent | None
    business: BusinessNumber | None
    called: Called
    named: str | None = None
    "The business number that was asked for."


@dataclass(frozen=True)
class Terms:
    """How a call is paid."""

    rate: Rate | None = None
    "None: nothing is written down of its price."
    billing: Billing | None = None
    "Set when it is paid from the balance here."
    limit: timedelta | None = None
    "How long it may last, where another system says so."


class Clearance:
    """One for all calls. All methods raise StoreError when PostgreSQL is away: nobody calls out unchecked."""

    def __init__(self, store: OutgoingStore, billing: BillingStore, config: AppConfig) -> None:
        self._store = store
        self._billing = billing
        self._config = config
        self._rules = config.calling_out.rules
        balance = config.calling_out.balance
        self._endpoint = None if balance is None else BalanceEndpoint(balance)

    async def errand(self, agent: Agent | None, dialled: str, named: str | None) -> Errand:
        """Read what was dialled, in the light of the number with which this agent calls."""
        business = await self._store.business(agent.id if agent is not None else None, named)
        home = country_of(business.number) if business is not None else None
        return Errand(agent, business, read_called(dialled, home), named)

    def unprepared(self, agent: Agent | None, dialled: str, named: str | None) -> Errand:
        """While nobody knows which numbers there are."""
        return Errand(agent, None, read_called(dialled, None), named)

    def refuse(self, errand: Errand) -> Refusal | None:
        """By the rules that need nobody else to be asked; None when all is well."""
        if refusal := refuse_customer(errand.called, self._rules):
            return refusal
        if errand.business is None:
            which = f"there is no WhatsApp number {errand.named}" if errand.named else "the agent's groups have none"
            return Refusal(Rule.NO_BUSINESS_NUMBER, f"no business number to call from: {which}")
        if errand.agent is not None and self._config.pstn_guard:
            agent = errand.agent
            if not may_join(ChannelType.WHATSAPP, voip_only=agent.voip_only):
                reason = f"the PSTN guard keeps WhatsApp calls from agent {agent.name}, who is not voip_only"
                return Refusal(Rule.PSTN_GUARD, reason)
        return refuse_business(
            errand.business.number,
            self._rules,
            calling_enabled=errand.business.calling_enabled,
            restrictions=errand.business.restrictions,
        )

    async def pay(self, errand: Errand, call: UUID | None) -> Terms | Refusal:
        """Whether it can be paid. For a call, money is held, and its account is open; without one, it is only looked.

        The call must be recorded.
        """
        billing = await self._billing.state()
        if not billing.enabled or errand.business is None:
            return Terms()
        called = errand.called
        quoted = [
            q.rate for q in await self._billing.rates(errand.business.number) if q.rate.currency == billing.currency
        ]
        rate = rate_for(quoted, called.digits or "", called.country, now())
        if rate is None:
            reason = f"number {errand.business.number} has no rate in {billing.currency} for calls to {called.shown}"
            return Refusal(Rule.NO_RATE, reason)
        if self._endpoint is not None:
            return await self._ask(self._endpoint, errand, errand.business, rate, call)
        needed = reserve(rate, timedelta(seconds=billing.reserve_seconds))
        poor = Refusal(
            Rule.BALANCE,
            f"insufficient balance: a call needs {shown(needed, rate.currency)} for the first "
            f"{billing.reserve_seconds} s, and {shown(billing.free, rate.currency)} is free",
        )
        if billing.free < needed:
            return poor
        if call is not None:
            await self._billing.open(call, rate, from_balance=True)
            if await self._billing.hold(call, needed, needed) is None:
                return poor
        return Terms(rate, billing)

    async def _ask(
        self, endpoint: BalanceEndpoint, errand: Errand, business: BusinessNumber, rate: Rate, call: UUID | None
    ) -> Terms | Refusal:
        verdict = await endpoint.ask(
            {
                "call": None if call is None else str(call),
                "number": business.number,
                "to": errand.called.user_key,
                "country": errand.called.country,
                "agent": errand.agent.name if errand.agent is not None else None,
                "price_per_minute": str(rate.price_per_minute),
                "currency": rate.currency,
            }
        )
        if not verdict.allowed:
            rule = Rule.BALANCE if verdict.is_known else Rule.BALANCE_UNKNOWN
            return Refusal(rule, verdict.reason or "insufficient balance")
        if call is not None:
            await self._billing.open(call, rate, from_balance=False)
        return Terms(rate, limit=verdict.limit)
