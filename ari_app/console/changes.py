"""What has changed in lists that a browser has: the rows that are new or different, and of the others their ids.

A list of 200 calls has 150 kB; most changes are about one row.
"""

import re

from markupsafe import escape

from ari_app.console.live import Update

Piece = tuple[str, str]
"The id of an element, and its HTML; an id of nothing: it is never left out."

Parts = dict[str, tuple[Piece, ...]]
"Pieces of each part of a page, in their order."

_TAG = re.compile(r"\s*<([a-z]+)")


class Changes:
    """Knows what one browser has."""

    def __init__(self) -> None:
        self._sent: dict[str, tuple[Piece, ...]] = {}

    def of(self, parts: Parts) -> list[Update]:
        """One update for each part that differs. A row that the browser has is an empty element with `data-same`."""
        updates = []
        for target, pieces in parts.items():
            before = self._sent.get(target)
            if before == pieces:
                continue
            self._sent[target] = pieces
            had = dict(before or ())
            updates.append(
                Update(target, "".join(_same(p) if p[0] and had.get(p[0]) == p[1] else p[1] for p in pieces))
            )
        return updates


def _same(piece: Piece) -> str:
    found = _TAG.match(piece[1])
    if found is None:
        return piece[1]
    return f'<{found[1]} id="{escape(piece[0])}" data-same></{found[1]}>'
