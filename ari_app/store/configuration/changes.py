"""What an import changes, in the words of the file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ari_app.store.configuration.reading import ENTRIES
from ari_app.store.configuration.tables import Tree
from ari_app.store.configuration.writing import without_defaults


class Kind(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True)
class Setting:
    name: str
    old: str | None = None
    new: str | None = None


@dataclass(frozen=True)
class Change:
    kind: Kind
    sort: str
    "group, menu, …"
    name: str
    settings: tuple[Setting, ...]
    "Of what is added or removed, those that are not defaults."


def changes(before: Tree, after: Tree) -> list[Change]:
    """In the order of the file: section by section, names in their order."""
    found: list[Change] = []
    for section, model in ENTRIES.items():
        old, new = before.get(section, {}), after.get(section, {})
        sort = section.removesuffix("s")
        for name in sorted({*old, *new}):
            if name not in old:
                settings = tuple(Setting(key, None, value) for key, value in _flat(without_defaults(model, new[name])))
                found.append(Change(Kind.ADDED, sort, name, settings))
            elif name not in new:
                settings = tuple(Setting(key, value, None) for key, value in _flat(without_defaults(model, old[name])))
                found.append(Change(Kind.REMOVED, sort, name, settings))
            elif settings := _differences(dict(_flat(old[name])), dict(_flat(new[name]))):
                found.append(Change(Kind.CHANGED, sort, name, settings))
    return found


def _differences(old: dict[str, str], new: dict[str, str]) -> tuple[Setting, ...]:
    names = dict.fromkeys([*old, *new])
    return tuple(Setting(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def _flat(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Members, options, hours and SIP targets each with a name of their own."""
    for name, value in entry.items():
        match value:
            case dict():
                yield from ((f"{name} {key}", _shown(item)) for key, item in value.items())
            case [dict(), *_]:
                for target in value:
                    address = f"{target['host']} port {target.get('port', 5060)}"
                    rest = {key: item for key, item in target.items() if key not in ("host", "port")}
                    yield from ((f"{name} {address} {key}", _shown(item)) for key, item in rest.items())
            case [] | None:
                continue
            case list():
                yield name, ", ".join(value)
            case _:
                yield name, _shown(value)


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
    return str(value)
