"""Writes what Asterisk, bridge and application would write of a call, without any of them."""

import itertools
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

START = datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC)
NUMBER = "15550783881"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Book:
    """Rows of one or several calls. Columns that are not given are as in an ordinary inbound call."""

    def __init__(self, db: asyncpg.Connection) -> None:
        self.db = db
        self._ids = itertools.count(1)

    async def open(self) -> None:
        await self.insert("whatsapp.numbers", phone_number_id="106", display_number=NUMBER, name="Shop")
        await self.insert("pbx.agents", id=uuid.UUID(int=1), name="Grace", endpoint="PJSIP/1001")
        await self.insert("pbx.agents", id=uuid.UUID(int=2), name="Alan", endpoint="PJSIP/1002")
        for name in ("Sales", "Support"):
            await self.insert("pbx.groups", name=name)

    async def insert(self, table: str, **columns: Any) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        values = ", ".join(f"${i}" for i in range(1, len(columns) + 1))
        await self.db.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", *columns.values())

    async def cdr(self, linkedid: str, seconds: float, **columns: Any) -> None:
        row = {
            "linkedid": linkedid,
            "uniqueid": linkedid,
            "calldate": START,
            "start": START,
            "end": after(seconds),
            "disposition": "NO ANSWER",
            "dst": NUMBER,
            "sequence": next(self._ids),
        }
        await self.insert("cdr.cdr", **(row | columns))

    async def meta(self, call_id: str | None, linkedid: str | None, **columns: Any) -> uuid.UUID:
        row = {
            "id": uuid.uuid4(),
            "meta_call_id": call_id,
            "phone_number_id": "106",
            "direction": "inbound",
            "user_id": "49151",
            "user_number": "49151",
            "user_name": "Ada",
            "state": "ended",
            "linkedid": linkedid,
            "received_at": START,
            "ended_at": after(10),
            "ended_by": "user",
            "hangup_cause": 16,
            "reason": "why",
        } | columns
        await self.insert("whatsapp.calls", **row)
        return uuid.UUID(str(row["id"]))

    async def app(self, linkedid: str, **columns: Any) -> uuid.UUID:
        row = {
            "id": uuid.uuid4(),
            "linkedid": linkedid,
            "channel_type": "WhatsApp Call",
            "direction": "inbound",
            "number": NUMBER,
            "state": "ended",
            "status": "Answered",
            "ended_by": "user",
            "reason": "app",
            "received_at": START,
            "ended_at": after(3700),
        } | columns
        await self.insert("pbx.calls", **row)
        return uuid.UUID(str(row["id"]))

    async def offer(
        self, call: uuid.UUID, agent: int, began: float, ended: float, outcome: str, **columns: Any
    ) -> None:
        row = {
            "id": uuid.uuid4(),
            "call_id": call,
            "agent_id": uuid.UUID(int=agent),
            "started_at": after(began),
            "ended_at": after(ended),
            "outcome": outcome,
            "reason": f"{outcome} it is",
            "group_name": "Sales",
        } | columns
        await self.insert("pbx.offers", **row)

    async def records(self) -> list[dict[str, Any]]:
        """As the view has them now, and the same once they are refreshed."""
        query = "SELECT * FROM reports.call_records ORDER BY linkedid"
        found = [dict(row) for row in await self.db.fetch(query)]
        marked = await self.db.fetchval("SELECT count(*) FROM reports.dirty")
        while await self.db.fetchval("SELECT reports.refresh()"):
            pass
        refreshed = [dict(row) for row in await self.db.fetch(query)]
        assert refreshed == found or marked > 2000
        return refreshed

    async def record(self) -> dict[str, Any]:
        (row,) = await self.records()
        return row
