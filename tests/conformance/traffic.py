"""A stream of equal frames at a constant rate, and what RFC 2698 makes of it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

GREEN, YELLOW, RED = 0, 1, 2
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_BUFFER_BYTES = 64 << 20
_AT_ONCE, _PAUSE_S = 16, 0.001
_TIMESPEC = struct.Struct("@qq")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Bytes per second, and bytes."""

    rate: float
    burst: float


def colors(times: Sequence[float], size: int, committed: Bucket, peak: Bucket) -> list[int]:
    """The two-rate three-color marker, color-blind (RFC 2698 clause 3), for frames of one size."""
    tokens_c, tokens_p = committed.burst, peak.burst
    last, found = times[0], []
    for now in times:
        tokens_c = min(committed.burst, tokens_c + committed.rate * (now - last))
        tokens_p = min(peak.burst, tokens_p + peak.rate * (now - last))
        last = now
        if tokens_p < size:
            found.append(RED)
            continue
        tokens_p -= size
        if tokens_c < size:
            found.append(YELLOW)
            continue
        tokens_c -= size
        found.append(GREEN)
    return found


def send_steadily(sock: socket.socket, frame: bytes, bytes_per_s: float, seconds: float) -> list[float]:
    """Monotonic times at which the frames left; what is late is made up for, by no more than BMv2 takes at once."""
    times: list[float] = []
    gap, together = len(frame) / bytes_per_s, 0
    start = time.monotonic()
    while (due := start + len(times) * gap) < start + seconds:
        ahead = due - time.monotonic()
        together = 0 if ahead > 0 else together + 1
        if ahead > 0 or together % _AT_ONCE == 0:
            time.sleep(max(ahead, _PAUSE_S))
        sock.send(frame)
        times.append(time.monotonic())
    return times


def record(sock: socket.socket) -> None:
    """Keep what arrives from now on, with the kernel's time of arrival."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def recorded(sock: socket.socket, idle_s: float) -> list[tuple[float, bytes]]:
    """Time and frame of what has arrived, until nothing has for a while."""
    found = []
    sock.settimeout(idle_s)
    try:
        while True:
            frame, ancillary, _, address = sock.recvmsg(65_535, 64)
            stamp = next(data for _, kind, data in ancillary if kind == _SO_TIMESTAMPNS)
            seconds, nanoseconds = _TIMESPEC.unpack(stamp)
            if address[2] != socket.PACKET_OUTGOING:
                found.append((seconds + nanoseconds / 1e9, frame))
    except TimeoutError:
        return found
    finally:
        sock.settimeout(None)
