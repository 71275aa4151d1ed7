"""Who gets whom: agents, groups, waiting callers. Pure logic; time comes in as an argument, in s since 1970, UTC."""

from ari_app.queueing.agent import Agent
from ari_app.queueing.decide import decide
from ari_app.queueing.desk import Memory
from ari_app.queueing.place import Assignment, Decision, Departure, Place, Why
from ari_app.queueing.rules import JoinEmpty, LeaveEmpty, Rules, Strategy
from ari_app.queueing.state import State

__all__ = [
    "Agent",
    "Assignment",
    "Decision",
    "Departure",
    "JoinEmpty",
    "LeaveEmpty",
    "Memory",
    "Place",
    "Rules",
    "State",
    "Strategy",
    "Why",
    "decide",
]
