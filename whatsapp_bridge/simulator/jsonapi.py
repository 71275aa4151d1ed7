"""JSON in and out of the control API: bodies become models, errors become `{"error": "..."}`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from .media.opus import SoundError
from .world import ControlError

_M = TypeVar("_M", bound=BaseModel)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what went wrong under /control into JSON that says so."""
    if not request.path.startswith("/control"):
        return await handler(request)
    try:
        return await handler(request)
    except ControlError as error:
        return web.json_response({"error": str(error)}, status=error.status)
    except SoundError as error:
        return web.json_response({"error": str(error)}, status=400)
    except OSError as error:
        return web.json_response({"error": str(error)}, status=503)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return web.json_response({"error": error.reason}, status=error.status)


async def body_of(request: web.Request, model: type[_M]) -> _M:
    """The request's body as `model`; an empty one is `{}`. Raises ControlError."""
    raw = await request.read()
    try:
        content = json.loads(raw) if raw.strip() else {}
    except ValueError as error:
        raise ControlError(400, f"the body is not JSON: {error}") from None
    return validated(model, content)


def validated(model: type[_M], content: Any) -> _M:
    """`content` as `model`. Raises ControlError, naming all that is wrong."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        text = "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in problems)
        raise ControlError(400, text) from None
