"""A user who holds a phone of their own, and what the simulator asks of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .call import Surroundings
from .config import NumberConfig
from .inbound import InboundCall
from .models import PlaceCall, UserPlan
from .outbound import OutboundCall
from .payloads import CallFacts
from .sdp import BusinessMedia

MakeInbound = Callable[[Surroundings, CallFacts, PlaceCall], InboundCall]


class Person(Protocol):
    """Stands in `World.phones` as long as the phone is on; without one a user acts as planned."""

    def called(
        self, around: Surroundings, facts: CallFacts, plan: UserPlan, business: BusinessMedia, sdp: str
    ) -> OutboundCall:
        """A business calls: the call, which the person accepts or not."""

    def asked(self, number: NumberConfig, message_id: str, text: str) -> None:
        """A business asks for permission to call: the person answers, or not."""
