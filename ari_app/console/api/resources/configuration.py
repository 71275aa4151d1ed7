"""Numbers, groups, agents, menus and schedules: read, put, changed and removed, under the rules of the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, create_model

from ari_app.console.access import ADMINISTRATORS
from ari_app.console.api.operations import Ask, Operations, Out
from ari_app.console.api.problems import Part, Problem, not_found, refused
from ari_app.console.api.shapes import partial, plain_of, shown, whole
from ari_app.store.configuration.database import ConfigurationError
from ari_app.store.configuration.editing import Edit, NotThere, Outdated, stamp
from ari_app.store.configuration.editing import Problem as Fault
from ari_app.store.configuration.models import AgentEntry, Entry, GroupEntry, MenuEntry, NumberEntry, ScheduleEntry
from ari_app.store.configuration.tables import Tree
from ari_app.store.console.configuration import ConfigurationStore

_VERSION = (str, Field(description="Changes with every change of the entry"))
_VERSION_LENGTH = 128


@dataclass(frozen=True)
class _Kind:
    """One section of the configuration, as a collection of the API."""

    section: str
    path: str
    key: str
    "What an entry is called by."
    part: str
    "The parts of an entry's address."
    entry: type[Entry]
    one: str
    "The entry's name for people."

    def name(self, ask: Ask) -> str:
        return "/".join(ask.parts[part.strip("{}")] for part in self.part.split("/"))


KINDS = (
    _Kind("numbers", "/numbers", "number", "{number}", NumberEntry, "Number"),
    _Kind("groups", "/groups", "name", "{name}", GroupEntry, "Group"),
    _Kind("agents", "/agents", "endpoint", "{technology}/{resource}", AgentEntry, "Agent"),
    _Kind("menus", "/menus", "name", "{name}", MenuEntry, "Menu"),
    _Kind("schedules", "/schedules", "name", "{name}", ScheduleEntry, "Schedule"),
)


def _operations(kind: _Kind) -> Operations:
    """The five operations of a section."""
    operations = Operations(kind.section.capitalize())
    # The name that an entry is stored under is its key; where a setting is called so too, it is the setting.
    key = kind.key if kind.key not in kind.entry.model_fields else f"{kind.one.lower()}_key"
    known = shown(kind.one, kind.entry, **{key: (str, ...), "version": _VERSION})
    new, changes = whole(f"{kind.one}Settings", kind.entry), partial(f"{kind.one}Changes", kind.entry)
    items: Any = list[known]  # type: ignore[valid-type]
    listing = create_model(f"{kind.one}List", __base__=Out, items=(items, ...))
    address = f"{kind.path}/{kind.part}"
    one = kind.one.lower()

    def answer(name: str, entry: Mapping[str, Any]) -> BaseModel:
        return known.model_validate({key: name, "version": stamp(entry), **entry})

    @operations.get(kind.path, roles=ADMINISTRATORS, answer=listing, summary=f"All {kind.section}")
    async def all_of_them(ask: Ask) -> BaseModel:
        tree = await _tree(ask)
        return listing.model_validate({"items": [answer(name, entry) for name, entry in tree[kind.section].items()]})

    @operations.get(address, roles=ADMINISTRATORS, answer=known, summary=f"One {one}")
    async def find(ask: Ask) -> BaseModel:
        name = kind.name(ask)
        return answer(name, _found(await _tree(ask), kind, name))

    @operations.put(address, roles=ADMINISTRATORS, body=new, answer=known, summary=f"Add or replace a {one}")
    async def put(ask: Ask) -> BaseModel:
        name = kind.name(ask)
        before = (await _tree(ask))[kind.section].get(name)
        ask.status = 201 if before is None else 200
        edit = Edit(kind.section, name, plain_of(ask.body(new)), None if before is None else stamp(before))
        await _save(ask, edit)
        return answer(name, _found(await _tree(ask), kind, name))

    @operations.patch(address, roles=ADMINISTRATORS, body=changes, answer=known, summary=f"Change a {one}")
    async def change(ask: Ask) -> BaseModel:
        name, wanted = kind.name(ask), ask.body(changes)
        before = _found(await _tree(ask), kind, name)
        version = getattr(wanted, "version", None)
        entry = {setting: value for setting, value in {**before, **plain_of(wanted)}.items() if value is not None}
        await _save(ask, Edit(kind.section, name, entry, version or stamp(before)))
        return answer(name, _found(await _tree(ask), kind, name))

    @operations.delete(address, roles=ADMINISTRATORS, summary=f"Remove a {one}")
    async def remove(ask: Ask) -> None:
        name, tree = kind.name(ask), await _tree(ask)
        edits = [Edit(kind.section, name, None, stamp(_found(tree, kind, name)))]
        if kind.section == "agents":  # out of the groups too: nothing is left of an agent without calls
            for group, settings in tree["groups"].items():
                if name in settings["members"]:
                    members = {other: rank for other, rank in settings["members"].items() if other != name}
                    edits.append(Edit("groups", group, settings | {"members": members}, stamp(settings)))
        await _save(ask, *edits)

    for handler in (all_of_them, find, put, change, remove):
        handler.__name__ = f"{kind.section}_{handler.__name__}"
    return operations


async def _tree(ask: Ask) -> Tree:
    return await ConfigurationStore(ask.stores.database).tree()


def _found(tree: Tree, kind: _Kind, name: str) -> Mapping[str, Any]:
    entry: Mapping[str, Any] | None = tree[kind.section].get(name)
    if entry is None:
        raise not_found()
    return entry


async def _save(ask: Ask, *edits: Edit) -> None:
    """All or nothing. Raises Problem."""
    try:
        outcome = await ConfigurationStore(ask.stores.database).save(ask.actor, *edits)
    except Outdated as error:
        raise Problem(409, "outdated", f"{str(error).capitalize()}.") from error
    except NotThere as error:
        raise not_found() from error
    except ConfigurationError as error:
        raise refused(str(error)) from error
    if outcome.is_refused:
        errors = [_part(problem) for problem in outcome.problems if not problem.is_warning]
        raise refused("The configuration would not fit together.", errors[:20])


def _part(fault: Fault) -> Part:
    return Part(field="/".join(map(str, fault.path))[:300], message=fault.message[:300])


SECTIONS = [_operations(kind) for kind in KINDS]
