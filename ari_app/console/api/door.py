"""Between the network and every operation: whose token, how many requests, whether the role may, what is asked."""

import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import ceil

from aiohttp import web
from pydantic import BaseModel

from ari_app.console.api import reading
from ari_app.console.api.limits import Buckets
from ari_app.console.api.operations import Ask, Operation
from ari_app.console.api.problems import Problem, of_http
from ari_app.console.keys import STORES
from ari_app.console.session import address_of, digest
from ari_app.store.configuration.database import ConfigurationError
from ari_app.store.console.audit import Actor
from ari_app.store.console.tokens import Token, TokenStore
from ari_app.store.console.users import Role, User
from ari_app.store.database import StoreError, StoreUnavailable

logger = logging.getLogger(__name__)

LIMIT = web.AppKey("api_limit", Buckets)
STRANGERS = web.AppKey("api_strangers", Buckets)

#: Tokens that are none, for one address in a minute: nobody guesses 256 bits, but each guess costs a query.
WRONG_PER_MINUTE = 60

#: What tokens begin with, so that those who find one know what it is.
TOKEN_PREFIX = "aw_"  # noqa: S105
_LONGEST_TOKEN = 100

KEY_HEADER = "Idempotency-Key"
_LONGEST_KEY = 128


def guarded(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The operation's handler behind its door."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await _handle(request, operation)
        except Problem as problem:
            return problem.response()
        except web.HTTPException as error:
            return of_http(error.status, error.text or error.reason, error.headers).response()
        except (StoreUnavailable, ConfigurationError) as error:
            logger.error("%s %s: %s", request.method, request.path, error)
            return Problem(503, "unavailable", "PostgreSQL is away or too busy just now.").response()
        except (StoreError, Exception) as error:
            reference = secrets.token_hex(4)
            logger.exception("%s %s failed, reference %s: %s", request.method, request.path, reference, error)
            return Problem(500, "fault", "This is a fault of ours.", reference=reference).response()

    return handle


async def _handle(request: web.Request, operation: Operation) -> web.StreamResponse:
    token, user = await _recognise(request)
    if wait := request.app[LIMIT].take(token.id, time.monotonic()):
        raise _too_many(wait)
    if user.role not in operation.roles:
        raise Problem(403, "not_allowed", f"This is not for the role {user.role}.")
    actor = Actor(f"{user.login}, token {token.name}", user.id, address_of(request))
    ask = Ask(request, user, token, actor, reading.parts(request, operation))
    ask._query = reading.query(request, operation.query)
    content = b""
    if operation.body is not None:
        ask._body, content = await reading.body(request, operation.body)
    if operation.once and (key := request.headers.get(KEY_HEADER)) is not None:
        return await _once(ask, operation, key, content)
    return await _answer(ask, operation)


async def _answer(ask: Ask, operation: Operation) -> web.StreamResponse:
    answer = await operation.handler(ask)
    if isinstance(answer, web.StreamResponse):
        return answer
    status = ask.status or operation.status
    if answer is None:
        return web.Response(status=204)
    return _json(status, answer.model_dump_json())


def _json(status: int, text: str, **headers: str) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


async def _recognise(request: web.Request) -> tuple[Token, User]:
    """Raises Problem."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    given = given.strip()
    strangers, address, now = request.app[STRANGERS], address_of(request), time.monotonic()
    if wait := strangers.wait(address, now):
        raise _too_many(wait)
    stores = request.app[STORES]
    if scheme.lower() == "bearer" and given.startswith(TOKEN_PREFIX) and len(given) <= _LONGEST_TOKEN:
        token = await TokenStore(stores.database).find(digest(given))
        owner = await stores.users.find(token.user_id) if token is not None and token.valid else None
        if token is not None and owner is not None and owner.enabled and not owner.must_change:
            return token, seen_as(owner, token)
    if given:
        strangers.take(address, now)
    told = "The token is not valid." if given else "Send a token: Authorization: Bearer aw_…"
    raise Problem(401, "no_token", told, headers={"WWW-Authenticate": 'Bearer realm="asterisk-whatsapp"'})


def seen_as(owner: User, token: Token) -> User:
    """What a token makes of its user: an administrator may have given it another role, an agent and groups."""
    if owner.role is Role.ADMINISTRATOR and token.role is not Role.ADMINISTRATOR:
        return replace(owner, role=token.role, agent_id=token.agent_id, groups=token.groups)
    return owner


async def _once(ask: Ask, operation: Operation, key: str, content: bytes) -> web.StreamResponse:
    """What was asked with this key is done once, and answered the same each time."""
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise Problem(422, "invalid", f"An {KEY_HEADER} has 1 to {_LONGEST_KEY} characters of ASCII.")
    store, token = TokenStore(ask.stores.database), ask.token.id
    asked = hashlib.sha256(f"{operation.method} {ask.request.path_qs}\n".encode() + content).digest()
    known = await store.begin(token, key, asked)
    if known is not None:
        if known.fingerprint != asked:
            raise Problem(409, "key_reused", "This key belongs to another request.")
        if known.status is None or known.body is None:
            raise Problem(409, "key_in_use", "This is being done, or nobody knows whether it was.")
        return _json(known.status, known.body, **{"Idempotency-Replayed": "true"})
    try:
        answer = await operation.handler(ask)
    except Problem:
        await store.forget(token, key)
        raise
    assert isinstance(answer, BaseModel)
    status, text = ask.status or operation.status, answer.model_dump_json()
    await store.finish(token, key, status, text)
    return _json(status, text)


def _too_many(wait: float) -> Problem:
    return Problem(
        429, "too_many", f"Too many requests: try again in {ceil(wait)} s.", headers={"Retry-After": str(ceil(wait))}
    )
