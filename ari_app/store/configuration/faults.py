"""What is wrong with a configuration file, and where."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Position:
    """As editors count: the first line is 1, the first column is 1."""

    line: int
    column: int


@dataclass(frozen=True, order=True)
class Fault:
    position: Position
    message: str
    is_warning: bool = False
    "It will work, but perhaps not as intended; nothing is refused for it."

    def describe(self, file: str) -> str:
        """`file.yaml:12:5: …`, as compilers write it and editors find it."""
        sort = "warning: " if self.is_warning else ""
        return f"{file}:{self.position.line}:{self.position.column}: {sort}{self.message}"


def quoted(text: str) -> str:
    """A name in a message, at most 80 characters of it."""
    return f'"{printable(text if len(text) <= 80 else text[:79] + "…")}"'


def printable(text: str) -> str:
    """Without what a terminal might obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean "Sales"?`, or nothing where nothing is near."""
    near = {name.casefold(): name for name in sorted(known)}
    found = difflib.get_close_matches(wrong.casefold(), near, n=1, cutoff=0.6)
    return f"; did you mean {quoted(near[found[0]])}?" if found else ""
