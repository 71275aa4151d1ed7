"""What goes on: agents' states, calls and invitations that are wanted, the live board."""

import base64
import json
from datetime import datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from ari_app.calls.refusal import Refusal
from ari_app.console.access import AGENTS, SUPERVISORS
from ari_app.console.api.operations import Ask, In, Operations, Out, Whole
from ari_app.console.api.problems import Part, Problem, not_found, refused
from ari_app.console.board_rows import AgentRow, CallRow, GroupRow, Scope, Totals, WaitingRow, rows_of
from ari_app.console.keys import BOARD, FOLDERS
from ari_app.console.reaching import Reach
from ari_app.store.console.board import LiveAgent, standing
from ari_app.store.console.desk import DeskStore
from ari_app.store.console.reaching import Invited, ReachingStore, Reader, Requested
from ari_app.store.console.users import Role

operations = Operations("Work")

_ENDPOINT = "^[A-Za-z0-9]{1,32}/[A-Za-z0-9_.@+-]{1,120}$"
_USER = Field(min_length=1, max_length=128, description="Number with country code, or Meta's id of the user")


class AgentStanding(Out):
    id: UUID
    endpoint: str
    name: str
    groups: list[str]
    standing: str
    since: datetime | None
    logged_in: bool
    pause_reason: str | None


class AgentStandings(Out):
    items: list[AgentStanding]


class AgentStateIn(In):
    state: Literal["login", "logout", "pause", "resume"]
    reason: str | None = Field(None, max_length=128, description="Of a pause, one of those that are configured")


class Wanted(In):
    to: str = _USER
    number: str | None = Field(
        None, pattern="^[0-9]{1,15}$", description="Business number; else that of the agent's group"
    )
    agent: str | None = Field(None, pattern=_ENDPOINT, description="Endpoint; else the token's own agent")


class CallRequest(Out):
    id: UUID
    agent: str
    endpoint: str
    business_number: str | None
    user_key: str
    origin: str
    requested_by: str
    state: str
    call_id: UUID | None
    refusal: str | None
    reason: str | None
    call_status: str | None
    wanted_at: datetime
    ended_at: datetime | None


class InvitationOut(Out):
    id: UUID
    business_number: str
    user_key: str
    state: str
    agent: str | None
    requested_by: str
    wanted_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    permanent: bool
    granted_until: datetime | None
    error_code: int | None
    error_text: str | None


class InvitationPage(Out):
    items: list[InvitationOut]
    next: str | None


class InvitationQuery(In):
    user: str | None = Field(None, max_length=128, description="Digits without +, or Meta's id")
    limit: Whole = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, pattern="^[A-Za-z0-9_-]{1,200}$")


class Live(Out):
    at: datetime
    totals: Totals
    waiting: list[WaitingRow]
    calls: list[CallRow]
    agents: list[AgentRow]
    groups: list[GroupRow]


@operations.get("/agent-states", roles=AGENTS, answer=AgentStandings, summary="How agents stand just now")
async def states(ask: Ask) -> BaseModel:
    snapshot = await ask.request.app[BOARD].now()
    found = []
    for agent in snapshot.agents:
        if _sees(ask, agent):
            how, since = standing(agent, snapshot.by_agent.get(agent.id), snapshot.at)
            found.append(_standing(agent, how.value, since))
    return AgentStandings(items=found)


@operations.put(
    "/agents/{technology}/{resource}/state", roles=AGENTS, body=AgentStateIn, summary="Log in or out, pause, resume"
)
async def set_state(ask: Ask) -> None:
    wanted = ask.body(AgentStateIn)
    agent = await _agent(ask, f"{ask.parts['technology']}/{ask.parts['resource']}")
    reasons = ask.request.app[FOLDERS].pause_reasons.values()
    if wanted.state == "pause" and wanted.reason not in reasons:
        errors = [Part(field="body/reason", message=f"one of {', '.join(reasons)}")]
        raise refused("There is no such reason for a pause.", errors)
    reason = wanted.reason if wanted.state == "pause" else None
    if not await DeskStore(ask.stores.database).set(agent.id, wanted.state, ask.actor, reason):
        raise refused("This agent may take no calls.")


@operations.post(
    "/call-requests",
    roles=AGENTS,
    body=Wanted,
    answer=CallRequest,
    once=True,
    summary="Ring an agent, then call a user",
)
async def call(ask: Ask) -> BaseModel:
    request = await _reach(ask, "call")
    found = await ReachingStore(ask.stores.database).request(request, Reader(None, None))
    if found is None:
        raise not_found()
    return _request(found)


@operations.get("/call-requests/{id}", roles=AGENTS, answer=CallRequest, summary="What became of a call request")
async def find_request(ask: Ask) -> BaseModel:
    found = await ReachingStore(ask.stores.database).request(ask.id, _reader(ask))
    if found is None:
        raise not_found()
    return _request(found)


@operations.post(
    "/invitations", roles=AGENTS, body=Wanted, answer=InvitationOut, once=True, summary="Ask a user to allow calls"
)
async def invite(ask: Ask) -> BaseModel:
    """While an invitation of this user is not answered, that one is meant."""
    request = await _reach(ask, "invite")
    found = await ReachingStore(ask.stores.database).invitations(Reader(None, None), one=request)
    if not found:
        raise not_found()
    return _invitation(found[0])


@operations.get("/invitations", roles=AGENTS, query=InvitationQuery, answer=InvitationPage, summary="Invitations")
async def invitations(ask: Ask) -> BaseModel:
    wanted = ask.query(InvitationQuery)
    found = await ReachingStore(ask.stores.database).invitations(
        _reader(ask),
        user_key=wanted.user,
        behind=_behind(wanted.cursor) if wanted.cursor is not None else None,
        limit=wanted.limit + 1,
    )
    items = [_invitation(one) for one in found[: wanted.limit]]
    after = _cursor(found[wanted.limit - 1]) if len(found) > wanted.limit else None
    return InvitationPage(items=items, next=after)


@operations.get("/live", roles=SUPERVISORS, answer=Live, summary="Who waits, who talks, how agents and groups do")
async def live(ask: Ask) -> BaseModel:
    board = ask.request.app[BOARD]
    snapshot = await board.now()
    figures = await board.figures(snapshot.at, ZoneInfo("UTC"))
    rows = rows_of(snapshot, figures, _scope(ask))
    return Live(
        at=snapshot.at,
        totals=rows.totals,
        waiting=list(rows.waiting),
        calls=list(rows.calls),
        agents=list(rows.agents),
        groups=list(rows.groups),
    )


def _scope(ask: Ask) -> Scope:
    return Scope(None if ask.user.role is Role.ADMINISTRATOR else frozenset(ask.user.groups))


def _sees(ask: Ask, agent: LiveAgent) -> bool:
    """Oneself, and a supervisor those of the groups."""
    if agent.id == ask.user.agent_id:
        return True
    return ask.user.role is not Role.AGENT and _scope(ask).has(agent)


def _reader(ask: Ask) -> Reader:
    match ask.user.role:
        case Role.ADMINISTRATOR:
            return Reader(None, None)
        case Role.SUPERVISOR:
            return Reader(ask.user.agent_id, list(ask.user.groups))
    return Reader(ask.user.agent_id, [])


async def _agent(ask: Ask, endpoint: str | None) -> LiveAgent:
    """Raises Problem: one that may not be seen is not there."""
    snapshot = await ask.request.app[BOARD].now()
    for agent in snapshot.agents:
        wanted = agent.id == ask.user.agent_id if endpoint is None else agent.endpoint == endpoint
        if wanted and _sees(ask, agent):
            return agent
    if endpoint is None:
        raise refused("The token has no agent: name one.", [Part(field="body/agent", message="missing")])
    raise not_found(f"There is no agent {endpoint}, or none for this token.")


async def _reach(ask: Ask, how: Literal["call", "invite"]) -> UUID:
    """Raises Problem: the same judgement as on the agent desk, in its words."""
    wanted = ask.body(Wanted)
    agent = await _agent(ask, wanted.agent)
    reach = Reach(ask.stores.database, ask.request.app[FOLDERS])
    done = await (reach.call if how == "call" else reach.invite)(
        agent.id, wanted.to, wanted.number, ask.actor.name[:128]
    )
    if isinstance(done, Refusal):
        raise refused(done.reason, [Part(field=f"rule/{done.rule.value}", message=done.reason)])
    assert done.request is not None
    return done.request


def _standing(agent: LiveAgent, how: str, since: datetime | None) -> AgentStanding:
    return AgentStanding(
        id=agent.id,
        endpoint=agent.endpoint,
        name=agent.name,
        groups=list(agent.groups),
        standing=how,
        since=since,
        logged_in=agent.logged_in,
        pause_reason=agent.pause_reason,
    )


def _request(found: Requested) -> CallRequest:
    return CallRequest.model_validate(found)


def _invitation(found: Invited) -> InvitationOut:
    return InvitationOut.model_validate(found)


def _cursor(last: Invited) -> str:
    text = json.dumps([last.wanted_at.isoformat(), str(last.id)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _behind(cursor: str) -> tuple[datetime, UUID]:
    """Raises Problem."""
    try:
        at, last = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError
        return moment, UUID(last)
    except (ValueError, TypeError, AttributeError) as error:
        errors = [Part(field="query/cursor", message="none of ours")]
        raise Problem(422, "invalid", "The query is not as described.", errors=errors) from error
