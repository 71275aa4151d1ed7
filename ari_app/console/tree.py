"""What callers can reach, drawn as a tree: boxes in columns, one column for each step. Pure.

A menu is opened once; where callers come back to it, there is a box that only names it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from ari_app.console.choices import media_label, place_label
from ari_app.store.configuration.tables import Tree

BOX_WIDTH, BOX_HEIGHT = 190, 44
COLUMN, ROW = 264, 58
MARGIN = 8
#: Characters of 13 px that a box holds.
LABEL = 25
#: Against configurations that would draw for ever.
DEEPEST, MOST_BOXES = 8, 400


@dataclass
class Box:
    kind: str
    "menu, again, group, voicemail, sip, ai_agent, dialplan, hangup, back, number"
    label: str
    note: str = ""
    link: str = ""
    keys: str = ""
    "What callers press to get here."
    children: "list[Box]" = field(default_factory=list)
    x: float = 0
    y: float = 0


@dataclass(frozen=True)
class Line:
    """From the right side of one box to the left of another, with what is pressed."""

    path: str
    keys: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    boxes: list[Box]
    lines: list[Line]
    width: int
    height: int


def draw(root: Box) -> Drawing:
    """Places are in pixels."""
    rows = _place(root, 0, 0)
    boxes = list(_all(root))
    width = max(box.x for box in boxes) + BOX_WIDTH + MARGIN
    lines = [_line(box, child) for box in boxes for child in box.children]
    return Drawing(boxes, lines, round(width), round(rows * ROW + 2 * MARGIN))


def menu(tree: Tree, name: str) -> Box:
    """A menu and what its options lead to."""
    return _Grower(tree).menu(name, "", 0)


def number(tree: Tree, digits: str, label: str) -> Box:
    """A number and the way of its callers."""
    entry = tree["numbers"][digits]
    root = Box("number", label, entry.get("name", ""), f"/channels/{digits}")
    grower = _Grower(tree)
    if entry["incoming"] == "ivr" and entry.get("menu"):
        root.children.append(grower.menu(entry["menu"], "", 1))
    elif entry["incoming"] == "agent_group":
        root.children += [grower.place(f"group:{group}", "", 1) for group in entry["groups"]]
    elif entry["incoming"] == "ai_agent":
        root.children.append(Box("ai_agent", "AI agent"))
    return root


class _Grower:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._opened: set[str] = set()
        self._boxes = 0

    def menu(self, name: str, keys: str, depth: int) -> Box:
        entry = self._tree["menus"].get(name)
        link = f"/ivr/{quote(name, safe='')}"
        self._boxes += 1
        if entry is None or name in self._opened or depth > DEEPEST or self._boxes > MOST_BOXES:
            return Box("again", name, "as above", link, keys)
        self._opened.add(name)
        box = Box("menu", name, media_label(entry["prompt"]), link, keys)
        for digits, place in in_order(entry["options"]):
            box.children.append(self.place(place, digits, depth + 1))
        if entry.get("closed"):
            box.children.append(self.place(entry["closed"], "closed", depth + 1))
        box.children.append(self.place(entry["no_input"], "nothing", depth + 1))
        return box

    def place(self, place: str, keys: str, depth: int) -> Box:
        kind, _, target = place.partition(":")
        if kind == "menu":
            return self.menu(target, keys, depth)
        self._boxes += 1
        link = f"/groups/{quote(target, safe='')}" if kind == "group" else ""
        note = {"group": "Group", "hangup": media_label(target) if target else ""}.get(kind, "")
        label = target if kind == "group" else "Hang up" if kind == "hangup" else place_label(place)
        return Box(kind, label, note, link, keys)


def in_order(options: Mapping[str, str]) -> list[tuple[str, str]]:
    """As on a telephone: 1 to 9, 0, * and #."""
    return sorted(options.items(), key=lambda item: ["1234567890*#".index(digit) for digit in item[0]])


def short(text: str, most: int = LABEL) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _place(box: Box, depth: int, first_row: float) -> float:
    """Put a box and all below it; how many rows they take."""
    box.x = MARGIN + depth * COLUMN
    rows = 0.0
    for child in box.children:
        rows += _place(child, depth + 1, first_row + rows)
    taken = max(rows, 1)
    box.y = MARGIN + (first_row + taken / 2) * ROW - ROW / 2
    if box.children:
        box.y = (box.children[0].y + box.children[-1].y) / 2
    return taken


def _all(box: Box) -> Iterator[Box]:
    yield box
    for child in box.children:
        yield from _all(child)


def _line(parent: Box, child: Box) -> Line:
    start, end = (parent.x + BOX_WIDTH, parent.y + BOX_HEIGHT / 2), (child.x, child.y + BOX_HEIGHT / 2)
    bend = start[0] + 24
    path = (
        f"M{start[0]:g} {start[1]:g}C{bend + 10:g} {start[1]:g} {bend:g} {end[1]:g} {bend + 24:g} {end[1]:g}H{end[0]:g}"
    )
    return Line(path, child.keys, end[0] - 30, end[1])
