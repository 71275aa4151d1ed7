"""Call records, as people read them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

LOOK_AGAIN_S = 0.1
"""Asterisk writes its CDR without telling anybody."""

FIND = """
SELECT r.*
  FROM reports.call_records r
 WHERE r.meta_call_id = $1
   AND r.ended_at IS NOT NULL
   AND EXISTS (SELECT FROM cdr.cdr c WHERE c.linkedid = r.linkedid)
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.meta_call_id = $1 AND w.state <> 'ended')
   AND NOT EXISTS (SELECT FROM pbx.calls p WHERE p.linkedid = r.linkedid AND p.state <> 'ended')
"""


async def finished_record(dsn: str, meta_call_id: str, *, timeout: float = 10.0) -> dict[str, Any]:
    """The record of a WhatsApp call once Asterisk, bridge and application have all written theirs.

    Raises TimeoutError, or asyncpg's errors.
    """
    async with asyncio.timeout(timeout):
        connection = await asyncpg.connect(dsn)
        try:
            while (row := await connection.fetchrow(FIND, meta_call_id)) is None:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_AGAIN_S)
            return dict(row)
        finally:
            await connection.close()
