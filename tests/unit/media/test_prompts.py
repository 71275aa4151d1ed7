"""Prompts from files of all kinds, good and bad, and from texts."""

import asyncio
import io
import os
import stat
import struct
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from ari_app.media import convert as child
from ari_app.media.child import ChildError, output
from ari_app.media.convert import LOUDNESS, PEAK, RATE, loudness
from ari_app.media.measure import dominant_tone, find_speech
from ari_app.media.prompts import EXTENSION, PromptError, PromptFolder, PromptLibrary, convert
from ari_app.media.wav import Sound, pcm16, read_wav, silence, sine, wav_bytes
from ari_app.store.prompts import Prompt, PromptStore


def encoded(sound: Sound, container: str, codec: str, rate: int, layout: str = "mono") -> bytes:
    """A file as programs of people make it."""
    file = io.BytesIO()
    samples = np.frombuffer(pcm16(sound.resampled(rate)), np.int16).reshape(1, -1)
    if layout == "stereo":
        samples = np.repeat(samples, 2, axis=0).T.reshape(1, -1)
    with av.open(file, "w", format=container) as opened:
        stream = opened.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        for part in av.AudioResampler(stream.format, layout, rate, frame_size=stream.frame_size or 1024).resample(
            frame
        ):
            opened.mux(stream.encode(part))
        opened.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture
def prompt(tmp_path: Path) -> Callable[[bytes], Sound]:
    """What was made, as Asterisk will read it."""

    def read(made: bytes) -> Sound:
        path = tmp_path / "made.wav"
        path.write_bytes(made)
        return read_wav(path)

    return read


@pytest.mark.parametrize(
    ("container", "codec", "rate", "layout"),
    [
        ("wav", "pcm_s16le", 8000, "mono"),
        ("wav", "pcm_s24le", 48000, "stereo"),
        ("mp3", "libmp3lame", 44100, "stereo"),
        ("ogg", "libopus", 48000, "mono"),
        ("ogg", "libopus", 48000, "stereo"),
        ("ipod", "aac", 44100, "stereo"),
    ],
)
async def test_files_of_all_kinds_become_16_khz_at_the_loudness_of_asterisks_own(
    prompt: Callable[[bytes], Sound], container: str, codec: str, rate: int, layout: str
) -> None:
    source = silence(1.0, 16000) + sine(1000, 2.0, 16000, -40.0) + silence(1.5, 16000)
    made = prompt(await convert(io.BytesIO(encoded(source, container, codec, rate, layout))))
    assert made.rate == RATE
    assert made.duration_s == pytest.approx(2.35, abs=0.1)
    assert dominant_tone(made).frequency_hz == pytest.approx(1000, abs=2)
    assert loudness(pcm16(made)) == pytest.approx(LOUDNESS, abs=0.3)


async def test_a_loud_file_is_made_quieter_and_peaks_are_limited(prompt: Callable[[bytes], Sound]) -> None:
    random = np.random.default_rng(1)
    clicks = np.where(random.random(32000) > 0.999, 0.99, 0.0) * random.choice([-1.0, 1.0], 32000)
    source = Sound(clicks + random.normal(0, 0.01, 32000), 16000)
    made = prompt(await convert(io.BytesIO(wav_bytes(pcm16(source), 16000))))
    assert np.abs(made.samples).max() <= PEAK + 0.01
    loud = prompt(await convert(io.BytesIO(wav_bytes(pcm16(sine(440, 1.0, 16000, -3.5)), 16000))))
    assert loudness(pcm16(loud)) == pytest.approx(LOUDNESS, abs=0.5)


async def test_a_short_beep_is_a_prompt_too(prompt: Callable[[bytes], Sound]) -> None:
    made = prompt(await convert(io.BytesIO(wav_bytes(pcm16(sine(800, 0.2, 8000, -30.0)), 8000))))
    assert made.duration_s == pytest.approx(0.2, abs=0.05)
    assert np.abs(made.samples).max() > 0.05


def wav_with_a_lie() -> bytes:
    good = bytearray(wav_bytes(b"\1\0" * 8000, 8000))
    good[22:24] = struct.pack("<H", 60_000)
    return bytes(good)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no WAV, MP3, OGG or M4A"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "no WAV, MP3, OGG or M4A"),
        (b"ID3" + bytes(100), "cannot be decoded"),
        (b"OggS" + os.urandom(5000), "cannot be decoded"),
        (b"\0\0\0\x20ftypM4A " + os.urandom(5000), "cannot be decoded"),
        (wav_with_a_lie(), ""),
        (wav_bytes(bytes(32000), 8000), "nothing but silence"),
        (wav_bytes(b"", 8000), ""),
        (wav_bytes(b"\1\0" * 8000, 8000)[:40], ""),
    ],
)
async def test_what_is_no_prompt_is_refused_in_words(content: bytes, complaint: str) -> None:
    with pytest.raises(PromptError, match=r"^the file cannot be used: ") as refusal:
        await convert(io.BytesIO(content))
    assert complaint in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_a_file_that_is_longer_than_allowed_is_given_up_early() -> None:
    hour = io.BytesIO(wav_bytes(b"\0\1" * 8000 * 60, 8000))
    with pytest.raises(child.Unplayable, match="longer than 10 s"):
        child.decode(hour, 10)


async def test_a_file_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ari_app.media.prompts.LARGEST_MEGABYTES", 1)
    endless = await asyncio.to_thread(Path("/dev/zero").open, "rb")
    with endless, pytest.raises(PromptError, match="larger than 1 MB"):
        await convert(endless)


async def test_a_program_that_hangs_or_floods_is_ended() -> None:
    with pytest.raises(ChildError, match=r"longer than 0.3 s"):
        await output(["sleep", "60"], b"", timeout=0.3, limit=100)
    with pytest.raises(ChildError, match="more than 1000 bytes"):
        await output(["yes"], b"", timeout=10, limit=1000)
    with pytest.raises(ChildError, match="ended with status 3"):
        await output(["sh", "-c", "exit 3"], b"unread" * 100_000, timeout=10, limit=1000)


class Catalogue(PromptStore):
    def __init__(self) -> None:
        self.rows: dict[str, Prompt] = {}
        self.used: list[str] = []

    async def save(self, prompt: Prompt) -> str | None:
        before = self.rows.get(prompt.name)
        self.rows[prompt.name] = prompt
        return before.file if before else None

    async def uses(self, name: str) -> list[str]:
        return self.used

    async def remove(self, name: str) -> Prompt | None:
        return self.rows.pop(name, None)


async def test_a_prompt_is_a_file_of_its_own_name_that_everybody_may_read(tmp_path: Path) -> None:
    catalogue = Catalogue()
    library = PromptLibrary(catalogue, PromptFolder(tmp_path / "prompts"))
    first = await library.add("welcome", io.BytesIO(wav_bytes(pcm16(sine(500, 1.0, 8000)), 8000)))
    (file,) = (tmp_path / "prompts").iterdir()
    assert str(file) == first.file + ".wav16"
    assert file.name.startswith("welcome-")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    with wave.open(str(file)) as opened:
        assert first.seconds == opened.getnframes() / 16000
    second = await library.add("welcome", io.BytesIO(wav_bytes(pcm16(sine(700, 1.0, 8000)), 8000)))
    assert [str(file) for file in (tmp_path / "prompts").iterdir()] == [second.file + ".wav16"]
    catalogue.used = ["number 123, entry"]
    with pytest.raises(PromptError, match=r"is in use: number 123, entry"):
        await library.remove("welcome")
    catalogue.used = []
    await library.remove("welcome")
    assert not list((tmp_path / "prompts").iterdir())
    with pytest.raises(PromptError, match="there is no prompt"):
        await library.remove("welcome")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "UPPER", "a" * 65, "-a", "a\n"])
async def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PromptError, match="is no name for a prompt"):
        await PromptFolder(tmp_path).add(name, io.BytesIO(b""))


@pytest.fixture
def espeak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An espeak-ng that says a tone, and notes how it was called."""
    (tmp_path / "speech.wav").write_bytes(wav_bytes(pcm16(sine(300, 1.5, 22050, -20)), 22050))
    program = tmp_path / "espeak-ng"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\ncat >{tmp_path}/text\ncat {tmp_path}/speech.wav\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


async def test_a_text_reaches_espeak_on_its_standard_input_only(espeak: Path) -> None:
    text = "$(touch /tmp/owned); `id` -f /etc/passwd äß"
    spoken = await PromptFolder(espeak / "prompts").speak("closed", text, "de")
    assert (espeak / "text").read_text() == text
    assert (espeak / "arguments").read_text().strip() == "-b 1 -v de --stdin --stdout"
    assert spoken.spoken_text == text
    assert spoken.seconds == pytest.approx(1.6, abs=0.3)


@pytest.mark.usefixtures("speech")
async def test_a_text_is_spoken_for_as_long_as_it_takes_and_in_the_language_asked_for(tmp_path: Path) -> None:
    folder = PromptFolder(tmp_path)
    short = await folder.speak("short", "Please hold the line.", "en")
    long = await folder.speak("long", "Please hold the line. An agent will be with you in a few minutes.", "en")
    german = await folder.speak("german", "Bitte bleiben Sie am Apparat.", "de")
    assert 0.8 < short.seconds < 3.0
    assert 2 * short.seconds < long.seconds < 8.0
    sounds = [read_wav(Path(spoken.file + EXTENSION)) for spoken in (short, long, german)]
    for sound in sounds:
        assert loudness(pcm16(sound)) == pytest.approx(LOUDNESS, abs=1.0)
        assert dominant_tone(sound).purity < 0.5  # a voice, not a signal
    beginning = sounds[1].part(0.0, 1.0)
    assert find_speech(beginning, sounds[1]).found
    assert not find_speech(beginning, sounds[2]).found


@pytest.mark.parametrize(
    ("text", "voice", "complaint"),
    [
        (" ", "en", "no text"),
        ("x" * 3001, "en", "longer than 3000"),
        ("hello", "-x", "no voice"),
        ("a", "en;", "no voice"),
    ],
)
async def test_texts_and_voices_have_limits(espeak: Path, text: str, voice: str, complaint: str) -> None:
    with pytest.raises(PromptError, match=complaint):
        await PromptFolder(espeak).speak("x", text, voice)


async def test_without_espeak_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PromptError, match="apt install espeak-ng"):
        await PromptFolder(tmp_path).speak("x", "hello")
