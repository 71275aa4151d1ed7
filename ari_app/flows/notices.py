"""What the queue tells a caller's flow, as events in the caller's own queue of events."""

from ari_app.ari.events import Event
from ari_app.calls.offer import Agent
from ari_app.queueing import Why


class Offered(Event):
    """This agent is reserved for the caller; ring."""

    type: str = "Offered"
    agent: Agent
    group: str


class SentOn(Event):
    """The caller is no longer in the queue."""

    type: str = "SentOn"
    why: Why
