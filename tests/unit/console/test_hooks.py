"""Where webhooks may go, how they are signed, when they are tried again; and how many requests are too many."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.console.api.limits import Buckets
from ari_app.console.hooks import signing
from ari_app.console.hooks.addresses import fault_of, may_reach

SIGNED = "v1,usvkRIBncWYHXBWUvr3+Bx2X25DfOLKpi3Tr+GXrbzs="


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
        ),
        *("::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1", "::"),
        "no address",
    ],
)
def test_what_is_not_public_is_not_reached(address: str) -> None:
    assert not may_reach(address, [])


def test_public_addresses_and_allowed_networks_are_reached() -> None:
    assert may_reach("93.184.216.34", [])
    assert may_reach("2606:2800:220:1::1", [])
    assert may_reach("10.0.5.7", [ipaddress.ip_network("10.0.5.0/24")])
    assert may_reach("::ffff:10.0.5.7", [ipaddress.ip_network("10.0.5.0/24")])
    assert not may_reach("10.0.6.7", [ipaddress.ip_network("10.0.5.0/24")])


@given(st.text(max_size=60))
def test_no_text_makes_a_fault_of_the_check(text: str) -> None:
    assert fault_of(text, []) or text.lower().startswith(("http://", "https://"))
    assert fault_of(f"ftp://{text}", [])


@given(st.integers(1, 10_000), st.floats(0, 86_399), st.floats(0, 1))
def test_pauses_grow_up_to_a_limit(attempts: int, age: float, chance: float) -> None:
    now, later = signing.pause(attempts, age, chance), signing.pause(attempts + 1, age, chance)
    assert now is not None
    assert later is not None
    assert 4.0 <= now.total_seconds() <= later.total_seconds() <= signing.LONGEST_PAUSE * 1.2


def test_after_a_day_it_is_given_up() -> None:
    assert signing.pause(1, signing.GIVE_UP, 0.5) is None


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """HMAC-SHA256 of `id.time.body`, by openssl: printf 'm.1.{}' | openssl dgst -sha256 -hmac kkkk… -binary | base64"""
    secret = b"k" * 32
    headers = signing.headers(secret, "m", 1, b"{}")
    assert headers["webhook-signature"] == SIGNED
    assert signing.is_genuine(secret, headers, b"{}", 200)
    assert not signing.is_genuine(secret, headers | {"webhook-timestamp": "2"}, b"{}", 200)
    assert not signing.is_genuine(secret, {}, b"{}", 200)


@given(st.integers(1, 50), st.lists(st.floats(0, 5), max_size=200))
def test_a_bucket_never_gives_more_than_it_holds_and_gets(size: int, pauses: list[float]) -> None:
    buckets, now, taken = Buckets(size), 0.0, 0
    for pause in pauses:
        now += pause
        wait = buckets.take("one", now)
        taken += not wait
        if wait:
            assert buckets.take("one", now + wait + 1e-6) == 0.0
            now, taken = now + wait + 1e-6, taken + 1
    assert taken <= size + now * size / 60 + 1e-3
