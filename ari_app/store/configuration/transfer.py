"""Export and import: the configuration out of the database as a text, and into it from a file that was read."""

from dataclasses import dataclass, field
from pathlib import Path

from ari_app.store.configuration import database
from ari_app.store.configuration.changes import Change
from ari_app.store.configuration.faults import Fault
from ari_app.store.configuration.prompts import PromptMaker, check_catalogue, make
from ari_app.store.configuration.reading import Reading
from ari_app.store.configuration.tables import Rows, rows_of, tree_of
from ari_app.store.configuration.writing import write

_PROMPTS = "pbx.prompts"


@dataclass(frozen=True)
class Result:
    """What an import changed, or why it changed nothing."""

    changes: list[Change] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    prompt_files: frozenset[str] = frozenset()
    "Files of prompts, without extension, that the catalogue names now."
    former_prompt_files: frozenset[str] = frozenset()


async def export(dsn: str) -> str:
    """The configuration as the text of a file. Raises ConfigurationError."""
    async with database.session(dsn) as connection:
        return write(tree_of(await database.read(connection)))


async def prompt_names(dsn: str) -> set[str]:
    """The prompts that the catalogue has. Raises ConfigurationError."""
    async with database.session(dsn) as connection:
        return {str(name) for (name,) in (await database.read(connection))[_PROMPTS]}


async def carry_in(
    dsn: str,
    reading: Reading,
    *,
    maker: PromptMaker | None,
    folder: Path,
    dry_run: bool = False,
    then: database.Then | None = None,
) -> Result:
    """Make the configuration what the file says, all of it or, where there are faults, nothing.

    `folder` is where the sound files are that it names; `then` is as in `database.replace`.
    Raises ConfigurationError; nothing is changed then.
    """
    async with database.session(dsn) as connection:
        await database.lock(connection)
        before = (await database.read(connection))[_PROMPTS]
        known = len(reading.faults)
        check_catalogue(reading, {str(name) for (name,) in before})
        if faults := reading.faults[known:]:
            return Result(faults=sorted(faults))
        prompts = await make(reading, before, maker, folder)
        if faults := reading.faults[known:]:
            return Result(faults=sorted(faults))
        wanted: Rows = rows_of(reading.document) | {_PROMPTS: prompts}
        changes = await database.replace(connection, wanted, dry_run=dry_run, then=then)
    files = (frozenset(str(row["file"]) for row in rows.values()) for rows in (prompts, before))
    return Result(changes, [], *files)
