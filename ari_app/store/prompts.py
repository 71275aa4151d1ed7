"""The catalogue of prompts in PostgreSQL."""

import logging
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ari_app.store.database import Database, StoreError

logger = logging.getLogger(__name__)

#: Played in place of a prompt that the catalogue does not have.
MISSING = "sound:beep"

_SAVE = """
WITH before AS (SELECT file FROM pbx.prompts WHERE name = $1),
     saved AS (INSERT INTO pbx.prompts (name, file, seconds, spoken_text, sha256) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (name) DO UPDATE
                  SET file = excluded.file, seconds = excluded.seconds, spoken_text = excluded.spoken_text,
                      sha256 = excluded.sha256, created_at = now())
SELECT file FROM before
"""

_ALL = "SELECT name, file, seconds, spoken_text, sha256 FROM pbx.prompts ORDER BY name"

_REMOVE = "DELETE FROM pbx.prompts WHERE name = $1 RETURNING name, file, seconds, spoken_text, sha256"

#: Where the configuration names a prompt, in words.
_USES = """
SELECT DISTINCT place FROM (
    SELECT 'number ' || r.number || ', ' || u.what AS place, u.media
      FROM pbx.routes r, LATERAL (VALUES ('entry', r.entry_prompt::text), ('waiting', r.waiting_prompt),
           ('voicemail', r.voicemail_prompt), ('consent', r.consent_prompt)) AS u (what, media)
    UNION ALL
    SELECT 'group ' || g.name || ', ' || u.what, u.media
      FROM pbx.groups g, LATERAL (VALUES ('whisper', g.whisper::text), ('no agent', g.no_agent),
           ('exit', g.exit_to)) AS u (what, media)
    UNION ALL
    SELECT 'menu ' || m.name || ', ' || u.what, u.media
      FROM pbx.menus m, LATERAL (VALUES ('prompt', m.prompt::text), ('invalid', m.invalid_prompt),
           ('closed', m.closed), ('no input', m.no_input)) AS u (what, media)
    UNION ALL
    SELECT 'menu ' || menu || ', digits ' || digits, destination FROM pbx.menu_options
) AS used
 WHERE media IN ('prompt:' || $1, 'hangup:prompt:' || $1)
 ORDER BY place
"""


@dataclass(frozen=True)
class Prompt:
    name: str
    file: str
    "Path without extension, as Asterisk wants it."
    seconds: float
    spoken_text: str | None
    "What it was made of by speech synthesis; None for an uploaded file."
    sha256: str


class PromptStore:
    """Finds what to play, and remembers it for the time when PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, str] = {}

    async def uri(self, media: str) -> str:
        """`prompt:<name>` as a media URI for Asterisk; anything else is one already."""
        kind, _, name = media.partition(":")
        if kind != "prompt":
            return media
        try:
            async with self._database.connection() as connection:
                file = await connection.fetchval("SELECT file FROM pbx.prompts WHERE name = $1", name)
        except StoreError as error:
            logger.error("prompt %s cannot be looked up: %s", name, error)
            return self._remembered.get(name, MISSING)
        if file is None:
            logger.error("there is no prompt %s; a beep is played", name)
            return MISSING
        self._remembered[name] = f"sound:{file}"
        return self._remembered[name]

    async def save(self, prompt: Prompt) -> str | None:
        """Write it, new or in place of the old one, whose file is returned. Raises StoreError, as all below."""
        seconds = Decimal(max(prompt.seconds, 0.01)).quantize(Decimal("0.01"))
        async with self._database.connection() as connection:
            replaced: str | None = await connection.fetchval(
                _SAVE, prompt.name, prompt.file, seconds, prompt.spoken_text, prompt.sha256
            )
        return replaced

    async def all(self) -> list[Prompt]:
        """By name."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_ALL)
        return [_prompt(dict(row)) for row in rows]

    async def uses(self, name: str) -> list[str]:
        """Where the configuration names it, in words for people."""
        async with self._database.connection() as connection:
            return [row["place"] for row in await connection.fetch(_USES, name)]

    async def remove(self, name: str) -> Prompt | None:
        """What was removed; None when there was no such prompt."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_REMOVE, name)
        return _prompt(dict(row)) if row else None


def _prompt(row: dict[str, Any]) -> Prompt:
    return Prompt(**row | {"seconds": float(row["seconds"])})
