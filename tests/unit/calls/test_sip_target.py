"""SIP targets: who is tried first, how they are addressed, what they are told."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.calls.sip_target import HEADER_LENGTH, SipTarget, Transport, header_value, headers, in_order

TARGETS = st.lists(
    st.builds(
        SipTarget,
        host=st.sampled_from(["10.0.0.1", "sip.example.com", "2001:db8::1"]),
        port=st.integers(1, 65535),
        priority=st.integers(1, 3),
        weight=st.integers(1, 100),
    ),
    max_size=5,
    unique_by=lambda target: (target.host, target.port),
)


@given(TARGETS, st.integers())
def test_all_targets_are_tried_once_and_by_priority(targets: list[SipTarget], seed: int) -> None:
    order = in_order(targets, random.Random(seed))
    assert Counter(order) == Counter(targets)
    assert [target.priority for target in order] == sorted(target.priority for target in targets)


@given(TARGETS, st.integers())
def test_the_same_chance_gives_the_same_order_wherever_the_rows_stood(targets: list[SipTarget], seed: int) -> None:
    assert in_order(targets, random.Random(seed)) == in_order(reversed(targets), random.Random(seed))


def test_among_equals_each_gets_calls_by_its_weight() -> None:
    light, heavy = SipTarget("a", 1, weight=1), SipTarget("b", 1, weight=3)
    chance = random.Random(1)
    first = Counter(in_order([light, heavy], chance)[0] for _ in range(4000))
    assert 2850 < first[heavy] < 3150


@pytest.mark.parametrize(
    ("target", "dialled"),
    [
        (SipTarget("192.0.2.7", 5060), "PJSIP/whatsapp-target-udp/sip:15550783881@192.0.2.7:5060;transport=udp"),
        (
            SipTarget("2001:db8::7", 5070, Transport.TCP),
            "PJSIP/whatsapp-target-tcp/sip:15550783881@[2001:db8::7]:5070;transport=tcp",
        ),
        (
            SipTarget("sip.example.com", 5061, Transport.TLS),
            "PJSIP/whatsapp-target-tls/sip:15550783881@sip.example.com:5061;transport=tls",
        ),
    ],
)
def test_any_kind_of_address_can_be_dialled(target: SipTarget, dialled: str) -> None:
    assert target.dial_string("15550783881") == dialled


def test_a_target_is_watched_by_its_address_alone() -> None:
    assert SipTarget("a", 1, weight=5).health_id == SipTarget("a", 1, priority=9).health_id
    assert SipTarget("a", 1).health_id != SipTarget("a", 1, Transport.TCP).health_id
    assert SipTarget("a", 1).health_id.isascii()


@given(st.text(max_size=600))
def test_a_header_is_one_short_line_of_ascii(text: str) -> None:
    value = header_value(text)
    assert len(value) <= HEADER_LENGTH
    assert value.isascii()
    assert value.isprintable()


def test_a_payload_cannot_add_a_header() -> None:
    told = headers(call_id="wacid.A=", number_id=None, payload="x\r\nP-Asserted-Identity: <sip:boss@example.com>")
    assert told == {
        "X-WhatsApp-Call-Id": "wacid.A=",
        "X-WhatsApp-Payload": "x??P-Asserted-Identity: <sip:boss@example.com>",
    }


def test_what_is_not_known_makes_no_header() -> None:
    assert headers(call_id=None, number_id="", payload=" ") == {}
