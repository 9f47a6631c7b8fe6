"""The probes of all watched paths: frames out of their ports when they are due, and what has come back, in bulk.

Sessions that watch the same way with the same timing are one path here, and share its probes.
"""

from __future__ import annotations

import heapq
import os
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from controller.linux import stamp
from controller.linux.liveness.carriers import Carriers
from controller.linux.liveness.probe_frames import KEY_BYTES, ProbeFrame, parse, probe_frame, program
from controller.linux.liveness.watched_path import WatchedPath

_SOL_PACKET, _QDISC_BYPASS = 263, 20
"""packet(7): a probe never waits behind what is queued on its port."""
_ETHERTYPE_IPV6 = 0x86DD
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("=qq")
_RECEIVE_BUFFER_BYTES = 1 << 20
_SO_RCVBUFFORCE = 33
_LARGEST_PROBE_BYTES = 256
_REOPEN_S = 0.5


@dataclass(frozen=True, slots=True)
class Way:
    """What is sent, out of which interface, and how often."""

    interface: str
    src_mac: int
    dst_mac: int
    interval_us: int
    detect_us: int
    carriers: tuple[int, ...]


@dataclass(slots=True)
class _Probed:
    way: Way
    frame: ProbeFrame
    path: WatchedPath
    due: float


class Probing:
    """`clock` is monotonic, in seconds. Packets are not for concurrent use."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = os.urandom(KEY_BYTES)
        self._heard_from: frozenset[str] = frozenset()
        self._out: set[str] = set()
        """Interfaces that have lost their carrier since the target told what stands."""
        self._probed: dict[int, _Probed] = {}
        self._numbers: dict[Way, int] = {}
        self._due: list[tuple[float, int]] = []
        self._last_number = 0
        self._ports: dict[str, socket.socket | float] = {}
        """By interface: a socket, or when to try again to open one."""
        self.returns = _listening(self._key)
        self.carriers = Carriers()

    def follow(self, ways: Mapping[int, Way], ports: Collection[str]) -> dict[int, WatchedPath]:
        """These sessions are watched from now on, and heard from these interfaces alone.

        A way that was watched before goes on as it is.
        """
        self._heard_from = frozenset(ports)
        self._out.clear()
        wanted = set(ways.values())
        for way in self._numbers.keys() - wanted:
            del self._probed[self._numbers.pop(way)]
        for way in wanted - self._numbers.keys():
            self._begin(way)
        self._close_ports({way.interface for way in wanted})
        return {session: self._probed[self._numbers[way]].path for session, way in ways.items()}

    def take(self) -> None:
        """All that has come back by now."""
        # To a clock that may be set belongs the kernel's time stamp; between the two is only how old it is.
        while (received := self._receive()) is not None:
            frame, age_s = received
            back = parse(frame, self._key)
            probed = None if back is None else self._probed.get(back.path)
            if back is not None and probed is not None:
                now = self._clock()
                round_trip = now - back.sent_ns / 1e9 - age_s
                probed.path.returned(back.sequence, round_trip, now)

    def lose(self, now: float) -> None:
        """Whatever leaves by an interface without carrier is down, at once.

        With the carrier the kernel has dropped the next hops there, and it does not bring them back: probes, which
        need none, leave there again when the target has told that the next hop stands.
        """
        lost = self.carriers.lost()
        self._out |= lost
        for probed in self._probed.values() if lost else ():
            if probed.way.interface in lost:
                probed.path.fail(now)

    def send(self, now: float) -> None:
        """Whatever is due. What is late goes now, and is not made up for."""
        while self._due and self._due[0][0] <= now:
            due, number = heapq.heappop(self._due)
            probed = self._probed.get(number)
            if probed is None or probed.due != due:
                continue
            self._send_one(probed)
            interval = probed.path.interval_s
            probed.due = max(due + interval, now + interval / 2)
            heapq.heappush(self._due, (probed.due, number))

    def judge(self, now: float) -> None:
        """To be called behind `take`."""
        for probed in self._probed.values():
            probed.path.judge(now)

    def wakes_at(self) -> tuple[float | None, float | None]:
        """When the next probe is due, and when the next path would be found down."""
        deadlines = [when for probed in self._probed.values() if (when := probed.path.deadline()) is not None]
        return (self._due[0][0] if self._due else None), min(deadlines, default=None)

    def _begin(self, way: Way) -> None:
        self._last_number = number = (self._last_number + 1) & 0xFFFF
        interval = way.interval_us / 1e6
        # In step with others of the interval: they are sent in one turn.
        due = (self._clock() // interval + 1) * interval
        frame = probe_frame(way.src_mac, way.dst_mac, way.carriers, self._key, number)
        self._probed[number] = _Probed(way, frame, WatchedPath(interval, way.detect_us / 1e6, since=self._clock()), due)
        self._numbers[way] = number
        heapq.heappush(self._due, (due, number))

    def _send_one(self, probed: _Probed) -> None:
        """One that cannot leave is lost, as on the line."""
        if probed.way.interface in self._out:
            return
        now = self._clock()
        sequence = probed.path.send(now)
        port = self._port(probed.way.interface, now)
        if port is None:
            return
        try:
            port.send(probed.frame.at(sequence, int(now * 1e9)))
        except OSError:
            # The interface is down, or another one has its name.
            port.close()
            self._ports[probed.way.interface] = now + _REOPEN_S

    def _port(self, interface: str, now: float) -> socket.socket | None:
        held = self._ports.get(interface, now)
        if isinstance(held, socket.socket):
            return held
        opened = _sending(interface) if now >= held else None
        if opened is not None:
            self._ports[interface] = opened
        elif now >= held:
            self._ports[interface] = now + _REOPEN_S
        return opened

    def _close_ports(self, wanted: set[str]) -> None:
        for interface in self._ports.keys() - wanted:
            held = self._ports.pop(interface)
            if isinstance(held, socket.socket):
                held.close()

    def _receive(self) -> tuple[bytes, float] | None:
        """A frame, and for how long it has waited."""
        try:
            frame, ancillary, _, source = self.returns.recvmsg(_LARGEST_PROBE_BYTES, 64)
        except BlockingIOError:
            return None
        except OSError:
            return b"", 0.0  # ENETDOWN is told once when an interface goes down
        if source[0] not in self._heard_from:
            return b"", 0.0
        return frame, max(0.0, time.time() - next(_stamps(ancillary), time.time()))


def _stamps(ancillary: list[tuple[int, int, bytes]]) -> Iterator[float]:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            yield seconds + nanoseconds / 1e9


def _listening(key: bytes) -> socket.socket:
    """Own probes from any port; nothing else comes as far as here."""
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
    opened = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETHERTYPE_IPV6))
    # What it hears until then is no probe with our key.
    stamp.attach_program(opened, program(key))
    opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return opened


def _sending(interface: str) -> socket.socket | None:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        opened.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
        opened.bind((interface, 0))
    except OSError:
        opened.close()
        return None
    return opened
