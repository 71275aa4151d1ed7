"""Ports for one stack, so that several stacks run side by side on a machine and none of them has to guess."""

import errno
import random
import socket

from ari_app.runtime.errors import UnavailableError

LOOPBACK = "127.0.0.1"

FIRST_PORT = 12000
LAST_PORT = 32000
"""Below Linux's range for outgoing connections (net.ipv4.ip_local_port_range, 32768 to 60999)."""

BLOCK_SIZE = 500
RTP_OFFSET = 100


class PortBlock:
    """Consecutive ports on 127.0.0.1 that no other stack on this machine uses; a context manager.

    The reservation is a TCP socket bound to the first port: the kernel drops it with us, however we end.
    """

    def __init__(self) -> None:
        candidates = list(range(FIRST_PORT, LAST_PORT, BLOCK_SIZE))
        random.shuffle(candidates)
        for first in candidates:
            reservation = _bound(first, socket.SOCK_STREAM)
            if reservation is not None:
                self.first = first
                self._reservation = reservation
                self._next = first + 1
                return
        raise UnavailableError(f"No free ports between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}.")

    def __enter__(self) -> "PortBlock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reservation.close()

    @property
    def rtp(self) -> tuple[int, int]:
        """First and last port for RTP: room for two hundred calls."""
        return self.first + RTP_OFFSET, self.first + BLOCK_SIZE - 1

    def take(self) -> int:
        """A port of the block that is free for TCP and UDP now and was not given before."""
        while self._next < self.rtp[0]:
            port = self._next
            self._next += 1
            tcp, udp = _bound(port, socket.SOCK_STREAM), _bound(port, socket.SOCK_DGRAM)
            for probe in (tcp, udp):
                if probe is not None:
                    probe.close()
            if tcp is not None and udp is not None:
                return port
        raise UnavailableError(f"No free port left in the block at {self.first}.")


def _bound(port: int, kind: socket.SocketKind) -> socket.socket | None:
    """A socket bound to the port; None if another has it."""
    probe = socket.socket(socket.AF_INET, kind)
    try:
        probe.bind((LOOPBACK, port))
    except OSError as error:
        probe.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise
    return probe
