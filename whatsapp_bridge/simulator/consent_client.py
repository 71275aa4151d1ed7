"""A client of the control API's part about permissions, messages, settings and Meta's clock."""

from __future__ import annotations

from .client import JSON, SimulatorClient
from .consent_models import AccountUpdate, Advance, Answer, CustomerMessage, Grant, SettingsChange


class ConsentClient:
    """`consent = ConsentClient(meta); await consent.answer(Answer(user="49…", response="accept"))`"""

    def __init__(self, client: SimulatorClient) -> None:
        self._client = client

    async def advance_clock(self, seconds: float) -> float:
        """Meta's clock is put forward; what it shows now, unix seconds."""
        facts: JSON = await self._client.request("POST", "/control/clock", Advance(seconds=seconds).model_dump())
        return float(facts["now"])

    async def permissions(self) -> list[JSON]:
        """Each pair of a number and a user that was spoken of."""
        found: list[JSON] = await self._client.request("GET", "/control/permissions")
        return found

    async def permission(self, user: str) -> JSON:
        """The first of this user's."""
        return next(pair for pair in await self.permissions() if pair["user"] == user)

    async def grant(self, wanted: Grant) -> JSON:
        """Sets a permission, and nobody is told."""
        result: JSON = await self._client.request("POST", "/control/permissions", wanted.model_dump())
        return result

    async def answer(self, wanted: Answer) -> JSON:
        """A user acts by hand. Raises SimulatorError 409 for a request that is dead."""
        result: JSON = await self._client.request("POST", "/control/permissions/answer", wanted.model_dump())
        return result

    async def messages(self) -> list[JSON]:
        """What the business sent."""
        found: list[JSON] = await self._client.request("GET", "/control/messages")
        return found

    async def write(self, wanted: CustomerMessage) -> None:
        """A user writes to the business."""
        await self._client.request("POST", "/control/messages", wanted.model_dump())

    async def settings(self, phone_number_id: str) -> JSON:
        """As GET /settings has them."""
        result: JSON = await self._client.request("GET", f"/control/numbers/{phone_number_id}/settings")
        return result

    async def change_settings(self, phone_number_id: str, change: SettingsChange) -> JSON:
        """Somebody changes them elsewhere."""
        path = f"/control/numbers/{phone_number_id}/settings"
        result: JSON = await self._client.request("POST", path, change.model_dump())
        return result

    async def account_update(self, phone_number_id: str, update: AccountUpdate) -> JSON:
        """Meta restricts a number, or warns of it."""
        path = f"/control/numbers/{phone_number_id}/account"
        result: JSON = await self._client.request("POST", path, update.model_dump())
        return result
