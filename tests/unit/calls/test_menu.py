"""What typed digits mean in a menu."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.calls.destination import Destination, Kind
from ari_app.calls.menu import Back, Entries, Menu, Verdict

DIGITS = st.text("0123456789*#", min_size=1, max_size=4)
SOME_ENTRIES = st.frozensets(DIGITS, max_size=8)
SALES, SUPPORT = Destination(Kind.GROUP, "Sales"), Destination(Kind.GROUP, "Support")


def menu(**options: Destination | Back) -> Menu:
    return Menu(
        name="Main",
        prompt="sound:hello",
        invalid_prompt="sound:pbx-invalid",
        timeout_seconds=5,
        digit_seconds=2,
        retries=2,
        language=None,
        schedule=None,
        closed=None,
        no_input=Destination(Kind.HANGUP),
        options={digits.removeprefix("_"): choice for digits, choice in options.items()},
        extensions=frozenset({"1001", "12"}),
    )


def type_slowly(entries: Entries, digits: str) -> tuple[str, Verdict]:
    """Type until the menu takes or refuses what was typed."""
    verdict, typed = Verdict.OPEN, ""
    for digit in digits:
        typed += digit
        if (verdict := entries.judge(typed)) is not Verdict.OPEN:
            break
    return typed, verdict


@given(SOME_ENTRIES, DIGITS)
def test_a_verdict_says_what_can_still_become_of_the_digits(valid: frozenset[str], typed: str) -> None:
    verdict = Entries(valid).judge(typed)
    longer = any(entry.startswith(typed) and entry != typed for entry in valid)
    assert (verdict is Verdict.OPEN) == longer
    if verdict is Verdict.COMPLETE:
        assert {typed, typed.removesuffix("#")} & valid
    if verdict is Verdict.WRONG:
        assert not any(entry.startswith(typed) for entry in valid)


@given(SOME_ENTRIES.filter(bool), st.data())
def test_every_entry_can_be_chosen_by_typing_it_and_waiting(valid: frozenset[str], data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(sorted(valid)))
    typed, verdict = type_slowly(Entries(valid), entry)
    assert typed == entry
    assert verdict is not Verdict.WRONG
    assert Entries(valid).entry(typed) == entry


@given(SOME_ENTRIES.filter(bool), st.data())
def test_an_entry_that_begins_no_other_is_taken_at_its_last_digit(valid: frozenset[str], data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(sorted(valid)))
    alone = not any(other.startswith(entry) and other != entry for other in valid)
    assert (type_slowly(Entries(valid), entry)[1] is Verdict.COMPLETE) == alone


@given(SOME_ENTRIES, st.text("0123456789*#", max_size=12))
def test_typing_always_comes_to_an_end(valid: frozenset[str], digits: str) -> None:
    typed, _ = type_slowly(Entries(valid), digits)
    assert len(typed) <= max(map(len, valid), default=0) + 1
    assert digits.startswith(typed)


def test_a_hash_ends_an_entry_that_could_go_on() -> None:
    entries = Entries({"1", "12"})
    assert entries.judge("1") is Verdict.OPEN
    assert entries.judge("1#") is Verdict.COMPLETE
    assert entries.entry("1#") == "1"
    assert entries.entry("#") is None


def test_a_hash_that_is_an_option_is_no_end() -> None:
    assert Entries({"1", "1#"}).entry("1#") == "1#"


def test_options_come_before_extensions_of_the_same_digits() -> None:
    chosen = menu(_12=SALES, _0=Back.BACK)
    assert chosen.chosen("12") == SALES
    assert chosen.chosen("0") is Back.BACK
    assert chosen.chosen("1001") == Destination(Kind.AGENT, "1001")
    with pytest.raises(KeyError):
        chosen.chosen("9")


def test_extensions_can_be_typed_like_options() -> None:
    entries = menu(_1=SALES, _2=SUPPORT).entries
    assert type_slowly(entries, "1001")[1] is Verdict.COMPLETE
    assert type_slowly(entries, "2") == ("2", Verdict.COMPLETE)
    assert type_slowly(entries, "10")[1] is Verdict.OPEN
    assert type_slowly(entries, "3")[1] is Verdict.WRONG
