"""One entry of the configuration changed, under the rules that a whole file obeys.

The configuration is read from PostgreSQL, the entry put in its place, everything checked as if it came from a file,
and saved all or nothing. What is wrong is told with the path of the setting (`groups`, `Sales`, `no_agent`) in place
of a line.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ari_app.store.configuration import database, examine_node
from ari_app.store.configuration.changes import Change
from ari_app.store.configuration.faults import Position
from ari_app.store.configuration.models import Document
from ari_app.store.configuration.reading import ENTRIES
from ari_app.store.configuration.source import Node, Path
from ari_app.store.configuration.tables import Rows, Tree, rows_of, tree_of
from ari_app.store.configuration.writing import without_defaults

_PROMPTS = "pbx.prompts"

#: What only a file has.
_PLACES = re.compile(r" in this file|, first in line \d+")


class Outdated(Exception):
    """Somebody else changed or removed the entry since it was shown; nothing was changed."""


class NotThere(Exception):
    """There is no such entry."""


@dataclass(frozen=True)
class Problem:
    path: tuple[str | int, ...]
    "Section, entry, setting, and what is inside of it."
    message: str
    is_warning: bool = False

    @property
    def setting(self) -> str:
        return str(self.path[2]) if len(self.path) > 2 else ""


@dataclass(frozen=True)
class Outcome:
    changes: list[Change] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    "Errors, and nothing was changed; or warnings that were not there before."

    @property
    def is_refused(self) -> bool:
        return any(not problem.is_warning for problem in self.problems)


@dataclass(frozen=True)
class Edit:
    """`entry` is what the entry shall be, settings as text or as they are in a Tree; None removes it."""

    section: str
    name: str
    entry: Mapping[str, Any] | None
    stamp: str | None = None
    "Of the entry as it was shown; None: it must not be there yet."


def stamp(entry: Mapping[str, Any]) -> str:
    """Differs when the entry does."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:16]


async def save(dsn: str, edits: list[Edit], then: database.Then | None = None) -> Outcome:
    """Make these edits, all or none. `then` is as in `database.replace`.

    Raises Outdated, NotThere, and ConfigurationError when PostgreSQL refuses.
    """
    async with database.session(dsn) as connection:
        await database.lock(connection)
        rows = await database.read(connection)
        tree = tree_of(rows)
        known = set(_examined(tree)[1])
        for edit in edits:
            _apply(tree, edit)
        document, found = _examined(tree)
        if errors := [problem for problem in found if not problem.is_warning]:
            return Outcome(problems=errors)
        assert document is not None
        wanted: Rows = rows_of(document) | {_PROMPTS: rows[_PROMPTS]}
        changes = await database.replace(connection, wanted, dry_run=False, then=then)
    return Outcome(changes, [problem for problem in found if problem not in known])


def _apply(tree: Tree, edit: Edit) -> None:
    entries = tree[edit.section]
    known = entries.get(edit.name)
    if edit.stamp is None:
        if known is not None:
            raise Outdated(f"there is a {edit.section.removesuffix('s')} {edit.name} already")
    elif known is None:
        raise NotThere(f"{edit.section.removesuffix('s')} {edit.name} is gone")
    elif stamp(known) != edit.stamp:
        raise Outdated("somebody else has changed this meanwhile")
    if edit.entry is None:
        del entries[edit.name]
    else:
        entries[edit.name] = dict(edit.entry)


def _examined(tree: Tree) -> tuple[Document | None, list[Problem]]:
    root, places = nodes_of(tree)
    reading, faults = examine_node(root)
    found = [Problem(places[fault.position], _PLACES.sub("", fault.message), fault.is_warning) for fault in faults]
    return reading.document if reading else None, found


def nodes_of(tree: Tree) -> tuple[Node, dict[Position, tuple[str | int, ...]]]:
    """A configuration as if it had been read from a file, and which path each position of it stands for."""
    plain: dict[str, Any] = {}
    for section, model in ENTRIES.items():
        plain[section] = entries = {name: without_defaults(model, entry) for name, entry in tree[section].items()}
        if section == "prompts":
            for entry in entries.values():
                entry.pop("file", None)  # where ours is kept is no place to load it from
                entry.pop("text", None)  # nor is it to be spoken anew
    places: dict[Position, tuple[str | int, ...]] = {}

    def place(path: Path) -> Position:
        position = Position(len(places) + 1, 1)
        places[position] = tuple(path)
        return position

    def node(value: Any, path: tuple[str | int, ...]) -> Node:
        made = Node(place(path))
        match value:
            case dict():
                made.key_positions = {name: place((*path, name)) for name in value}
                made.value = {name: node(item, (*path, name)) for name, item in value.items()}
            case list() | tuple():
                made.value = [node(item, (*path, index)) for index, item in enumerate(value)]
            case bool():
                made.value = "true" if value else "false"
            case None:
                made.value = None
            case _:
                made.value = str(value)
        return made

    return node(plain, ()), places
