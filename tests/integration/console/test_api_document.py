"""The OpenAPI document against the running API: whatever it lets programs send is answered as it says."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from ari_app.console.api.door import LIMIT, STRANGERS
from ari_app.console.api.operations import PREFIX
from ari_app.console.api.routing import operations
from ari_app.runtime.postgres import EmbeddedPostgres
from ari_app.store.console.users import Role
from tests.integration.console.desk import Desk, open_desk
from tests.integration.console.programs import stranger, token_of

#: Requests for each operation, as described, and otherwise.
EXAMPLES = 5

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    ignored_auth,
]


async def test_the_document_has_every_route_and_nothing_else(desk: Desk) -> None:
    answer = await stranger(desk)("GET", "/openapi.json")
    assert answer.status == 200
    described = {(method.upper(), path) for path, one in answer.json["paths"].items() for method in one}
    assert described == {(one.method, PREFIX + one.path) for one in operations()}
    ids = [one["operationId"] for path in answer.json["paths"].values() for one in path.values()]
    assert len(set(ids)) == len(ids)
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
    assert names == set(answer.json["components"]["schemas"])


async def test_whatever_is_sent_is_answered_as_described(postgres: EmbeddedPostgres, run_folder: Path) -> None:
    """Generated requests, valid and not, for every operation. Only that a valid one is always taken is not checked:
    whether a group is there, no schema can say.
    """
    load_all_checks()
    async with open_desk(postgres, run_folder / "programs") as desk:
        desk.app[LIMIT]._size = desk.app[STRANGERS]._size = 1_000_000
        document = json.loads((await stranger(desk)("GET", "/openapi.json")).text)
        token = await token_of(desk, await desk.add_user(Role.ADMINISTRATOR))
        headers = {"Authorization": f"Bearer {token}"}
        tried = await asyncio.to_thread(_try_all, document, desk.base, headers)
    assert tried >= len(operations())


def _try_all(document: object, base: str, headers: dict[str, str]) -> int:
    """How many requests were sent."""
    schema = schemathesis.openapi.from_dict(document)  # type: ignore[arg-type]
    schema.config.update(base_url=base)
    sent = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            if mode is schemathesis.GenerationMode.NEGATIVE and not _can_be_wrong(operation):
                continue
            strategy = operation.as_strategy(generation_mode=mode)

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=strategy)
            def send(case: schemathesis.Case[Any]) -> None:
                nonlocal sent
                sent += 1
                case.call_and_validate(headers=headers, checks=CHECKS)

            send()
    return sent


def _can_be_wrong(operation: schemathesis.APIOperation[Any, Any, Any, Any]) -> bool:
    """Whether there is a parameter or a body of JSON to be wrong in."""
    bodies = [body for body in operation.body if body.media_type == "application/json"]
    return bool(bodies or list(operation.query) or list(operation.path_parameters))
