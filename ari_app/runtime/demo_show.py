"""How the demo looks: two people with what they do and for how long, and what happened, line by line."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

REFRESH_PER_SECOND = 5


class Show:
    """A live picture on a terminal, plain lines elsewhere; a context manager around the call."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._people: dict[str, tuple[str, float]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._picture,
                console=self._console,
                refresh_per_second=REFRESH_PER_SECOND,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def happened(self, what: str, **people: str) -> None:
        """One line; the keywords say what each person does from now on."""
        now = time.monotonic()
        self._people |= {name: (state, now) for name, state in people.items()}
        line = Text.assemble((f"{now - self._began:6.2f} s  ", "dim"), what)
        self._console.print(line, soft_wrap=True)

    def _picture(self) -> Table:
        table = Table(box=None, show_header=False, padding=(0, 2))
        now = time.monotonic()
        for name, (state, since) in self._people.items():
            table.add_row(Text(name.replace("_", " ").title(), style="bold"), state, clock(now - since))
        return table


def clock(seconds: float) -> str:
    """Minutes and seconds as on a phone's display."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def table_of(title: str, rows: list[tuple[str, Any]], console: Console) -> None:
    """Print names and values under a title: a table on a terminal, plain lines elsewhere."""
    console.print()
    if not console.is_terminal:
        console.print(f"{title}:")
        for name, value in rows:
            console.print(f"  {name + ':':<41}{'-' if value is None else value}", markup=False, soft_wrap=True)
        return
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text("-" if value is None else str(value)))
    console.print(table)
