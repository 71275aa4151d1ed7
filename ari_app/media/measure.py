"""What a recording holds: levels, tones, gaps, and one sound inside another.

Levels are dBFS with RMS 1.0 = 0 dBFS, so a full-scale sine reads -3.01 dBFS. Times are seconds from the start of
the sound, gaps and delays are milliseconds. Nothing here waits or does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ari_app.media.wav import Sound

Samples = NDArray[np.float64]

SILENCE_DBFS = -100.0
"""What complete silence is reported as, instead of minus infinity."""
ACTIVE_FRAME_S = 0.02
"""Frame over which a level counts as active or not, after ITU-T P.56's idea of an active level."""
ACTIVE_RANGE_DB = 30.0
"""A frame is active while it is within this range of the loudest frame."""
TONE_WINDOW_S = 0.01
"""Window of the tone follower: ten periods of 1 kHz."""
ENVELOPE_HOP_S = 0.01
"""Step of the energy envelopes by which speech is recognised."""
SPEECH_RATE = 8000
SPEECH_BANDS_HZ = ((200, 500), (500, 1000), (1000, 1700), (1700, 2500), (2500, 3400))
"""Bands of a telephone channel; all of them survive G.711 and Opus."""
MIN_SPEECH_S = 0.3
SPEECH_PART_S = 0.8
MAX_JUMP_MS = 250.0
"""How far a part of speech may be from where the others put it: jitter buffers that were overrun jump that far."""
SPEECH_FOUND = 0.65
"""Score from which speech is found: through Opus it is 0.99, another sentence of the same voice has 0.5."""


@dataclass(frozen=True)
class Tone:
    """The strongest sine of a sound."""

    frequency_hz: float
    purity: float
    """Share of the sound's power that lies in the tone, 0 to 1."""
    level_dbfs: float


@dataclass(frozen=True)
class Gap:
    """An interval in which an expected tone was missing."""

    start_s: float
    duration_ms: float


@dataclass(frozen=True)
class Match:
    """Where and how well one sound was found in another."""

    score: float
    """1 is the same sound, 0 has nothing in common."""
    lag_ms: float
    """Where the sought sound begins in the recording."""
    gain_db: float
    """Level in the recording relative to the sought sound's own."""

    @property
    def found(self) -> bool:
        """Whether the score proves the presence of speech (see SPEECH_FOUND)."""
        return self.score >= SPEECH_FOUND


def rms_dbfs(samples: Samples) -> float:
    """Level over everything, silence included."""
    return _decibels(float(np.mean(np.square(samples)))) if samples.size else SILENCE_DBFS


def level_dbfs(sound: Sound) -> float:
    """Level over the active part: pauses do not pull it down."""
    size = max(1, round(ACTIVE_FRAME_S * sound.rate))
    count = sound.samples.size // size
    if count == 0:
        return rms_dbfs(sound.samples)
    powers = np.mean(np.square(sound.samples[: count * size].reshape(count, size)), axis=1)
    return _decibels(float(powers[powers >= powers.max() * 10 ** (-ACTIVE_RANGE_DB / 10)].mean()))


def dominant_tone(sound: Sound) -> Tone:
    """The strongest sine, by a Blackman-windowed spectrum; needs at least 20 ms, raises ValueError below."""
    size = sound.samples.size
    if size < 0.02 * sound.rate:
        raise ValueError(f"a sound of {sound.duration_s * 1000:.1f} ms is too short to have a tone")
    spectrum = np.fft.rfft((sound.samples - sound.samples.mean()) * np.blackman(size))
    powers = np.square(np.abs(spectrum))
    total = float(powers.sum())
    if total == 0:
        return Tone(0.0, 0.0, SILENCE_DBFS)
    peak = int(powers.argmax())
    offset = 0.0
    if 0 < peak < powers.size - 1 and powers[peak - 1] > 0 and powers[peak + 1] > 0:
        left, centre, right = np.log(powers[peak - 1 : peak + 2])
        bend = left - 2 * centre + right
        offset = float(0.5 * (left - right) / bend) if bend else 0.0
    purity = float(powers[max(0, peak - 3) : peak + 4].sum()) / total  # the window's main lobe is six bins wide
    return Tone((peak + offset) * sound.rate / size, purity, rms_dbfs(sound.samples) + _decibels(purity))


def tone_envelope(sound: Sound, frequency_hz: float, window_s: float = TONE_WINDOW_S) -> tuple[Samples, Samples]:
    """RMS of the sine at that frequency and RMS of everything, in a window centred on each sample."""
    samples = sound.samples
    size = max(2, round(window_s * sound.rate))
    phase = np.exp(-2j * np.pi * frequency_hz * np.arange(samples.size) / sound.rate)
    tone = np.abs(_moving_mean(samples * phase, size)) * np.sqrt(2)
    total = np.sqrt(np.maximum(_moving_mean(np.square(samples) + 0j, size).real, 0))
    return tone, total


def tone_spans(
    sound: Sound, frequency_hz: float, *, floor_dbfs: float = -50.0, min_purity: float = 0.5, min_s: float = 0.04
) -> list[tuple[float, float]]:
    """When the tone is there: (start, end) in seconds of every stretch of at least min_s.

    A tone counts as there while it is above the floor and carries at least min_purity of the power. Breaks of less
    than 10 ms do not end a stretch.
    """
    tone, total = tone_envelope(sound, frequency_hz)
    present = (tone > 10 ** (floor_dbfs / 20)) & (np.square(tone) >= min_purity * np.square(total))
    spans: list[tuple[float, float]] = []
    for begin, end in _runs(present):
        start_s, end_s = begin / sound.rate, end / sound.rate
        if spans and start_s - spans[-1][1] < TONE_WINDOW_S:
            spans[-1] = (spans[-1][0], end_s)
        else:
            spans.append((start_s, end_s))
    return [span for span in spans if span[1] - span[0] >= min_s]


def tone_gaps(
    sound: Sound,
    frequency_hz: float,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    drop_db: float = 6.0,
    min_ms: float = 6.0,
) -> list[Gap]:
    """Where a tone that should sound from start_s to end_s falls drop_db below its usual (median) level.

    With a drop of 6 dB the edge of a gap is where half of the window is silent, so that its length is read without
    bias. Shorter ones than min_ms are not reported. A sound without the tone is one gap.
    """
    end_s = sound.duration_s if end_s is None else end_s
    tone, _ = tone_envelope(sound, frequency_hz)
    part = tone[round(start_s * sound.rate) : round(end_s * sound.rate)]
    if part.size == 0:
        raise ValueError(f"the recording of {sound.duration_s:.2f} s has nothing from {start_s:.2f} s on")
    usual = float(np.median(part))
    missing = part < max(usual * 10 ** (-drop_db / 20), 10 ** (-70 / 20))
    gaps = [Gap(start_s + a / sound.rate, (b - a) / sound.rate * 1000) for a, b in _runs(missing)]
    return [gap for gap in gaps if gap.duration_ms >= min_ms]


def longest_gap_ms(gaps: list[Gap]) -> float:
    """Length of the longest gap, 0 when there is none."""
    return max((gap.duration_ms for gap in gaps), default=0.0)


def find_waveform(needle: Sound, recording: Sound) -> Match:
    """Find a sound by its waveform (normalised cross-correlation), to the sample.

    For signals that kept their phase: clicks, bursts, G.711. Raises ValueError if the recording is shorter.
    """
    rate = min(needle.rate, recording.rate)
    wanted, heard = needle.resampled(rate).samples, recording.resampled(rate).samples
    if heard.size < wanted.size or wanted.size == 0:
        raise ValueError("the recording is shorter than the sound to be found in it")
    wanted = wanted - wanted.mean()
    energy = _sliding_sum(np.square(heard), wanted.size)
    power = float(np.square(wanted).sum())
    floor = max(1e-12, float(energy.max()) * 1e-6)
    score = np.abs(_correlate(heard, wanted)) / np.sqrt(np.maximum(energy, floor) * max(power, 1e-12))
    best = int(score.argmax())
    gain = rms_dbfs(heard[best : best + wanted.size]) - rms_dbfs(wanted)
    return Match(min(1.0, float(score[best])), best / rate * 1000, gain)


def find_speech(needle: Sound, recording: Sound) -> Match:
    """Find speech by the shape of its energy in five bands, which survives codecs.

    Where a jitter buffer may have jumped in the middle, parts of the speech are looked for one by one; they count as
    far as they lie where they should. The score is the mean correlation of the bands' levels (dB) at the best place;
    see SPEECH_FOUND. The lag is refined by the waveform to about 1 ms.
    Raises ValueError if the recording is the shorter one.
    """
    wanted, heard = needle.resampled(SPEECH_RATE), recording.resampled(SPEECH_RATE)
    if heard.samples.size < wanted.samples.size or wanted.duration_s < MIN_SPEECH_S:
        raise ValueError(f"speech is found only from {MIN_SPEECH_S} s on, and in a recording that is not shorter")
    whole = _find_speech(wanted, heard)
    if whole.found:
        return whole
    parts = _find_parts(wanted, heard)
    return parts if parts.score > whole.score else whole


def _find_parts(wanted: Sound, heard: Sound) -> Match:
    """The same, part by part; parts that are not near the place where most others put the whole have score 0."""
    count = max(1, int(wanted.duration_s / SPEECH_PART_S))
    length = wanted.duration_s / count
    matches = [_find_speech(wanted.part(length * n, length * (n + 1)), heard) for n in range(count)]
    starts = [match.lag_ms - 1000 * length * n for n, match in enumerate(matches)]
    usual = float(np.median(starts))
    near = [(match, at) for match, at in zip(matches, starts, strict=True) if abs(at - usual) <= MAX_JUMP_MS]
    if not near:
        return Match(0.0, 0.0, 0.0)
    return Match(
        sum(match.score for match, _ in near) / count,
        max(0.0, float(np.median([at for _, at in near]))),
        float(np.median([match.gain_db for match, _ in near])),
    )


def _find_speech(wanted: Sound, heard: Sound) -> Match:
    """One piece of speech as a whole."""
    shape, track = _band_levels(wanted), _band_levels(heard)
    frames = shape.shape[1]
    scores = np.zeros(track.shape[1] - frames + 1)
    for wanted_band, heard_band in zip(shape, track, strict=True):
        centred = wanted_band - wanted_band.mean()
        size = max(float(centred.std()), 1e-9)
        mean = _sliding_sum(heard_band, frames) / frames
        variance = _sliding_sum(np.square(heard_band), frames) / frames - np.square(mean)
        # a stretch whose level hardly moves (silence, a tone) is like nothing: do not blow up its noise
        spread = np.maximum(np.sqrt(np.maximum(variance, 0)), 0.3 * size)
        scores += _correlate(heard_band, centred) / frames / (size * spread)
    scores /= len(SPEECH_BANDS_HZ)
    best = int(scores.argmax())
    begin = _refine(wanted, heard, round(best * ENVELOPE_HOP_S * SPEECH_RATE))
    there = Sound(heard.samples[begin : begin + wanted.samples.size], SPEECH_RATE)
    gain = level_dbfs(there) - level_dbfs(wanted)
    return Match(min(1.0, max(0.0, float(scores[best]))), begin / SPEECH_RATE * 1000, gain)


def _refine(wanted: Sound, heard: Sound, begin: int) -> int:
    """The place within 60 ms of `begin` (samples) where the waveforms agree best."""
    reach = round(0.06 * wanted.rate)
    first = max(0, begin - reach)
    stretch = heard.samples[first : begin + wanted.samples.size + reach]
    if stretch.size < wanted.samples.size:
        return begin
    return first + int(np.abs(_correlate(stretch, wanted.samples - wanted.samples.mean())).argmax())


def _band_levels(sound: Sound) -> Samples:
    """Level in dB per speech band (rows) and 10 ms step (columns), at least 45 dB below the loudest."""
    hop = round(ENVELOPE_HOP_S * sound.rate)
    size = 2 * hop
    padded = np.concatenate([np.zeros(hop // 2), sound.samples, np.zeros(size)])
    count = max(1, sound.samples.size // hop)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop] * np.hanning(size)
    powers = np.square(np.abs(np.fft.rfft(frames, n=256, axis=1)))
    hertz = np.fft.rfftfreq(256, 1 / sound.rate)
    inside = [(hertz >= low) & (hertz < high) for low, high in SPEECH_BANDS_HZ]
    bands = np.stack([powers[:, bins].sum(axis=1) for bins in inside])
    levels: Samples = 10 * np.log10(np.maximum(bands, max(float(bands.max()), 1e-9) * 10**-4.5))
    return levels


def _decibels(power: float) -> float:
    return max(SILENCE_DBFS, float(10 * np.log10(power))) if power > 0 else SILENCE_DBFS


def _correlate(heard: Samples, wanted: Samples) -> Samples:
    """Sum of products of `wanted` with every stretch of `heard` of its length (by FFT)."""
    size = 1 << int(np.ceil(np.log2(heard.size + wanted.size)))
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    result: Samples = np.fft.irfft(product, size)[: heard.size - wanted.size + 1]
    return result


def _sliding_sum(values: Samples, size: int) -> Samples:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    result: Samples = sums[size:] - sums[:-size]
    return result


def _moving_mean(values: NDArray[np.complex128], size: int) -> NDArray[np.complex128]:
    """Mean over a window centred on every value; beyond the ends is silence."""
    padded = np.concatenate([np.zeros(size // 2), values, np.zeros(size - size // 2)])
    sums = np.concatenate([[0], np.cumsum(padded)])
    result: NDArray[np.complex128] = (sums[size:] - sums[:-size])[: values.size] / size
    return result


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(begin, end) of every stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
