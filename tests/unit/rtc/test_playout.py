"""Playout: order, concealment, and above all that no delay stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whatsapp_bridge.rtc.playout import CUSHION, MAX_CONCEALED, PACKET_TIME, Playout
from whatsapp_bridge.rtc.rtp import RtpPacket

SPEECH = b"\x48" + b"s" * 50
QUIET = b"\x48\x00"


def packet(sequence: int, payload: bytes = SPEECH) -> RtpPacket:
    return RtpPacket(111, False, sequence & 0xFFFF, sequence * 960 & 0xFFFFFFFF, 1, payload)


class Asterisk:
    """The queue of chan_websocket: takes what comes, plays one frame every 20 ms, forgets nothing."""

    def __init__(self) -> None:
        self.queue: list[bytes] = []
        self.played: list[bytes] = []
        self._ticks = 0

    def run_until(self, now: float) -> None:
        while self._ticks * PACKET_TIME <= now:
            self._ticks += 1
            if self.queue:
                self.played.append(self.queue.pop(0))


def frames_in_order(playout: Playout, arrivals: list[tuple[float, RtpPacket]]) -> list[bytes]:
    return [frame for now, p in arrivals for frame in playout.push(p, now)]


def test_packets_in_order_go_on_at_once() -> None:
    playout = Playout()
    for i in range(100):
        assert playout.push(packet(i, SPEECH + bytes([i])), i * PACKET_TIME) == [SPEECH + bytes([i])]


def test_two_swapped_packets_are_put_in_order() -> None:
    playout = Playout()
    order = [0, 1, 3, 2, 4, 5]
    got = frames_in_order(playout, [(n * PACKET_TIME, packet(i, bytes([0x48, i]))) for n, i in enumerate(order)])
    assert [f[1] for f in got] == [0, 1, 2, 3, 4, 5]
    assert playout.concealed == 0


def test_a_lost_packet_is_concealed_with_its_decoders_own_means() -> None:
    playout = Playout()
    arrivals = [(i * PACKET_TIME, packet(i)) for i in range(12) if i != 5]
    got = frames_in_order(playout, arrivals)
    assert len(got) == 12
    assert got[5] == bytes([SPEECH[0] & 0xFC])


def test_a_long_hole_is_a_pause_and_not_filled_beyond_a_limit() -> None:
    playout = Playout()
    arrivals = [(i * PACKET_TIME, packet(i)) for i in range(100) if not 10 <= i < 60]
    got = frames_in_order(playout, arrivals)
    assert len(got) == 50 + MAX_CONCEALED


def test_a_digit_between_frames_is_no_loss() -> None:
    playout = Playout()
    got = []
    for i in range(10):
        payload = b"" if i in (4, 5, 6) else SPEECH
        got += playout.push(packet(i, payload), i * PACKET_TIME)
    assert got == [SPEECH] * 7
    assert playout.concealed == 0


def test_late_and_repeated_packets_are_dropped() -> None:
    playout = Playout()
    got = frames_in_order(playout, [(0, packet(0)), (0.02, packet(1)), (0.03, packet(1)), (0.04, packet(0))])
    assert len(got) == 2
    assert playout.dropped_late == 2


def test_a_stream_that_starts_anew_goes_on_at_once() -> None:
    playout = Playout()
    frames_in_order(playout, [(i * PACKET_TIME, packet(i)) for i in range(10)])
    assert playout.push(packet(30_000), 0.2) == [SPEECH]
    assert playout.push(packet(30_001), 0.22) == [SPEECH]


@pytest.mark.parametrize("start", [0, 65_530])
def test_sequence_numbers_wrap(start: int) -> None:
    playout = Playout()
    got = frames_in_order(playout, [(i * PACKET_TIME, packet(start + i)) for i in range(20)])
    assert got == [SPEECH] * 20


@given(burst=st.integers(1, 60), quiet_share=st.integers(0, 4), phase=st.floats(0, 0.019))
def test_a_burst_leaves_no_delay_after_five_seconds(burst: int, quiet_share: int, phase: float) -> None:
    playout, asterisk = Playout(), Asterisk()
    sequence = 0

    def arrive(now: float) -> None:
        nonlocal sequence
        asterisk.run_until(now)
        payload = QUIET if sequence % 10 < quiet_share else SPEECH
        asterisk.queue += playout.push(packet(sequence, payload), now)
        sequence += 1

    for i in range(50):
        arrive(phase + i * PACKET_TIME)
    silence_until = 1 + burst * PACKET_TIME
    for _ in range(burst * 2):
        arrive(phase + silence_until)
    for i in range(250):
        arrive(phase + silence_until + (i + 1) * PACKET_TIME)
    # One for the frame just pushed, one for the phase of Asterisk's timer.
    assert len(asterisk.queue) <= CUSHION + 2


@given(jitter=st.lists(st.floats(0, 0.055), min_size=300, max_size=300))
def test_ordinary_jitter_costs_no_frame_of_speech(jitter: list[float]) -> None:
    playout = Playout()
    arrivals = sorted((i * PACKET_TIME + j, i) for i, j in enumerate(jitter))
    for now, i in arrivals:
        playout.push(packet(i), now)
    assert playout.dropped_surplus == 0


@given(order=st.permutations(list(range(30))), drop=st.sets(st.integers(0, 29), max_size=10))
def test_whatever_arrives_frames_come_out_in_order_and_once(order: list[int], drop: set[int]) -> None:
    playout = Playout()
    got = frames_in_order(
        playout,
        [(n * PACKET_TIME, packet(i, bytes([0x48, i]))) for n, i in enumerate(order) if i not in drop],
    )
    numbers = [f[1] for f in got if len(f) > 1]
    assert numbers == sorted(set(numbers))


def test_asterisks_own_figure_corrects_the_reckoning() -> None:
    playout = Playout()
    frames_in_order(playout, [(i * PACKET_TIME, packet(i)) for i in range(10)])
    playout.observe(queue_length=20, sent_since=2)
    assert playout.depth == 22
