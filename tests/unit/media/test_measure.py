"""Measurements on sounds whose properties are known, and on such that must not be mistaken for them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ari_app.media.measure import (
    SILENCE_DBFS,
    dominant_tone,
    find_speech,
    find_waveform,
    level_dbfs,
    longest_gap_ms,
    rms_dbfs,
    tone_gaps,
    tone_spans,
)
from ari_app.media.wav import Sound, silence, sine

RATE = 8000
SYLLABLE_S = 0.12


def noise(duration_s: float, level: float, *, seed: int = 1, rate: int = RATE) -> Sound:
    values = np.random.default_rng(seed).normal(size=round(duration_s * rate))
    return Sound(values * 10 ** (level / 20), rate)


def babble(duration_s: float, seed: int) -> Sound:
    """Something like speech: syllables of changing pitch, formants and loudness, with pauses."""
    random = np.random.default_rng(seed)
    syllables = []
    for _ in range(round(duration_s / SYLLABLE_S)):
        times = np.arange(round(SYLLABLE_S * RATE)) / RATE
        pitch, formants = random.uniform(90, 250), random.uniform(300, 3200, 3)
        harmonics = pitch * np.arange(1, int(3400 / pitch))
        weights = np.exp(-(((harmonics[:, None] - formants[None, :]) / 150) ** 2)).sum(axis=1) + 0.01
        loudness = random.choice([0, 0.3, 1, 1]) * np.sin(np.pi * times / SYLLABLE_S)
        syllables.append(loudness * (weights[:, None] * np.sin(2 * np.pi * harmonics[:, None] * times)).sum(axis=0))
    samples = np.concatenate(syllables)
    return Sound(samples * 0.1 / samples.std(), RATE)


def mixed(sound: Sound, other: Sound) -> Sound:
    return Sound(sound.samples + other.samples[: sound.samples.size], sound.rate)


def scaled(sound: Sound, decibels: float) -> Sound:
    return Sound(sound.samples * 10 ** (decibels / 20), sound.rate)


# Levels


@given(level=st.floats(-60, -3.02), frequency=st.floats(100, 3900), rate=st.sampled_from([8000, 16000, 48000]))
@settings(max_examples=50)
def test_the_level_of_a_tone_is_its_rms(level: float, frequency: float, rate: int) -> None:
    assert level_dbfs(sine(frequency, 0.5, rate, level)) == pytest.approx(level, abs=0.1)


def test_a_full_scale_sine_has_minus_3_dbfs() -> None:
    assert rms_dbfs(np.sin(np.arange(80000) / 10)) == pytest.approx(-3.01, abs=0.01)


def test_pauses_do_not_lower_the_active_level() -> None:
    speech = sine(500, 1, RATE, -20) + silence(3, RATE)
    assert level_dbfs(speech) == pytest.approx(-20, abs=0.1)
    assert rms_dbfs(speech.samples) == pytest.approx(-26, abs=0.1)


@pytest.mark.parametrize("sound", [silence(1, RATE), silence(0.001, RATE), silence(0, RATE)])
def test_silence_has_the_lowest_level(sound: Sound) -> None:
    assert level_dbfs(sound) == SILENCE_DBFS


# Tones


@given(frequency=st.floats(200, 3800), level=st.floats(-50, -6))
@settings(max_examples=50)
def test_the_dominant_tone_is_found_to_a_fraction_of_a_hertz(frequency: float, level: float) -> None:
    tone = dominant_tone(sine(frequency, 1.0, RATE, level))
    assert tone.frequency_hz == pytest.approx(frequency, abs=0.2)
    assert tone.purity > 0.999
    assert tone.level_dbfs == pytest.approx(level, abs=0.1)


def test_noise_has_no_pure_tone() -> None:
    assert dominant_tone(noise(1, -20)).purity < 0.05


def test_purity_is_the_tones_share_of_the_power() -> None:
    assert dominant_tone(mixed(sine(1000, 1, RATE, -20), noise(1, -20))).purity == pytest.approx(0.5, abs=0.05)


def test_silence_has_no_tone_and_a_click_is_too_short() -> None:
    assert dominant_tone(silence(1, RATE)).purity == 0
    with pytest.raises(ValueError, match="too short"):
        dominant_tone(silence(0.01, RATE))


def test_the_times_of_a_tone_are_found() -> None:
    sound = silence(0.5, RATE) + sine(1000, 1, RATE) + silence(0.3, RATE) + sine(440, 1, RATE) + sine(1000, 0.2, RATE)
    spans = tone_spans(sound, 1000)
    assert [(round(start, 2), round(end, 2)) for start, end in spans] == [(0.5, 1.5), (2.8, 3.0)]


@pytest.mark.parametrize("sound", [silence(1, RATE), noise(1, -20), sine(1200, 1, RATE), babble(2, 1)])
def test_a_tone_that_is_not_there_is_not_found(sound: Sound) -> None:
    assert tone_spans(sound, 1000) == []


@given(
    gap_ms=st.integers(12, 500),
    start_ms=st.integers(200, 1500),
    rate=st.sampled_from([8000, 16000, 48000]),
    level=st.integers(-40, -6),
)
@settings(max_examples=50)
def test_a_gap_is_measured_to_a_few_milliseconds(gap_ms: int, start_ms: int, rate: int, level: int) -> None:
    sound = sine(1000, 2.5, rate, level)
    begin = start_ms * rate // 1000
    sound.samples[begin : begin + gap_ms * rate // 1000] = 0
    (gap,) = tone_gaps(sound, 1000, start_s=0.05, end_s=2.45)
    assert gap.start_s * 1000 == pytest.approx(start_ms, abs=3)
    assert gap.duration_ms == pytest.approx(gap_ms, abs=3)


def test_an_unbroken_tone_has_no_gap_even_in_noise() -> None:
    sound = mixed(sine(1000, 10, RATE, -20), noise(10, -40))
    assert tone_gaps(sound, 1000, start_s=0.1, end_s=9.9) == []
    assert longest_gap_ms([]) == 0


def test_a_jump_of_phase_is_no_gap_worth_mentioning() -> None:
    first, second = sine(1000, 1, RATE), sine(1000, 1, RATE)
    jumped = first + Sound(-second.samples, RATE)
    assert longest_gap_ms(tone_gaps(jumped, 1000, start_s=0.1, end_s=1.9)) < 10


def test_noise_in_place_of_the_tone_is_a_gap() -> None:
    sound = sine(1000, 1, RATE, -20) + noise(0.2, -20) + sine(1000, 1, RATE, -20)
    gaps = tone_gaps(sound, 1000, start_s=0.1, end_s=2.1)
    assert sum(gap.duration_ms for gap in gaps) > 150


def test_a_recording_without_the_tone_is_one_gap() -> None:
    (gap,) = tone_gaps(silence(2, RATE), 1000, start_s=0.5)
    assert (gap.start_s, gap.duration_ms) == (0.5, 1500)
    with pytest.raises(ValueError, match="nothing from 3"):
        tone_gaps(silence(2, RATE), 1000, start_s=3)


# One sound in another


@given(lag_ms=st.integers(0, 3000), level=st.integers(-20, 6), seed=st.integers(1, 1000))
@settings(max_examples=25, deadline=None)
def test_a_waveform_is_found_to_the_sample(lag_ms: int, level: int, seed: int) -> None:
    wanted = babble(0.6, seed)
    recording = silence(lag_ms / 1000, RATE) + scaled(wanted, level) + silence(0.5, RATE)
    match = find_waveform(wanted, mixed(recording, noise(5, -60)))
    assert match.score > 0.9
    assert match.lag_ms == pytest.approx(lag_ms, abs=0.2)
    assert match.gain_db == pytest.approx(level, abs=0.5)


def test_a_waveform_is_not_found_in_noise_or_in_other_speech() -> None:
    wanted = babble(1, 1)
    assert find_waveform(wanted, noise(5, -20)).score < 0.2
    assert find_waveform(wanted, babble(5, 2)).score < 0.5
    assert find_waveform(wanted, silence(5, RATE)).score == 0


@given(lag_ms=st.integers(0, 3000), level=st.integers(-20, 6), seed=st.integers(1, 1000))
@settings(max_examples=25, deadline=None)
def test_speech_is_found_with_its_place_and_level(lag_ms: int, level: int, seed: int) -> None:
    wanted = babble(2, seed)
    recording = silence(lag_ms / 1000, RATE) + scaled(wanted, level) + silence(0.5, RATE)
    match = find_speech(wanted, mixed(recording, noise(7, -70)).resampled(48000))
    assert match.found
    assert match.lag_ms == pytest.approx(lag_ms, abs=1)
    assert match.gain_db == pytest.approx(level, abs=1)


@pytest.mark.parametrize("jump_ms", [-120, -20, 20, 120])
@pytest.mark.parametrize("at_s", [0.6, 1.5, 2.5])
def test_speech_is_found_although_a_jitter_buffer_jumped(jump_ms: int, at_s: float) -> None:
    wanted = babble(3, 5)
    rest = wanted.part(at_s - min(0, jump_ms) / 1000)
    recording = silence(0.7, RATE) + wanted.part(0, at_s) + silence(max(0, jump_ms) / 1000, RATE) + rest
    match = find_speech(wanted, mixed(recording + silence(1, RATE), noise(6, -60)))
    assert match.found
    assert match.lag_ms == pytest.approx(700, abs=abs(jump_ms) + 5)
    assert match.gain_db == pytest.approx(0, abs=1)


def test_the_parts_of_speech_in_another_order_are_not_the_speech() -> None:
    wanted = babble(3.2, 5)
    shuffled = wanted.part(2.4) + wanted.part(0.8, 1.6) + wanted.part(0, 0.8) + wanted.part(1.6, 2.4)
    assert not find_speech(wanted, silence(1, RATE) + shuffled + silence(2, RATE)).found


@pytest.mark.parametrize(
    "recording",
    [
        pytest.param(silence(10, RATE), id="silence"),
        pytest.param(noise(10, -20), id="noise"),
        pytest.param(noise(10, -70), id="soft noise"),
        pytest.param(sine(1000, 10, RATE), id="a tone"),
        pytest.param(babble(10, 99), id="other speech"),
        pytest.param(babble(10, 98).resampled(48000), id="other speech at another rate"),
    ],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_speech_is_not_found_where_it_is_not(recording: Sound, seed: int) -> None:
    assert find_speech(babble(3, seed), recording).score < 0.6


def test_speech_played_backwards_is_not_the_same_speech() -> None:
    wanted = babble(3, 1)
    assert not find_speech(wanted, silence(1, RATE) + Sound(wanted.samples[::-1], RATE) + silence(1, RATE)).found


def test_a_recording_must_be_longer_than_what_is_looked_for() -> None:
    with pytest.raises(ValueError, match="shorter"):
        find_waveform(babble(1, 1), silence(0.5, RATE))
    with pytest.raises(ValueError, match="shorter"):
        find_speech(babble(1, 1), silence(0.5, RATE))
    with pytest.raises(ValueError, match=r"from 0\.3 s"):
        find_speech(babble(0.24, 1), silence(2, RATE))
