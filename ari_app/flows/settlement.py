"""Settling the accounts of outbound calls that are over, whoever made them."""

import logging

from ari_app.calls.rates import fee_seconds, price
from ari_app.store.billing import BillingStore

logger = logging.getLogger(__name__)

#: For so long after a call's end the bridge may still learn from Meta how long it was, s.
PATIENCE_SECONDS = 10.0


async def settle_due(store: BillingStore, patience: float = PATIENCE_SECONDS) -> int:
    """Charge every call that is over, and give back what it held; how many. Several processes may do it at once.

    Raises StoreError.
    """
    count = 0
    for due in await store.due(patience):
        seconds = fee_seconds(due.rate, due.answered)
        if await store.settle(due.call, seconds, price(due.rate, seconds)):
            count += 1
            logger.info("call %s costs %s %s for %d s", due.call, price(due.rate, seconds), due.rate.currency, seconds)
    return count
