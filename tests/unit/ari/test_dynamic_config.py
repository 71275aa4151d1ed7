"""Configuration of modules while Asterisk runs, and events about what it makes."""

from ari_app.ari import AriClient
from ari_app.ari.events import ChannelDestroyed, parse, subjects
from ari_app.ari.testing import FakeAri


async def test_an_object_is_sent_with_its_fields(ari: FakeAri, client: AriClient) -> None:
    await client.asterisk.put_object("res_pjsip", "aor", "x", {"contact": "sip:[::1]:5060", "qualify_frequency": "15"})
    sent = ari.requests[-1]
    assert (sent.method, sent.path) == ("PUT", "/asterisk/config/dynamic/res_pjsip/aor/x")
    assert sent.body == {
        "fields": [
            {"attribute": "contact", "value": "sip:[::1]:5060"},
            {"attribute": "qualify_frequency", "value": "15"},
        ]
    }
    await client.asterisk.delete_object("res_pjsip", "aor", "x")
    assert (ari.requests[-1].method, ari.requests[-1].path) == ("DELETE", "/asterisk/config/dynamic/res_pjsip/aor/x")


def test_a_sip_peer_that_changes_is_about_its_endpoint_and_no_channel() -> None:
    endpoint = {"technology": "PJSIP", "resource": "1001", "state": "online"}
    event = {"type": "PeerStatusChange", "endpoint": endpoint, "peer": {"peer_status": "Reachable"}}
    assert subjects(event) == ["endpoint:PJSIP/1001"]


def test_a_pjsip_channel_ends_with_its_last_sip_status() -> None:
    gone = parse({"type": "ChannelDestroyed", "channel": {"id": "a"}, "cause": 34, "tech_cause": 503})
    assert isinstance(gone, ChannelDestroyed)
    assert gone.tech_cause == 503
