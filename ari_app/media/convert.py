"""Makes a prompt of a sound file from outside: `python -m ari_app.media.convert SECONDS <upload >prompt.wav16`.

A process of its own, because decoders are where hostile files bite: it has limits of processor time and
memory, and its end, whatever it is, hurts nobody. What is wrong with the file goes to
standard error in one line, and the exit status is 1.

What comes out is 16 kHz signed linear in a RIFF file, which Asterisk calls `wav16`. Speech has nothing above
8 kHz that Opus at WhatsApp's rates would carry, so callers by Opus get all they can hear, at a third of the
size of 48 kHz; callers by G.711 get it through one step of resampling. Asterisk plays it without decoding,
and people can open it.
"""

import io
import resource
import sys
import wave
from array import array
from collections.abc import Iterator
from typing import BinaryIO

import av
from av.audio.frame import AudioFrame
from av.filter import Graph

RATE = 16_000
FRAME = RATE // 10

#: Loudness after ITU-R BS.1770 (integrated, gated), LUFS: the median of the sounds that Asterisk brings
#: (measured over 353 of asterisk-core-sounds-en 1.6.1: -19.2, four of five within 2 dB), so that prompts of both
#: kinds sound alike in one call.
LOUDNESS = -19.0
#: Highest sample, of full scale: -2 dB. Leaves room for what resampling adds.
PEAK = 0.79
#: More is not added, dB: it would be noise.
MOST_GAIN = 30.0
#: Shorter sounds are measured repeated, because BS.1770 takes blocks of 0.4 s.
MEASURABLE_SECONDS = 3

#: What is so far below the sound's own peak (-40 dB) at its begin and end is silence; of this much is kept, s.
SILENCE = 0.01
KEPT_BEFORE, KEPT_AFTER = 0.1, 0.25
#: A peak below this (-60 dBFS) is no sound at all.
NOTHING = 33
SHORTEST_SECONDS = 0.1

PROCESSOR_SECONDS = 60
MEMORY_BYTES = 2 * 1024**3

#: Containers by their first bytes. They are told to the library, which otherwise would try all it has, with
#: playlists that open other files among them.
CODECS = {
    "wav": ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8", "pcm_f32le", "pcm_f64le", "pcm_mulaw", "pcm_alaw"),
    "mp3": ("mp3", "mp3float"),
    "ogg": ("opus", "libopus", "vorbis", "flac"),
    "mov": ("aac", "alac", "mp3", "mp3float"),
}


class Unplayable(Exception):
    """The file is no prompt; the message says why."""


def container(head: bytes) -> str:
    """What a file is, by its first 12 bytes. Raises Unplayable."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"OggS":
        return "ogg"
    if head[4:8] == b"ftyp":
        return "mov"
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2):
        return "mp3"
    raise Unplayable("this is no WAV, MP3, OGG or M4A file")


def decode(file: BinaryIO, longest_seconds: float) -> bytes:
    """Mono, 16 bit, at RATE. `file` must be seekable. Raises Unplayable."""
    kind = container(file.read(12))
    file.seek(0)
    samples = bytearray()
    try:
        with av.open(file, "r", format=kind) as opened:
            if not opened.streams.audio:
                raise Unplayable("there is no sound in this file")
            stream = opened.streams.audio[0]
            if stream.codec_context.name not in CODECS[kind]:
                raise Unplayable(f"sound coded as {stream.codec_context.name} is not taken in a {kind} file")
            resampler = av.AudioResampler("s16", "mono", RATE)
            for frame in _with_end(opened.decode(stream)):
                for part in resampler.resample(frame):
                    samples += bytes(part.planes[0])[: 2 * part.samples]
                if len(samples) > 2 * RATE * longest_seconds:
                    raise Unplayable(f"it is longer than {longest_seconds:g} s")
    except (av.error.FFmpegError, EOFError, ValueError) as error:
        raise Unplayable(f"it cannot be decoded: {error}") from error
    return bytes(samples)


def _with_end(frames: Iterator[AudioFrame]) -> Iterator[AudioFrame | None]:
    yield from frames
    yield None


def trimmed(samples: bytes) -> bytes:
    """Without the silence before and after. Raises Unplayable when there is nothing else."""
    values = array("h", samples)
    step = RATE // 100
    peaks = [max(map(abs, values[at : at + step])) for at in range(0, len(values), step)]
    loudest = max(peaks, default=0)
    if loudest < NOTHING:
        raise Unplayable("there is nothing but silence in it")
    sounding = [number for number, peak in enumerate(peaks) if peak >= loudest * SILENCE]
    first = max(0, sounding[0] * step - round(KEPT_BEFORE * RATE))
    kept = values[first : (sounding[-1] + 1) * step + round(KEPT_AFTER * RATE)]
    if len(kept) < SHORTEST_SECONDS * RATE:
        raise Unplayable(f"it is shorter than {SHORTEST_SECONDS:g} s")
    return kept.tobytes()


def loudness(samples: bytes) -> float:
    """LUFS, integrated."""
    repeated = samples * -(-2 * RATE * MEASURABLE_SECONDS // len(samples))
    found = -70.0
    for frame in _through(repeated, ("ebur128", "metadata=1")):
        found = float(frame.metadata.get("lavfi.r128.I", found))
    return found


def normalised(samples: bytes) -> bytes:
    """At LOUDNESS, peaks limited to PEAK."""
    gain = min(MOST_GAIN, LOUDNESS - loudness(samples))
    limiter = f"limit={PEAK}:attack=2:release=50:level=0:latency=1"
    louder = _through(samples, ("volume", f"{gain:.2f}dB:precision=float"), ("alimiter", limiter))
    return b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in louder)


def _through(samples: bytes, *filters: tuple[str, str]) -> Iterator[AudioFrame]:
    graph = Graph()
    nodes = [graph.add_abuffer(sample_rate=RATE, format="s16", layout="mono", channels=1)]
    nodes += [graph.add(name, options) for name, options in filters]
    nodes += [graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"), graph.add("abuffersink")]
    graph.link_nodes(*nodes).configure()
    for at in range(0, len(samples), 2 * FRAME):
        part = samples[at : at + 2 * FRAME]
        frame = AudioFrame("s16", "mono", len(part) // 2)
        frame.sample_rate = RATE
        frame.pts = at // 2
        frame.planes[0].update(part.ljust(frame.planes[0].buffer_size, b"\0"))
        graph.push(frame)
        yield from _pulled(graph)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame


def wav(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples)
    return file.getvalue()


def main() -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(None)
    try:
        prompt = wav(normalised(trimmed(decode(sys.stdin.buffer, float(sys.argv[1])))))
    except (Unplayable, MemoryError) as error:
        sys.stderr.write(str(error) or "it takes too much memory")
        return 1
    sys.stdout.buffer.write(prompt)
    return 0


if __name__ == "__main__":
    sys.exit(main())
