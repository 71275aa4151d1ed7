"""Who the token is, users of the console, and the audit."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from ari_app.console.access import ADMINISTRATORS, EVERYBODY
from ari_app.console.api.operations import Ask, In, Moment, Operations, Out, Whole
from ari_app.console.api.problems import Part, not_found, refused
from ari_app.console.keys import PASSWORDS
from ari_app.console.passwords import generated
from ari_app.store.console.users import Role, User, UserRefused, UserSettings, sorted_groups

operations = Operations("Users and audit")


class Me(Out):
    login: str
    role: Role
    token: str = Field(description="The token's name")
    agent_id: UUID | None
    groups: list[str]
    expires_at: datetime | None


class UserOut(Out):
    id: UUID
    login: str
    name: str
    role: Role
    agent_id: UUID | None
    groups: tuple[str, ...]
    enabled: bool
    must_change: bool = Field(description="The password is to be changed at the next sign-in")
    created_at: datetime
    signed_in_at: datetime | None


class NewUser(In):
    login: str = Field(pattern=r"^[a-z0-9][a-z0-9._@+-]{0,63}$")
    name: str = Field(min_length=1, max_length=128)
    role: Role
    agent_id: UUID | None = None
    groups: list[str] = Field(default_factory=list, max_length=100, description="Of a supervisor")


class UserAdded(UserOut):
    password: str = Field(description="Shown now and never again; to be changed at the first sign-in")


class UserChanges(In):
    name: str | None = Field(None, min_length=1, max_length=128)
    role: Role | None = None
    agent_id: UUID | None = None
    groups: list[str] | None = Field(None, max_length=100)
    enabled: bool | None = None


class Users(Out):
    items: list[UserOut]


class AuditQuery(In):
    actor: str | None = Field(None, max_length=128)
    kind: str | None = Field(None, max_length=40)
    subject: str | None = Field(None, max_length=300, description="A part of it")
    since: Moment | None = None
    until: Moment | None = None
    limit: Whole = Field(50, ge=1, le=500)
    cursor: Whole | None = Field(None, ge=1, lt=2**63, description="`next` of the page before")


class AuditLine(Out):
    id: int
    at: datetime
    actor: str
    address: str | None
    action: str
    kind: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]


class AuditPage(Out):
    items: list[AuditLine]
    next: int | None


@operations.get("/me", roles=EVERYBODY, answer=Me, summary="Whose token this is, and what it may do")
async def me(ask: Ask) -> BaseModel:
    user, token = ask.user, ask.token
    return Me(
        login=user.login,
        role=user.role,
        token=token.name,
        agent_id=user.agent_id,
        groups=list(user.groups),
        expires_at=token.expires_at,
    )


@operations.get("/users", roles=ADMINISTRATORS, answer=Users, summary="Users of the console")
async def users(ask: Ask) -> BaseModel:
    return Users(items=[UserOut.model_validate(user) for user in await ask.stores.users.all()])


@operations.post("/users", roles=ADMINISTRATORS, body=NewUser, answer=UserAdded, summary="Add a user")
async def add(ask: Ask) -> BaseModel:
    wanted, password = ask.body(NewUser), generated()
    settings = _checked(UserSettings(wanted.name, wanted.role, wanted.agent_id, sorted_groups(wanted.groups)))
    hashed = await ask.request.app[PASSWORDS].hash(password)
    try:
        user = await ask.stores.users.add(wanted.login, settings, hashed, ask.actor)
    except UserRefused as refusal:
        raise _refused(refusal) from refusal
    return UserAdded(password=password, **UserOut.model_validate(user).model_dump())


@operations.get("/users/{id}", roles=ADMINISTRATORS, answer=UserOut, summary="One user")
async def find(ask: Ask) -> BaseModel:
    return UserOut.model_validate(await _found(ask))


@operations.patch("/users/{id}", roles=ADMINISTRATORS, body=UserChanges, answer=UserOut, summary="Change a user")
async def change(ask: Ask) -> BaseModel:
    user = await _found(ask)
    given = ask.body(UserChanges).model_dump(exclude_unset=True)
    known = {"name": user.name, "role": user.role, "agent_id": user.agent_id, "enabled": user.enabled}
    # Only an agent may be taken away (null); of the others null means nothing.
    wanted = known | {name: value for name, value in given.items() if value is not None or name == "agent_id"}
    groups = sorted_groups(wanted.pop("groups", user.groups))
    settings = _checked(UserSettings(groups=groups, **wanted))
    if user.id == ask.user.id and not (settings.enabled and settings.role is user.role):
        raise refused("You cannot take your own rights away: let another administrator do it.")
    try:
        return UserOut.model_validate(await ask.stores.users.change(user.id, settings, ask.actor))
    except UserRefused as refusal:
        raise _refused(refusal) from refusal


@operations.get("/audit", roles=ADMINISTRATORS, query=AuditQuery, answer=AuditPage, summary="Who changed what")
async def audit(ask: Ask) -> BaseModel:
    wanted = ask.query(AuditQuery)
    found = await ask.stores.audit.page(
        actor=wanted.actor,
        kind=wanted.kind,
        subject=wanted.subject,
        since=wanted.since,
        until=wanted.until,
        before_id=wanted.cursor,
        limit=wanted.limit + 1,
    )
    lines = [AuditLine.model_validate(line) for line in found[: wanted.limit]]
    return AuditPage(items=lines, next=lines[-1].id if len(found) > wanted.limit else None)


async def _found(ask: Ask) -> User:
    user = await ask.stores.users.find(ask.id)
    if user is None:
        raise not_found()
    return user


def _checked(settings: UserSettings) -> UserSettings:
    """Raises Problem. The same rules as on the page."""
    if not settings.name.isprintable():
        raise refused("A name has no control characters.", [Part(field="body/name", message="not printable")])
    if settings.role is Role.AGENT and settings.agent_id is None:
        raise refused("An agent's user needs an agent.", [Part(field="body/agent_id", message="missing")])
    groups = settings.groups if settings.role is Role.SUPERVISOR else ()
    return UserSettings(settings.name, settings.role, settings.agent_id, groups, settings.enabled)


def _refused(refusal: UserRefused) -> Exception:
    errors = [Part(field=f"body/{refusal.field}", message=str(refusal))] if refusal.field else None
    return refused(str(refusal), errors)
