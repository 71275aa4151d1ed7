"""A call as the control API shows it."""

from __future__ import annotations

from typing import Any

from .call import Call


def summary(call: Call) -> dict[str, Any]:
    """The short form, for lists."""
    return {
        "id": call.id,
        "state": call.state,
        "direction": call.facts.direction,
        "user": call.facts.user.number,
        "name": call.facts.user.name,
        "phone_number_id": call.facts.number.phone_number_id,
        "ended_by": call.ended_by,
        "status": call.ending.status if call.ending else None,
        "times": call.times,
    }


def full(call: Call) -> dict[str, Any]:
    """Everything known of a call."""
    relay, ending = call.relay, call.ending
    ringing, accepted = call.times.get("ringing"), call.times.get("accepted")
    return summary(call) | {
        "user_id": call.facts.user.user_id,
        "duration": ending.end - ending.start if ending and ending.end and ending.start else None,
        "errors": list(ending.errors) if ending else [],
        "biz_opaque_callback_data": call.opaque,
        "accept_options": call.extras,
        "ring_ms": round((accepted - ringing) * 1000) if ringing and accepted else None,
        "accept_to_first_audio_ms": _between(call, "accepted", "first_audio"),
        "early_media": call.early_media,
        "media": relay.counters.report() | {"dropped_by_fault": relay.faults.dropped},
        "ice": {
            "address": list(relay.address),
            "nominated": list(relay.ice.nominated) if relay.ice.nominated else None,
            "counts": dict(relay.ice.counts),
        },
        "dtls": {
            "state": relay.dtls.state,
            "role": relay.dtls.role,
            "profile": relay.dtls.profile,
            "failure": relay.dtls.failure,
        },
        "phone": call.phone.report(),
        "recording": call.recording,
        "dtmf": relay.events.text,
        "dtmf_digits": [vars(digit) for digit in relay.events.digits],
        "sdp": {
            "ours": call.local_sdp,
            "business": call.business_sdp,
            "warnings": list(call.business.warnings) if call.business else [],
        },
        "webhooks": [webhook.report() for webhook in call.around.sender.of_call(call.id)],
        "closed": call.closed,
    }


def _between(call: Call, first: str, second: str) -> int | None:
    begin, end = call.times.get(first), call.times.get(second)
    return None if begin is None or end is None else round((end - begin) * 1000)
