"""From the text of a configuration file to its models, with every fault that can be found, each with its place."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from ari_app.store.configuration.faults import Fault, Position, did_you_mean, quoted
from ari_app.store.configuration.models import (
    AgentEntry,
    Document,
    Entry,
    GroupEntry,
    MenuEntry,
    NumberEntry,
    PromptEntry,
    ScheduleEntry,
    SipTargetEntry,
)
from ari_app.store.configuration.source import Node, decode, load

ENTRIES: dict[str, type[Entry]] = {
    "numbers": NumberEntry,
    "agents": AgentEntry,
    "groups": GroupEntry,
    "menus": MenuEntry,
    "schedules": ScheduleEntry,
    "prompts": PromptEntry,
}

_SHAPES = {
    "model_type": "must be a mapping: one `setting: value` a line",
    "dict_type": "must be a mapping: one `key: value` a line",
    "list_type": "must be a list: [one, two], or one `- item` a line",
}


@dataclass
class Reading:
    """A file that has been read. The document lacks what is faulty, so that the rest of it can still be checked."""

    document: Document
    root: Node
    names: dict[str, set[str]]
    "What the file defines in each section, faulty entries too."
    faulty: set[tuple[str, str]]
    "Entries of which something could not be read."
    faults: list[Fault] = field(default_factory=list)

    def complain(self, message: str, *path: str | int, key: bool = False, warning: bool = False) -> None:
        position = self.root.at_key(*path) if key else self.root.at(*path)
        self.faults.append(Fault(position, message, warning))


def read(content: bytes) -> Reading | list[Fault]:
    """Raises nothing: where there is nothing to go on with, the faults alone are returned."""
    text, faults = decode(content)
    if faults:
        return faults
    root, faults = load(text)
    if root is None:
        return faults
    return read_node(root, faults)


def read_node(root: Node, faults: list[Fault]) -> Reading | list[Fault]:
    """What was parsed already; `faults` were found on the way."""
    if not isinstance(root.value, dict):
        return [*faults, Fault(root.position, f"a configuration is a mapping with the sections {', '.join(ENTRIES)}")]
    names = {
        section: set(node.value) if (node := root.child(section)) and isinstance(node.value, dict) else set[str]()
        for section in ENTRIES
    }
    reading = Reading(Document(), root, names, set(), faults)
    reading.document = _document(reading)
    return reading


def _document(reading: Reading) -> Document:
    """Validate, take out what is faulty, validate again: what one taking-out makes invalid goes with it."""
    first = True
    while True:
        try:
            return Document.model_validate(reading.root.data())
        except ValidationError as error:
            details = error.errors(include_url=False)
        if first:
            reading.faults += [_fault(reading.root, detail) for detail in details]
            reading.faulty |= {(str(path[0]), str(path[1])) for detail in details if len(path := detail["loc"]) > 1}
        paths = sorted({_faulty_part(detail) for detail in details}, key=_last_first, reverse=True)
        dropped = [reading.root.drop(*path) for path in paths]
        if not any(dropped):
            raise RuntimeError(f"a fault without a place in the file: {details}")
        first = False


def _faulty_part(detail: Any) -> tuple[str | int, ...]:
    """What has to go: the setting; the whole entry that lacks a setting, or is badly named."""
    path: tuple[str | int, ...] = detail["loc"]
    return path[:-1] if detail["type"] == "missing" or path[-1] == "[key]" else path


def _last_first(path: tuple[str | int, ...]) -> list[tuple[int, str]]:
    return [(step, "") if isinstance(step, int) else (0, step) for step in path]


def _fault(root: Node, detail: Any) -> Fault:
    path: tuple[str | int, ...] = detail["loc"]
    match detail["type"]:
        case "extra_forbidden":
            return Fault(root.at_key(*path), _unknown(path))
        case "missing":
            return Fault(root.at_key(*path[:-1]), f"{_owner(path[:-1])} has no {path[-1]}")
    if path[-1] == "[key]":
        return Fault(root.at_key(*path[:-1]), str(detail["ctx"]["error"]))
    message = _SHAPES.get(detail["type"]) or (str(detail["ctx"]["error"]) if "ctx" in detail else detail["msg"])
    return Fault(_place(root, path), f"{_setting(path)}: {message}")


def _place(root: Node, path: tuple[str | int, ...]) -> Position:
    """At the value; where there is none, at the key."""
    node = root.child(*path)
    return root.at_key(*path) if node is None or node.value is None else node.position


def _unknown(path: tuple[str | int, ...]) -> str:
    wrong, model = str(path[-1]), _model(path[:-1])
    sort = "section" if len(path) == 1 else "setting"
    known = list(model.model_fields)
    hint = did_you_mean(wrong, known) or f"; there are {', '.join(known)}"
    return f"there is no {sort} {quoted(wrong)}{hint}"


def _model(path: tuple[str | int, ...]) -> type[BaseModel]:
    if not path:
        return Document
    return SipTargetEntry if "sip_targets" in path else ENTRIES[str(path[0])]


def _owner(path: tuple[str | int, ...]) -> str:
    if len(path) < 2:
        return "the file"
    if len(path) > 2:
        return "the SIP target"
    return f"{str(path[0]).removesuffix('s')} {quoted(str(path[1]))}"


def _setting(path: tuple[str | int, ...]) -> str:
    """The setting as written: of an entry in a mapping, the key; of a list's item, the list."""
    named = [str(step) for step in path[2:] if isinstance(step, str)]
    return " ".join(named) if named else _owner(path) if len(path) > 1 else str(path[-1])
