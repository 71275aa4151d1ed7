"""Files of rows that are sent while they are read: no more than a piece of them is ever in memory."""

import logging
from collections.abc import Awaitable
from datetime import UTC, datetime

from aiohttp import web

logger = logging.getLogger(__name__)


class Sheet:
    """A CSV file to be saved under `<name>-<day>.csv`. The answer begins with the first rows, so that what goes wrong
    before is told as a page; what goes wrong later cuts the connection, so that nobody takes a part for the whole.
    """

    def __init__(self, request: web.Request, name: str) -> None:
        self._request = request
        filename = f"{name}-{datetime.now(UTC):%Y-%m-%d}.csv"
        self._response = web.StreamResponse(
            headers={
                "Content-Type": "text/csv; charset=utf-8; header=present",
                "Content-Disposition": f'attachment; filename="{filename}"',
            }
        )

    async def write(self, rows: bytes) -> None:
        """Waits until the browser has taken enough."""
        if not self._response.prepared:
            await self._response.prepare(self._request)
        await self._response.write(rows)

    async def filled(self, export: Awaitable[int]) -> web.StreamResponse:
        """Wait for the export that writes to this. Raises what it raises, as long as nothing was sent."""
        try:
            await export
        except Exception as error:
            if not self._response.prepared:
                raise
            if not isinstance(error, ConnectionError):
                logger.error("%s ends in the middle: %s", self._request.path, error)
            if self._request.transport is not None:
                self._request.transport.abort()
            return self._response
        await self._response.write_eof()
        return self._response
