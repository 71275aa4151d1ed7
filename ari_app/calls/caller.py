"""Who calls, as it may be shown on a phone. What callers say of themselves is not to be trusted."""

import unicodedata
from dataclasses import dataclass

#: Longest name and number that go to phones and records. SIP sets no limit; phones show some 30 characters.
NAME_LENGTH = 80
NUMBER_LENGTH = 32

#: Not in names: they delimit the name in a caller id (`"Name" <number>`), and some phones and dialplans read
#: them so.
FORBIDDEN_IN_NAMES = frozenset('"<>\\')


@dataclass(frozen=True)
class Caller:
    """A caller's number and name, fit for a phone's display and a SIP header."""

    number: str = ""
    name: str = ""

    @classmethod
    def of_whatsapp(cls, user: str, name: str) -> "Caller":
        """`user` is the number in digits, or Meta's opaque id of a user who hides it.

        A number gets its `+`, which tells an agent that it is an international one.
        """
        number = clean_number(user)
        if number.isdigit():
            number = "+" + number
        return cls(number, clean_name(name))

    @classmethod
    def of_channel(cls, number: str, name: str) -> "Caller":
        """As Asterisk has it on a channel of any trunk."""
        return cls(clean_number(number), clean_name(name))


def clean_name(text: str) -> str:
    """At most NAME_LENGTH printable characters: no control, format (writing direction) or delimiting ones."""
    kept = (" " if character.isspace() else character for character in text[: 4 * NAME_LENGTH])
    printable = "".join(c for c in kept if (c == " " or c.isprintable()) and c not in FORBIDDEN_IN_NAMES)
    return " ".join(unicodedata.normalize("NFC", printable).split())[:NAME_LENGTH].rstrip()


def clean_number(text: str) -> str:
    """At most NUMBER_LENGTH characters of those that numbers and SIP user names are made of."""
    allowed = (c for c in text[: 4 * NUMBER_LENGTH] if c.isascii() and (c.isalnum() or c in "+*#-._"))
    return "".join(allowed)[:NUMBER_LENGTH]
