"""The OpenAPI document (3.1), made of the same declarations that route requests."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from ari_app.console.api.door import KEY_HEADER
from ari_app.console.api.operations import PARTS, PREFIX, Operation
from ari_app.console.api.problems import CONTENT_TYPE, ProblemDetails
from ari_app.store.console.users import Role

VERSION = "1"

_TOLD = {
    400: "Not understood",
    401: "No token, or none that is valid",
    403: "Not for this role",
    404: "Nothing there, or nothing for this token",
    409: "Against a rule, or against how things are now",
    413: "Too large",
    415: "Another type of body is wanted",
    416: "No such range",
    422: "Not as described",
    429: "Too many requests",
    500: "A fault of ours",
    503: "PostgreSQL is away or too busy",
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemDetails, "serialization"): None}
    for one in operations:
        if one.body is not None:
            wanted[one.body, "validation"] = None
        if one.answer is not None:
            wanted[one.answer, "serialization"] = None
    references, schemas = models_json_schema(list(wanted), ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(PREFIX + one.path, {})[one.method.lower()] = _operation(one, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "asterisk-whatsapp",
            "version": VERSION,
            "description": "WhatsApp calls on Asterisk: what the console does, for programs. Times are RFC 3339 in "
            "UTC, money is a decimal in a string.",
            "license": {"name": "See the project's LICENSE"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "aw_…"}},
        },
    }


def _operation(one: Operation, references: Any) -> dict[str, Any]:
    parameters = [{"name": name, "in": "path", "required": True, "schema": PARTS[name]} for name in one.names]
    parameters += _query(one.query)
    if one.once:
        text = "The same request with the same key is done once, and answered the same for a day"
        schema = {"type": "string", "pattern": "^[!-~]{1,128}$"}
        parameters.append(
            {"name": KEY_HEADER, "in": "header", "required": False, "description": text, "schema": schema}
        )
    described: dict[str, Any] = {
        "operationId": one.id,
        "summary": one.summary,
        "description": f"For {', '.join(role.value for role in Role if role in one.roles)}.",
        "tags": [one.tag],
        "parameters": parameters,
        "responses": _responses(one, references),
        "x-roles": sorted(role.value for role in one.roles),
    }
    if one.body is not None:
        content = {"application/json": {"schema": references[one.body, "validation"]}}
        described["requestBody"] = {"required": True, "content": content}
    elif one.upload is not None:
        described["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
    return described


def _query(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "schema": _parameter(shape),
            "style": "form",
            "explode": True,
        }
        for name, shape in schema.get("properties", {}).items()
    ]


def _parameter(shape: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is not given is not null, but not there."""
    options = [one for one in shape.get("anyOf", ()) if one.get("type") != "null"]
    merged = {**shape, **options[0]} if len(options) == 1 else shape
    hidden = ("title", "anyOf") if len(options) == 1 else ("title",)
    return {name: value for name, value in merged.items() if name not in hidden and (name, value) != ("default", None)}


def _responses(one: Operation, references: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if one.file is not None:
        content = {one.file: {"schema": {"type": "string", "format": "binary"}}}
        found["200"] = {"description": "The file", "content": content}
        found["206"] = {"description": "A part of it", "content": content}
    elif one.answer is not None:
        content = {"application/json": {"schema": references[one.answer, "serialization"]}}
        found[str(one.status)] = {"description": "Done", "content": content}
        if one.method == "PUT" and one.status == 200:
            found["201"] = {"description": "Added", "content": content}
    else:
        found["204"] = {"description": "Done"}
    problem = {CONTENT_TYPE: {"schema": references[ProblemDetails, "serialization"]}}
    for status in _statuses(one):
        found[str(status)] = {"description": _TOLD[status], "content": problem}
    return found


def _statuses(one: Operation) -> list[int]:
    statuses = {400, 401, 403, 422, 429, 500, 503}
    if one.names:
        statuses.add(404)
    if one.method != "GET":
        statuses |= {404, 409}
    if one.has_body:
        statuses |= {413, 415}
    if one.file is not None:
        statuses.add(416)
    return sorted(statuses)


def described(operations: Sequence[Operation]) -> dict[str, list[dict[str, Any]]]:
    """The same for people: by subject, with the names of what an operation takes."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in operations:
        found.setdefault(one.tag, []).append(
            {
                "id": one.id,
                "method": one.method,
                "path": PREFIX + one.path,
                "summary": one.summary,
                "roles": [role.value for role in Role if role in one.roles],
                "query": _fields(one.query),
                "body": _fields(one.body),
                "upload": one.upload is not None,
                "answer": _fields(one.answer),
                "file": one.file,
                "once": one.once,
            }
        )
    return found


def _fields(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema()
    required = schema.get("required", [])
    return [
        {"name": name, "required": name in required, "text": shape.get("description", "")}
        for name, shape in schema.get("properties", {}).items()
    ]
