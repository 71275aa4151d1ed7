"""A browser that takes every update has what the server has."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ari_app.console.changes import Changes, Piece

names = st.text(alphabet="ab\"'<>&é ", min_size=1, max_size=3)
lists = st.lists(st.tuples(names, st.integers(0, 2)), max_size=5, unique_by=lambda item: item[0])


def drawn(items: list[tuple[str, int]]) -> tuple[Piece, ...]:
    return tuple((name, f"<li>{number}</li>") for name, number in items)


class Browser:
    """Does with an update what app.js does."""

    def __init__(self) -> None:
        self.rows: list[Piece] = []

    def take(self, html: str, ids: list[str]) -> None:
        had = dict(self.rows)
        pieces = re.findall(r"<li.*?</li>", html, re.S)
        assert len(pieces) == len(ids)
        self.rows = [(id_, had[id_] if "data-same" in piece else piece) for id_, piece in zip(ids, pieces, strict=True)]


@given(st.lists(lists, min_size=1, max_size=6))
def test_the_browser_ends_up_with_what_there_is(versions: list[list[tuple[str, int]]]) -> None:
    changes, browser = Changes(), Browser()
    for items in versions:
        for update in changes.of({"list": drawn(items)}):
            browser.take(update.html, [name for name, _ in items])
        assert tuple(browser.rows) == drawn(items)


def test_only_what_is_new_is_sent_whole() -> None:
    changes = Changes()
    rows = [(f"c-{n}", f"<tr id='c-{n}'>{'x' * 500}</tr>") for n in range(200)]
    changes.of({"calls": tuple(rows)})
    assert changes.of({"calls": tuple(rows)}) == []
    rows[7] = ("c-7", "<tr id='c-7'>other</tr>")
    (update,) = changes.of({"calls": tuple(rows)})
    assert "other" in update.html
    assert len(update.html) < 10_000


def test_names_of_groups_are_escaped_where_they_are_ids() -> None:
    changes = Changes()
    rows = ('g-"><script>', "<tr>1</tr>"), ("g-b", "<tr>1</tr>")
    changes.of({"groups": rows})
    (update,) = changes.of({"groups": (rows[0], ("g-b", "<tr>2</tr>"))})
    assert "<script>" not in update.html
