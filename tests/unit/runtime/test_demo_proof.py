"""What the demo counts as proof, and what it must not."""

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ari_app.media.measure import Match
from ari_app.media.wav import Sound, silence, write_wav
from ari_app.runtime.demo_proof import AudioProof, Listened, Outcome, Spoken, Timings, prove

RATE = 8000
GOOD = AudioProof(Match(0.99, 500, -0.2), 90, -18, 60)
DEAF = AudioProof(Match(0.3, 500, -0.2), 90, -18, 60)
RECORD = {
    "status": "Answered",
    "started_at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    "agent": None,
}


def words(seed: int) -> Sound:
    """Bursts of noise of changing colour, loud and soft."""
    random = np.random.default_rng(seed)
    pieces = []
    for _ in range(20):
        noise = np.convolve(random.normal(size=800), np.hanning(random.integers(2, 40)))[:800]
        pieces.append(noise / noise.std() * random.choice([0.002, 0.03, 0.1]))
    return Sound(np.concatenate(pieces), RATE)


def facts(**times: float) -> dict[str, Any]:
    webhooks = [
        {"attempts": [{"at": 100.0}, {"at": 101.0}], "events": [{"event": "connect"}]},
        {"attempts": [{"at": 120.0}], "events": [{"event": "terminate"}]},
    ]
    return {"times": times, "webhooks": webhooks}


def test_the_delay_is_from_mouth_to_ear_by_the_clock_of_the_wall(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    write_wav(path, silence(1.5, RATE) + words(1) + silence(1, RATE))
    proof = prove(Spoken(words(1), at=1001.4), Listened(path, started_at=1000.0, playout_ms=60))
    assert proof.heard
    assert proof.delay_ms == pytest.approx(100, abs=2)
    assert proof.complaints("the words") == []
    assert "delay 100 ms" in proof.describe()


def test_other_words_are_no_proof(tmp_path: Path) -> None:
    path = tmp_path / "heard.wav"
    write_wav(path, silence(1, RATE) + words(2) + words(3))
    proof = prove(Spoken(words(1), at=1000.0), Listened(path, 1000.0, 60))
    assert not proof.heard
    assert "not found" in proof.complaints("the agent's words")[0]
    assert "NOT heard" in proof.describe()


@pytest.mark.parametrize(
    ("proof", "complaint"),
    [
        (AudioProof(Match(0.99, 0, -4.0), 90, -18, 60), "-4.0 dB"),
        (AudioProof(Match(0.99, 0, 0.0), 1500, -18, 60), "1500 ms"),
        (AudioProof(Match(0.99, 0, 0.0), -5, -18, 60), "-5 ms"),
    ],
)
def test_what_was_heard_too_soft_too_late_or_too_early_is_told(proof: AudioProof, complaint: str) -> None:
    assert complaint in proof.complaints("the words")[0]


def test_timings_count_from_the_first_post_of_the_webhook() -> None:
    timings = Timings.of(facts(pre_accepted=100.03, accepted=100.05, first_audio=100.06), agent_rang_at=101.6)
    assert timings == Timings(30, 1600, 10)


def test_a_call_that_stopped_half_way_has_no_timings() -> None:
    with pytest.raises(ValueError, match="accepted, first_audio"):
        Timings.of(facts(pre_accepted=100.03), 101)
    with pytest.raises(ValueError, match="webhook"):
        Timings.of(facts(pre_accepted=1, accepted=2, first_audio=3) | {"webhooks": []}, 101)


def test_the_outcome_complains_of_every_proof_that_failed() -> None:
    good = Outcome(RECORD, GOOD, GOOD, Timings(1, 2, 3), {"status": "Answered"})
    assert good.complaints() == []
    bad = Outcome(RECORD, DEAF, DEAF, Timings(1, 2, 3), {"status": "Answered", "agent": "Agent 1001"})
    assert len(bad.complaints()) == 3
    assert "the record's agent is None, not 'Agent 1001'" in bad.complaints()


def test_the_json_line_has_the_promised_shape() -> None:
    line = json.loads(json.dumps(Outcome(RECORD, GOOD, DEAF, Timings(1, 2, 3)).as_json()))
    assert line["record"] == {"status": "Answered", "started_at": "2026-01-02T03:04:05.000+00:00", "agent": None}
    assert line["audio"]["caller_heard_agent"] is True
    assert line["audio"]["agent_heard_caller"] is False
    assert line["audio"]["delay_ms"] == {"caller_to_agent": 90, "agent_to_caller": 90}
    assert line["timings_ms"] == {
        "webhook_to_pre_accept": 1,
        "webhook_to_agent_ringing": 2,
        "accept_to_first_audio": 3,
    }
