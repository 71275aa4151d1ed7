"""What a business number has in the Graph API besides calls: messages, call_permissions, settings."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import GraphError

if TYPE_CHECKING:
    from .business_number import BusinessNumber
    from .world import World


def edge_of(method: str, path: str) -> str | None:
    """The name under which faults for such a request are arranged: messages, call_permissions, settings_get …"""
    match re.fullmatch(r"/v\d+\.\d+/[^/]+/(messages|call_permissions|settings)/?", path):
        case None:
            return None
        case found:
            return f"settings_{method.lower()}" if found[1] == "settings" else found[1]


class NumberEdges:
    """The handlers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._queries: deque[float] = deque()

    async def serve(
        self, method: str, edge: str, number: BusinessNumber, body: Any, query: Mapping[str, str]
    ) -> dict[str, Any]:
        """The reply. Raises GraphError."""
        match method, edge:
            case "POST", "messages":
                return await self._world.messages.send(number, _object(body))
            case "GET", "call_permissions":
                return self._permissions(number, query)
            case "GET", "settings":
                return number.settings.read(self._world.clock.now())
            case "POST", "settings":
                number.settings.write(_object(body), self._world.clock.now())
                self._world.messages.tell_settings(number)
                return {"success": True}
        raise GraphError(2500, message=f"Unknown path components: /{edge[:60]}")

    def _permissions(self, number: BusinessNumber, query: Mapping[str, str]) -> dict[str, Any]:
        """By `user_wa_id` or `recipient`; users whom nobody can call have no permission."""
        moment = time.monotonic()
        while self._queries and self._queries[0] <= moment - 1:
            self._queries.popleft()
        if len(self._queries) >= self._world.config.limits.queries_per_second:
            raise GraphError(613)
        self._queries.append(moment)
        given = {"to": query.get("user_wa_id"), "recipient": query.get("recipient")}
        plan = self._world.callee({key: value for key, value in given.items() if value is not None})
        return self._world.permissions.report(number.config, plan.number, self._world.clock.now())


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise GraphError(100, "the body is not a JSON object")
    return body
