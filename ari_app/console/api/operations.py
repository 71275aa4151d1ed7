"""Operations of the API, declared once.

operations = Operations("Groups")

@operations.get("/groups/{name}", roles=ADMINISTRATORS, answer=Group, summary="One group")
async def one(ask: Ask) -> Group: ...
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict

from ari_app.console.keys import STORES, Stores
from ari_app.store.console.audit import Actor
from ari_app.store.console.tokens import Token
from ari_app.store.console.users import Role, User

PREFIX = "/api/v1"

#: Most bytes of a body of JSON.
JSON_BYTES = 256 * 1024

#: What the parts of addresses look like, by their names.
PARTS: dict[str, dict[str, Any]] = {
    "number": {"type": "string", "pattern": "^[0-9]{1,15}$", "description": "Business number, digits without +"},
    "name": {"type": "string", "minLength": 1, "maxLength": 64},
    "prompt": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"},
    "technology": {"type": "string", "pattern": "^[A-Za-z0-9]{1,32}$", "description": "Such as PJSIP"},
    "resource": {"type": "string", "pattern": "^[A-Za-z0-9_.@+-]{1,120}$", "description": "Such as 1001"},
    "linkedid": {"type": "string", "minLength": 1, "maxLength": 150},
    "id": {"type": "string", "format": "uuid"},
    "delivery": {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"},
}


class In(BaseModel):
    """What is asked: nothing that is not known is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Out(BaseModel):
    """What is answered, also from the attributes of what a store returns."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


def _written(pattern: str, what: str) -> BeforeValidator:
    """Texts of parameters in one spelling only, as the document has it."""

    def check(value: object) -> object:
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            raise ValueError(f"this is not {what}")
        return value

    return BeforeValidator(check)


#: Types of parameters.
Moment = Annotated[
    AwareDatetime,
    _written(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]{8,24}([Zz]|[+-][0-9]{2}:[0-9]{2})", "a time (RFC 3339)"),
]
Whole = Annotated[int, _written(r"-?[0-9]{1,19}", "a whole number")]

Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Ask:
    """A request that was let in and understood."""

    request: web.Request
    user: User
    "As the token makes them: its role, its agent, its groups."
    token: Token
    actor: Actor
    parts: dict[str, str]
    _query: BaseModel | None = None
    _body: BaseModel | None = None
    status: int | None = None
    "Instead of the operation's usual one."

    def query(self, model: type[Model]) -> Model:
        assert isinstance(self._query, model)
        return self._query

    def body(self, model: type[Model]) -> Model:
        assert isinstance(self._body, model)
        return self._body

    @property
    def stores(self) -> Stores:
        return self.request.app[STORES]

    @property
    def id(self) -> UUID:
        return UUID(self.parts["id"])

    def sees_all(self) -> bool:
        return self.user.role in (Role.ADMINISTRATOR, Role.REPORTING)


Answer = BaseModel | web.StreamResponse | None
Handler = Callable[[Ask], Awaitable[Answer]]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    "Below PREFIX."
    handler: Handler
    roles: frozenset[Role]
    summary: str
    tag: str
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    "None: nothing (204), or `file`."
    file: str | None = None
    "Media type of a file that is answered; ranges are."
    upload: int | None = None
    "Most bytes of a body that is a file."
    status: int = 200
    once: bool = False
    "Takes an Idempotency-Key."

    @property
    def names(self) -> list[str]:
        return re.findall(r"\{([a-z]+)\}", self.path)

    @property
    def id(self) -> str:
        return f"{self.handler.__module__.rpartition('.')[2]}_{self.handler.__name__}"

    @property
    def has_body(self) -> bool:
        return self.body is not None or self.upload is not None


@dataclass
class Operations:
    """The operations of one subject."""

    tag: str
    _found: list[Operation] = field(default_factory=list)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._found)

    def get(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._operation("GET", path, declared)

    def post(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._operation("POST", path, {"status": 201} | declared)

    def put(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._operation("PUT", path, declared)

    def patch(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._operation("PATCH", path, declared)

    def delete(self, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        return self._operation("DELETE", path, {"status": 204} | declared)

    def _operation(self, method: str, path: str, declared: dict[str, Any]) -> Callable[[Handler], Handler]:
        if unknown := set(re.findall(r"\{([a-z]+)\}", path)) - set(PARTS):
            raise ValueError(f"{path}: nobody says what {unknown} looks like")

        def remember(handler: Handler) -> Handler:
            self._found.append(Operation(method, path, handler, tag=self.tag, **declared))
            return handler

        return remember
