"""YAML, read so that everything in it still knows its line and column.

Only what a configuration needs: mappings, lists and text. What a scalar means is for the models to say, so
`0100`, `yes`, `12:30` and `2026-12-24` arrive as they are written, quoted or not.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ari_app.store.configuration.faults import Fault, Position, quoted

Data = str | None | list["Data"] | dict[str, "Data"]
Path = Sequence[str | int]

#: YAML 1.1, 5.1: what a stream may consist of.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULL = "tag:yaml.org,2002:null"

#: What PyYAML takes untagged things for.
_UNTAGGED = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("null", "bool", "int", "float", "timestamp", "merge", "value", "str", "seq", "map")
)

#: Deeper than any configuration; what is deeper is meant to exhaust the reader.
_DEEPEST = 12

#: In Python rather than libyaml, where there is a choice: the same places and words everywhere, and fast enough.
_Loader = yaml.SafeLoader


@dataclass
class Node:
    """A part of the file. `value` is None for nothing at all (`key:`), and for null."""

    position: Position
    value: "str | list[Node] | dict[str, Node] | None" = None
    key_positions: dict[str, Position] = field(default_factory=dict)

    def child(self, *path: str | int) -> "Node | None":
        node: Node | None = self
        for step in path:
            match node:
                case Node(value=dict() as members) if isinstance(step, str):
                    node = members.get(step)
                case Node(value=list() as items) if isinstance(step, int):
                    node = items[step] if step < len(items) else None
                case _:
                    return None
        return node

    def at(self, *path: str | int) -> Position:
        """Where the value at `path` begins, or the nearest thing around it that is there."""
        while (node := self.child(*path)) is None:
            path = path[:-1]
        return node.position

    def at_key(self, *path: str | int) -> Position:
        """Where the key at the end of `path` is written; for a list's item, the item."""
        parent = self.child(*path[:-1]) if path else None
        if parent is not None and isinstance(path[-1], str) and path[-1] in parent.key_positions:
            return parent.key_positions[path[-1]]
        return self.at(*path) if parent is not None or not path else self.at_key(*path[:-1])

    def drop(self, *path: str | int) -> bool:
        """Take the value at `path` out; whether it was there."""
        parent, last = self.child(*path[:-1]), path[-1]
        match parent:
            case Node(value=dict() as members) if isinstance(last, str):
                return members.pop(last, None) is not None
            case Node(value=list() as items) if isinstance(last, int) and last < len(items):
                del items[last]
                return True
        return False

    def data(self) -> Data:
        match self.value:
            case dict() as members:
                return {key: node.data() for key, node in members.items()}
            case list() as items:
                return [node.data() for node in items]
            case value:
                return value


def load(text: str) -> tuple[Node | None, list[Fault]]:
    """The file's content, None if it is no YAML at all; and what is wrong with it as YAML."""
    if found := _FORBIDDEN.search(text):
        return None, [Fault(_position_in(text, found.start()), f"the character {found.group()!r} may not be in a file")]
    try:
        if fault := _alias(text):
            return None, [fault]
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, [Fault(_position(mark), _in_words(error))]
    if root is None:
        return None, [Fault(Position(1, 1), "the file is empty; `asterisk-whatsapp config export` writes one")]
    faults: list[Fault] = []
    return _node(root, faults.append), faults


def decode(content: bytes) -> tuple[str, list[Fault]]:
    """UTF-8, with or without a byte order mark; else what is wrong."""
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        before = content[: error.start]
        position = Position(before.count(b"\n") + 1, len(before.rpartition(b"\n")[2]) + 1)
        return "", [Fault(position, "this is not UTF-8; save the file as UTF-8")]


def _alias(text: str) -> Fault | None:
    """Anchors and aliases would not outlive an export, and can make a small file very large."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            message = f"*{event.anchor} is an alias, and there are none here; a text that begins with * needs quotes"
            return Fault(_position(event.start_mark), message)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            return Fault(_position(event.start_mark), "this is nested too deeply")
    return None


def _node(found: yaml.Node, complain: Callable[[Fault], None]) -> Node:
    position = _position(found.start_mark)
    if found.tag not in _UNTAGGED:
        message = f"the tag {quoted(found.tag)} is not supported; a text that begins with ! needs quotes"
        complain(Fault(position, message))
    match found:
        case yaml.ScalarNode():
            return Node(position, None if found.tag == _NULL else _text(found, complain))
        case yaml.SequenceNode():
            return Node(position, [_node(item, complain) for item in found.value])
        case yaml.MappingNode():
            return _mapping(found, complain)
    raise TypeError(f"PyYAML composed a {type(found).__name__}")


def _mapping(found: yaml.MappingNode, complain: Callable[[Fault], None]) -> Node:
    node = Node(_position(found.start_mark))
    members: dict[str, Node] = {}
    for key, value in found.value:
        position = _position(key.start_mark)
        if not isinstance(key, yaml.ScalarNode):
            complain(Fault(position, "a key must be a text"))
            continue
        name = _text(key, complain)
        if before := node.key_positions.get(name):
            complain(Fault(position, f"{quoted(name)} is here twice, first in line {before.line}"))
            continue
        node.key_positions[name] = position
        members[name] = _node(value, complain)
    node.value = members
    return node


def _text(found: yaml.ScalarNode, complain: Callable[[Fault], None]) -> str:
    text: str = found.value
    if any("\ud800" <= character <= "\udfff" for character in text):  # "\ud83d" is YAML, and half a character
        complain(Fault(_position(found.start_mark), f"{quoted(text)} has half a character in it"))
        return text.encode(errors="replace").decode()
    return text


def _position(mark: Any) -> Position:
    """Of a mark of PyYAML, which counts from 0."""
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)


def _position_in(text: str, index: int) -> Position:
    return Position(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _in_words(error: yaml.MarkedYAMLError) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    hint = ""
    if "alias" in said:
        hint = '; a text that begins with * needs quotes: "*"'
    elif "single document" in said:
        hint = "; a configuration is one document, without --- in the middle"
    elif "'\\t'" in said:
        hint = "; indent with spaces"
    return f"this is not YAML: {said}{hint}"
