"""A live page's stream, as a browser reads it."""

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass, field

import aiohttp


@dataclass
class Stream:
    """What a live page is sent."""

    _response: aiohttp.ClientResponse
    parts: dict[str, str] = field(default_factory=dict)
    "How each part looks now."
    _rest: bytes = b""

    async def shows(self, target: str, words: str, *, within: float = 5.0) -> str:
        """Wait until a part has these words (or, with `!` before them, has them no longer)."""
        unwanted, words = words.startswith("!"), words.removeprefix("!")
        try:
            async with asyncio.timeout(within):
                while target not in self.parts or (words in self.parts[target]) is unwanted:
                    await self.next()
        except TimeoutError:
            raise AssertionError(f"{target} never had {words!r}: {self.parts.get(target)}") from None
        return self.parts[target]

    def _whole(self, target: str, html: str) -> str:
        """With the pieces that are there already in place of those that say so."""
        before = self.parts.get(target, "")

        def known(match: re.Match[str]) -> str:
            tag, id_ = match.groups()
            found = re.search(rf'<{tag} id="{re.escape(id_)}">.*?</{tag}>', before, re.S)
            assert found is not None, f"{target} has no {id_}"
            return found[0]

        return re.sub(r'<(\w+) id="([^"]*)" data-same></\1>', known, html)

    async def ends(self, *, within: float = 5.0) -> None:
        """Wait until nothing comes any more."""
        async with asyncio.timeout(within):
            with contextlib.suppress(EOFError):
                while True:
                    await self.next()

    async def next(self) -> str:
        """The target of the next update; EOFError at the end."""
        while True:
            while b"\n\n" not in self._rest:
                if not (piece := await self._response.content.readany()):
                    raise EOFError
                self._rest += piece
            block, self._rest = self._rest.split(b"\n\n", 1)
            text = block.decode()
            if text.startswith("event: update"):
                update = json.loads(text.split("data: ", 1)[1])
                self.parts[update["target"]] = self._whole(update["target"], update["html"])
                return str(update["target"])
