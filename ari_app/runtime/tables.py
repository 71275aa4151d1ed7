"""Tables on standard output."""

from rich.console import Console
from rich.table import Table

#: Width for a pipe or a file, characters. A terminal has its own.
WIDTH = 160


def print_table(table: Table) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
