"""When each Opus frame of the WhatsApp user goes to Asterisk.

`chan_websocket` takes one frame from its queue every 20 ms and its queue never drains by itself: whatever is sent
too early is heard late for the rest of the call (25 frames at once: half a second, for good; measured on
Asterisk 22.10). So the queue is kept short from here. Frames go on the moment they arrive, and a model of
Asterisk's queue tells how many stand there. What counts as delay is the *smallest* depth of the last while:
jitter makes the depth swing, only a standing queue is delay.
"""

from collections import deque

from whatsapp_bridge.rtc.rtp import PACKET_TIME_MS, RtpPacket, sequence_distance

PACKET_TIME = PACKET_TIME_MS / 1000

#: Over how many packets the smallest queue depth is taken (1 s): longer than a Wi-Fi hiccup.
WINDOW = 50
#: A standing queue up to this is the cushion against jitter (40 ms), beyond it is surplus.
CUSHION = 2
#: Surplus from which frames with sound are dropped more often, one in two instead of one in five.
LARGE_SURPLUS = 8
#: No more than this is concealed for one loss (100 ms); a longer hole is a pause, not a loss.
MAX_CONCEALED = 5
#: A packet ahead of its turn waits for at most this many successors (40 ms).
MAX_REORDER = 2
#: Beyond this the stream has started anew (the relay switched, or the client did).
MAX_JUMP = 500
#: Opus frames this small are silence or comfort noise (RFC 6716 §2.1.9), wherever dropping is not heard.
QUIET_BYTES = 10


class Playout:
    """Puts packets in order, conceals losses, drops surplus. Pure: time comes in as an argument, in seconds."""

    def __init__(self) -> None:
        self.depth = 0.0
        """Frames that stand in Asterisk's queue, by our reckoning."""
        self.sent = 0
        self.concealed = 0
        self.dropped_surplus = 0
        self.dropped_late = 0
        self._drained_at: float | None = None
        self._expected: int | None = None
        self._waiting: dict[int, bytes] = {}
        self._depths: deque[int] = deque(maxlen=WINDOW)
        self._since_drop = 0
        self._concealment = b""

    def push(self, packet: RtpPacket, now: float) -> list[bytes]:
        """Take a packet that arrived at `now` and return the frames to send to Asterisk at once.

        A packet without payload only takes its place in the sequence (a digit is such, to audio).
        """
        payload, sequence = packet.payload, packet.sequence
        if self._expected is None:
            self._expected = sequence
        ahead = sequence_distance(sequence, self._expected)
        if ahead == 0 and not self._waiting:
            self._expected = sequence + 1 & 0xFFFF
            return self._pace(payload, now)
        if ahead < 0 and ahead > -MAX_JUMP:
            self.dropped_late += 1
            return []
        if abs(ahead) >= MAX_JUMP:
            self._waiting.clear()
            self._expected = sequence + 1 & 0xFFFF
            return self._pace(payload, now)
        self._waiting[sequence] = payload
        return self._release(now)

    def observe(self, queue_length: int, sent_since: int) -> None:
        """Correct the reckoning: Asterisk reported `queue_length` frames, before the last `sent_since` ones."""
        self.depth = float(queue_length + sent_since)

    def _release(self, now: float) -> list[bytes]:
        frames: list[bytes] = []
        assert self._expected is not None
        while self._waiting:
            payload = self._waiting.pop(self._expected, None)
            if payload is None:
                if len(self._waiting) <= MAX_REORDER:
                    break
                expected = self._expected
                following = min(self._waiting, key=lambda s: sequence_distance(s, expected))
                missing = sequence_distance(following, expected)
                lost = min(missing, MAX_CONCEALED)
                self.concealed += lost
                for _ in range(lost):
                    frames += self._pace(self._concealment, now)
                self._expected = following
                continue
            self._expected = self._expected + 1 & 0xFFFF
            frames += self._pace(payload, now)
        return frames

    def _pace(self, payload: bytes, now: float) -> list[bytes]:
        if not payload:
            return []
        if len(payload) > 1:
            # The TOC byte alone, for one frame without data: the decoder conceals it as lost (RFC 6716 §3.2.1).
            self._concealment = bytes((payload[0] & 0xFC,))
        if self._drained_at is not None:
            self.depth = max(0.0, self.depth - (now - self._drained_at) / PACKET_TIME)
        self._drained_at = now
        depth = int(self.depth)
        self._depths.append(depth)
        self._since_drop += 1
        if depth > CUSHION and len(self._depths) == WINDOW:
            surplus = min(self._depths) - CUSHION
            if surplus > 0 and self._may_drop(len(payload), surplus):
                self._since_drop = 0
                self.dropped_surplus += 1
                return []
        self.depth += 1
        self.sent += 1
        return [payload]

    def _may_drop(self, size: int, surplus: int) -> bool:
        """Never two in a row; quiet frames first, frames with sound when the surplus is worth it."""
        if size <= QUIET_BYTES or surplus >= LARGE_SURPLUS:
            return self._since_drop >= 2
        return self._since_drop >= 5
