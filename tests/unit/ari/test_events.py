"""Events: tolerant of what they do not know, strict in what defines them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ari_app.ari import events
from ari_app.ari.events import KNOWN, ChannelDestroyed, Dial, StasisStart, UnknownEvent, parse, subjects

CHANNEL = {
    "id": "1795367206.1",
    "name": "PJSIP/1001-00000001",
    "state": "Up",
    "caller": {"name": "Anna", "number": "4930123456"},
    "connected": {"name": "", "number": ""},
    "dialplan": {
        "context": "phones",
        "exten": "100",
        "priority": 2,
        "app_name": "Stasis",
        "app_data": "app,voice,100",
    },
    "creationtime": "2026-11-22T17:05:43.474+0000",
    "language": "en",
    "a_field_of_asterisk_30": [1, 2],
}


def test_times_are_parsed_with_their_zone() -> None:
    event = parse({"type": "StasisEnd", "timestamp": "2026-11-22T17:05:43.474+0000", "channel": CHANNEL})
    assert event.timestamp == datetime(2026, 11, 22, 17, 5, 43, 474000, tzinfo=UTC)


def test_a_known_event_is_of_its_own_type_and_leaves_out_unknown_fields() -> None:
    event = parse({"type": "StasisStart", "args": ["voice", "100"], "channel": CHANNEL, "novelty": 1})
    assert isinstance(event, StasisStart)
    assert event.args == ["voice", "100"]
    assert event.channel.dialplan.app_data == "app,voice,100"


def test_an_unknown_event_is_kept_whole() -> None:
    event = parse({"type": "ChannelTeleported", "application": "app", "channel": CHANNEL})
    assert isinstance(event, UnknownEvent)
    assert event.model_extra is not None
    assert event.model_extra["channel"]["id"] == CHANNEL["id"]


def test_an_event_without_what_defines_it_is_refused() -> None:
    with pytest.raises(ValidationError):
        parse({"type": "ChannelDestroyed", "cause": 16})


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_known_event_can_be_made_of_the_least_that_asterisk_sends(name: str) -> None:
    parts: dict[str, Any] = {
        "channel": {"id": "c"},
        "peer": {"id": "c"},
        "bridge": {"id": "b"},
        "bridge_from": {"id": "b2"},
        "playback": {"id": "p"},
        "recording": {"name": "r"},
        "endpoint": {"technology": "PJSIP", "resource": "1001"},
        "device_state": {"name": "PJSIP/1001"},
        "digit": "1",
        "variable": "X",
        "eventname": "E",
        "transferer_first_leg": {"id": "c"},
        "transferer_second_leg": {"id": "c2"},
    }
    assert type(parse({"type": name, **parts})) is KNOWN[name]


def test_base_classes_are_no_events_of_asterisk() -> None:
    assert not {"Event", "ChannelEvent", "BridgeEvent", "UnknownEvent"} & KNOWN.keys()
    assert KNOWN["ChannelDestroyed"] is ChannelDestroyed
    assert events.ApplicationReplaced.__name__ in KNOWN


def test_an_event_is_about_all_that_it_names() -> None:
    dial = {"type": "Dial", "peer": {"id": "b"}, "caller": {"id": "a"}, "dialstatus": "RINGING"}
    assert subjects(dial) == ["channel:b", "channel:a"]
    assert isinstance(parse(dial), Dial)
    playback = {"type": "PlaybackFinished", "playback": {"id": "p", "target_uri": "channel:a"}}
    assert subjects(playback) == ["playback:p", "channel:a"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([*sorted(KNOWN), "Unheard"]),
    st.dictionaries(st.sampled_from(["channel", "bridge", "playback", "args", "peer", "cause"]), json_values),
)
def test_nonsense_is_either_an_event_or_a_validation_error(name: str, fields: dict[str, Any]) -> None:
    try:
        event = parse({"type": name, **fields})
    except ValidationError:
        return
    assert event.type == name
