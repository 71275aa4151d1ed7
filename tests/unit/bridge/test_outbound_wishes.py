"""What a dial string asks for, and what Meta's refusals become in the dialplan."""

import contextlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.calls.causes import cause_of
from whatsapp_bridge.calls.outbound import Refused, Wanted
from whatsapp_bridge.pbx.dialled_leg import DialledLegError, Started


@pytest.mark.parametrize(
    ("to", "key"),
    [
        ("4915112345678", "4915112345678"),
        ("+4915112345678", "4915112345678"),
        (" 4915112345678", "4915112345678"),  # what a query makes of a plus
        ("US.13491208655302741918", "US.13491208655302741918"),
    ],
)
def test_a_number_or_an_id_can_be_dialled(to: str, key: str) -> None:
    assert Wanted.read({"to": to}).user_key == key


@pytest.mark.parametrize("to", ["", "12", "1" * 16, "+49 151", "49151a", "١٢٣٤٥٦٧", "US.", "US." + "1" * 130, "a/../b"])
def test_anything_else_is_refused_as_a_malformed_number(to: str) -> None:
    with pytest.raises(Refused) as refusal:
        _ = Wanted.read({"to": to}).user_key
    assert refusal.value.cause == 28


@given(st.dictionaries(st.sampled_from(["to", "number", "call"]), st.text(max_size=200)))
def test_no_query_breaks_it_and_every_call_has_an_id(query: dict[str, str]) -> None:
    wanted = Wanted.read(query)
    assert isinstance(wanted.call, uuid.UUID)
    with contextlib.suppress(Refused):
        assert wanted.user_key


def test_the_applications_id_is_kept() -> None:
    call = uuid.uuid4()
    assert Wanted.read({"to": "49151", "call": str(call)}).call == call


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        (138001, 400, 20),
        (138006, 401, 21),
        (138003, 400, 21),
        (138002, 429, 34),
        (4, 429, 34),
        (2, 500, 38),
        (0, 503, 38),
        (138021, None, 38),
        (100, 400, 41),
        (190, 401, 41),
    ],
)
def test_the_cause_says_what_kind_of_refusal_it_was(code: int, status: int | None, cause: int) -> None:
    assert cause_of(code, status) == cause


@given(st.integers(), st.none() | st.integers(100, 599))
def test_every_refusal_has_a_cause_that_q850_knows(code: int, status: int | None) -> None:
    assert 1 <= cause_of(code, status) <= 127


def test_media_start_names_the_channel() -> None:
    event = {
        "event": "MEDIA_START",
        "channel_id": "1795532577.2",
        "channel": "WebSocket/whatsapp/0x7f",
        "format": "opus",
    }
    assert Started.read(event) == Started("1795532577.2", "WebSocket/whatsapp/0x7f")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"channel_id": "a b"}, "names no channel"),
        ({"channel_id": 7}, "names no channel"),
        ({"channel": None}, "names no channel"),
        ({"format": "ulaw"}, "not Opus: dial with"),
    ],
)
def test_a_media_start_that_cannot_be_used_says_why(change: dict[str, object], reason: str) -> None:
    event: dict[str, object] = {"channel_id": "1.2", "channel": "WebSocket/whatsapp/0x7f", "format": "opus"}
    with pytest.raises(DialledLegError, match=reason):
        Started.read(event | change)
