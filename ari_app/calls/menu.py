"""An IVR menu, and what typed digits mean in it. Pure: no I/O, no clock."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ari_app.calls.destination import Destination, Kind

#: Ends an entry that could go on, where it is not part of an option itself.
TERMINATOR = "#"


class Back(Enum):
    """To the menu that this one was entered from."""

    BACK = "back"


Choice = Destination | Back


@dataclass(frozen=True)
class Menu:
    name: str
    prompt: str
    invalid_prompt: str
    timeout_seconds: float
    "How long the caller may take for the first digit after the prompt, s."
    digit_seconds: float
    "How long the caller may take between two digits, s."
    retries: int
    language: str | None
    schedule: str | None
    closed: Destination | None
    no_input: Destination
    options: Mapping[str, Choice] = field(default_factory=dict)
    "By the digits that choose it."
    extensions: Collection[str] = frozenset()
    "Of agents who may be dialled here; empty without direct dialling. An option of the same digits comes first."

    def chosen(self, entry: str) -> Choice:
        """What a complete entry stands for. Raises KeyError for any other."""
        if (choice := self.options.get(entry)) is not None:
            return choice
        if entry in self.extensions:
            return Destination(Kind.AGENT, entry)
        raise KeyError(entry)

    @property
    def entries(self) -> "Entries":
        return Entries({*self.options, *self.extensions})


class Verdict(Enum):
    COMPLETE = "complete"
    "Nothing longer begins like this: it is taken at once."
    OPEN = "open"
    "It may go on."
    WRONG = "wrong"
    "Nothing begins like this."


class Entries:
    """All that can be typed in a menu."""

    def __init__(self, valid: Collection[str]) -> None:
        self._valid = frozenset(valid) - {""}
        self._beginnings = frozenset(entry[:length] for entry in self._valid for length in range(len(entry)))

    def judge(self, typed: str) -> Verdict:
        """What is to be done after the last digit of `typed`, which is all since the entry began."""
        if typed in self._beginnings:
            return Verdict.OPEN
        return Verdict.COMPLETE if self.entry(typed) is not None else Verdict.WRONG

    def entry(self, typed: str) -> str | None:
        """The entry that `typed` is when nothing more comes, None if it is none."""
        if typed in self._valid:
            return typed
        if typed.endswith(TERMINATOR) and typed[:-1] in self._valid:
            return typed[:-1]
        return None
