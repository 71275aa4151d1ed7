"""What a request says, checked against its operation: parts of the address, parameters, body."""

import json
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any, get_args, get_origin
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from ari_app.console.api.operations import JSON_BYTES, PARTS, Operation
from ari_app.console.api.problems import Part, Problem, not_found

#: Faults that are told of one request.
MOST_FAULTS = 20


def parts(request: web.Request, operation: Operation) -> dict[str, str]:
    """Raises Problem: what nothing can be called is not found."""
    found = {}
    for name in operation.names:
        text, shape = request.match_info[name], PARTS[name]
        ok = bool(re.fullmatch(shape["pattern"].strip("^$"), text)) if "pattern" in shape else _printable(text)
        if shape.get("format") == "uuid":
            ok = _is_uuid(text)
        if not ok or len(text) > shape.get("maxLength", 1000):
            raise not_found()
        found[name] = text
    return found


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _printable(text: str) -> bool:
    return bool(text) and text.isprintable()


def query(request: web.Request, model: type[BaseModel] | None) -> BaseModel | None:
    """Raises Problem."""
    values: dict[str, Any] = {}
    fields = model.model_fields if model is not None else {}
    for name in request.query:
        given = request.query.getall(name)
        if name in fields and _is_list(fields[name].annotation):
            values[name] = given
        elif len(given) > 1:
            raise Problem(422, "invalid", f"{name} is given twice", errors=[Part(field=name, message="only once")])
        else:
            values[name] = given[0]
    _usable(values)
    if model is None:
        if values:
            raise _unknown(values)
        return None
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _faults(error, "query") from error


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(get_origin(one) is list for one in get_args(annotation))


def _unknown(values: dict[str, Any]) -> Problem:
    errors = [Part(field=f"query/{name}", message="there is no such parameter") for name in values]
    return Problem(422, "invalid", "There is no such parameter.", errors=errors[:MOST_FAULTS])


async def body(request: web.Request, model: type[BaseModel]) -> tuple[BaseModel, bytes]:
    """The body, and as it came. Raises Problem."""
    if request.content_type != "application/json":
        raise Problem(415, "media_type", "The body is to be application/json.")
    content = await _read(request, JSON_BYTES)
    try:
        json_value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "not_understood", "The body is not JSON.") from error
    _usable(json_value)
    try:
        return model.model_validate_json(content, strict=True), content
    except ValidationError as error:
        raise _faults(error, "body") from error
    except PydanticSerializationError as error:
        raise Problem(400, "not_understood", "The body is not JSON.") from error


async def _read(request: web.Request, largest: int) -> bytes:
    content = bytearray()
    async for piece in request.content.iter_any():
        content += piece
        if len(content) > largest:
            raise Problem(413, "too_large", f"The body may have {largest} bytes.")
    return bytes(content)


@asynccontextmanager
async def upload(request: web.Request, largest: int) -> AsyncIterator[IO[bytes]]:
    """The body as a temporary file, rewound. Raises Problem."""
    size = 0
    with tempfile.TemporaryFile() as file:
        async for piece in request.content.iter_any():
            size += len(piece)
            if size > largest:
                raise Problem(413, "too_large", f"The file may have {largest} bytes.")
            file.write(piece)
        if not size:
            raise Problem(422, "invalid", "The body is to be the file.", errors=[Part(field="body", message="empty")])
        file.seek(0)
        yield file


def _usable(value: Any) -> None:
    """PostgreSQL has no text with NUL in it, nor halves of characters."""
    match value:
        case str():
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise Problem(422, "invalid", "A text has characters in it that no text has here: NUL, or halves.")
        case dict():
            for name, item in value.items():
                _usable(name)
                _usable(item)
        case list():
            for item in value:
                _usable(item)


def _faults(error: ValidationError, where: str) -> Problem:
    errors = [
        Part(field="/".join((where, *map(str, one["loc"])))[:300], message=one["msg"][:300])
        for one in error.errors(include_url=False, include_context=False, include_input=False)[:MOST_FAULTS]
    ]
    return Problem(422, "invalid", f"The {where} is not as described.", errors=errors)
