"""What callers say of themselves, made fit for phones and records."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.calls.caller import NAME_LENGTH, NUMBER_LENGTH, Caller, clean_name, clean_number


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Anna Kowalska", "Anna Kowalska"),
        ("  Zoë\t\n  Müller ", "Zoë Müller"),
        ("田中さん", "田中さん"),
        ("Ana 🙂", "Ana 🙂"),
        ('Eve" <sip:boss@example.com>', "Eve sip:boss@example.com"),
        ("Bob\r\nFrom: evil", "Bob From: evil"),
        ("\u202egnp.exe\u200b", "gnp.exe"),
        ("\x00\x1b[31m", "[31m"),
        ("", ""),
    ],
)
def test_a_name_is_shown_without_what_could_deceive(said: str, shown: str) -> None:
    assert clean_name(said) == shown


@given(st.text(max_size=600))
def test_a_name_is_short_printable_and_free_of_delimiters(text: str) -> None:
    name = clean_name(text)
    assert len(name) <= NAME_LENGTH
    assert name == name.strip()
    assert name.isprintable()
    assert not set(name) & set('"<>\\\r\n')
    assert all(unicodedata.category(character) not in {"Cc", "Cf", "Cs"} for character in name)
    assert clean_name(name) == name


@given(st.text(max_size=300))
def test_a_number_is_short_and_has_only_characters_of_numbers(text: str) -> None:
    number = clean_number(text)
    assert len(number) <= NUMBER_LENGTH
    assert number.isascii()
    assert all(c.isalnum() or c in "+*#-._" for c in number)
    assert clean_number(number) == number


def test_a_whatsapp_number_gets_its_plus_and_an_opaque_id_does_not() -> None:
    assert Caller.of_whatsapp("4915112345678", "Anna") == Caller("+4915112345678", "Anna")
    assert Caller.of_whatsapp("+4915112345678", "").number == "+4915112345678"
    assert Caller.of_whatsapp("US.13491208655302741918", "Anna").number == "US.13491208655302741918"
    assert Caller.of_whatsapp("", "Anna").number == ""


def test_a_trunks_number_is_shown_as_it_came() -> None:
    assert Caller.of_channel("030123456", "ACME") == Caller("030123456", "ACME")
