"""A packet socket on one port, and how much of what it hears the agent takes.

Each port has its own, so that what waits behind a flood on one port is dropped by the kernel and no other port notices.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Collection

FRAMES_PER_S = 1000
BURST_FRAMES = 64
"""At most so many in one turn of the event loop, and above the rate at once."""
_PAUSE_S = BURST_FRAMES / FRAMES_PER_S
_SOL_PACKET, _ADD_MEMBERSHIP, _MULTICAST = 263, 1, 0
_LARGEST_FRAME_BYTES = 65535


class PortSocket:
    """`receive(frame)` is called in the event loop's thread, for `FRAMES_PER_S` (token bucket of `BURST_FRAMES`)."""

    def __init__(
        self, interface: str, protocol: int, receive: Callable[[bytes], None], groups: Collection[bytes] = ()
    ) -> None:
        self._interface = interface
        self._protocol = protocol
        self._receive = receive
        self._groups = groups
        # Of no protocol: it hears nothing before it is bound.
        self.packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._tokens = float(BURST_FRAMES)
        self._counted_at = 0.0
        self._pause: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.require_bound()
        loop.add_reader(self.packets.fileno(), self._readable, loop)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pause is not None:
            self._pause.cancel()
        loop.remove_reader(self.packets.fileno())
        self.packets.close()

    def require_bound(self) -> None:
        """Bind to the interface that has the name now; without effect where there is none, or it is the same as ever.

        The kernel itself takes up again with an interface that was down, but not with another one of the name.
        """
        try:
            if self.packets.getsockname()[0] == self._interface:
                return
            self.packets.bind((self._interface, self._protocol))
            index = socket.if_nametoindex(self._interface)
            for group in self._groups:
                request = struct.pack("iHH8s", index, _MULTICAST, len(group), group)
                self.packets.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
        except OSError:
            return

    def _readable(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._tokens = min(BURST_FRAMES, self._tokens + (now - self._counted_at) * FRAMES_PER_S)
        self._counted_at = now
        while self._tokens >= 1:
            self._tokens -= 1
            if not self._hear():
                return
        # Not to be woken for what may not be read: it waits in the kernel, which drops what is too much.
        loop.remove_reader(self.packets.fileno())
        self._pause = loop.call_later(_PAUSE_S, self._resume, loop)

    def _resume(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pause = None
        loop.add_reader(self.packets.fileno(), self._readable, loop)

    def _hear(self) -> bool:
        """Take one frame; whether there may be another."""
        try:
            frame, (_, _, kind, *_) = self.packets.recvfrom(_LARGEST_FRAME_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            # ENETDOWN is told once when the interface goes down.
            return True
        if kind != socket.PACKET_OUTGOING:
            self._receive(frame)
        return True
