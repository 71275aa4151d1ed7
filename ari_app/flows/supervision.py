"""What supervisors order of running calls: listen in, whisper, barge in, hang up (sql/0018).

Who may order it, the console has judged; here it is done, if it can be. Whoever takes the row first, does it: only the
application that has the call tries.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from functools import partial

from ari_app.calls.call import State
from ari_app.flows.facts import WANTED, Facts
from ari_app.flows.supervisor import CannotJoin, Supervisor
from ari_app.flows.visit import Visit
from ari_app.flows.worker import keep_working
from ari_app.store.database import StoreError
from ari_app.store.orders import Order, OrderStore
from ari_app.store.outgoing import OutgoingStore

logger = logging.getLogger(__name__)

#: Orders are looked for so often, s; a new one at once.
LOOK_SECONDS = 5.0

#: An order that nobody takes within so long is none any more, s.
PATIENCE_SECONDS = 10.0


class Supervision:
    """One for the process."""

    def __init__(
        self, store: OrderStore, agents: OutgoingStore, facts: Facts, find: Callable[[uuid.UUID], Visit | None]
    ) -> None:
        """`find` knows the calls of this process."""
        self._store = store
        self._agents = agents
        self._find = find
        self._wake = asyncio.Event()
        facts.wake(WANTED, "order:", self._wake.set)

    async def run(self) -> None:
        """Take orders until cancelled; those on the way end with it."""
        async with asyncio.TaskGroup() as group:
            await keep_working("orders of supervisors", partial(self._look_round, group), self._wake, LOOK_SECONDS)

    async def _look_round(self, group: asyncio.TaskGroup) -> None:
        await self._store.tidy(PATIENCE_SECONDS)
        for order in await self._store.waiting():
            visit = self._find(order.call_id)
            if visit is not None and await self._store.take(order.id):
                group.create_task(self._serve(order, visit), name=f"order-{order.id}")

    async def _serve(self, order: Order, visit: Visit) -> None:
        """One order. Nothing that goes wrong in it leaves this."""
        logger.info("call %s: %s wants to %s", order.call_id, order.requested_by, order.kind)
        try:
            if order.kind == "hangup":
                await visit.hang_up(f"{order.requested_by} hung it up from the console")
            else:
                await self._join(order, visit)
            await self._store.close(order.id)
        except CannotJoin as refusal:
            logger.info("call %s: %s cannot %s: %s", order.call_id, order.requested_by, order.kind, refusal)
            await self._close(order, str(refusal))
        except StoreError as error:
            logger.error("order %s stays open in PostgreSQL: %s", order.id, error)
        except Exception as error:
            logger.exception("order %s: a fault of ours", order.id)
            await self._close(order, f"internal error ({type(error).__name__})")

    async def _join(self, order: Order, visit: Visit) -> None:
        agent = await self._agents.agent(order.agent_id) if order.agent_id is not None else None
        if agent is None:
            raise CannotJoin("your agent may not take calls any more")
        if visit.call.state is not State.CONNECTED:
            raise CannotJoin("nobody talks in this call just now")
        guard = visit.services.guard
        if not guard.may_join(visit.call, voip_only=agent.voip_only):
            raise CannotJoin(guard.refuse(visit.call, f"agent {agent.name}"))
        async with Supervisor(visit, agent, order.kind) as supervisor:
            await supervisor.ring()
            await supervisor.join()
            await self._store.active(order.id)
            await supervisor.stay()

    async def _close(self, order: Order, failure: str) -> None:
        try:
            await self._store.close(order.id, failure)
        except StoreError as error:
            logger.error("order %s stays open in PostgreSQL: %s", order.id, error)
