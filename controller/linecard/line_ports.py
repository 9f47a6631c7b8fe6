"""The line ports: packet sockets on each fibre's interface, beside the switch.

Frames of the neighbour's line card are heard as they come. Frames on channels, of which a fibre carries hundreds a
second, are heard only at ports where one ends, and taken in bulk, by `drain`.

A frame that cannot be sent is a frame lost on the line: whoever sent it repeats it, or counts the line as failed.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import struct
from collections.abc import Callable, Collection, Mapping
from enum import Enum

from controller.linecard.frames import ETHERTYPE, HEADER_BYTES, NEIGHBOUR

log = logging.getLogger(__name__)

RETRY_S = 0.1
"""Between two looks for an interface that is not there."""
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
"""packet(7), since Linux 4.20: what this host sends on the interface, the switch too, is not heard."""
SO_ATTACH_FILTER = 26
LARGEST_FRAME_BYTES = 9600
_LOAD_WORD, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
"""Classic BPF (linux/filter.h)."""

Receive = Callable[[int, bytes], None]
"""Line port and frame."""


class Kind(Enum):
    """What a socket hears."""

    NEIGHBOUR = 0
    CHANNELS = 1


class LinePorts:
    """`receive` is called in the event loop's thread. Ports by OpenFlow number."""

    def __init__(self, interfaces: Mapping[int, str], receive: Receive) -> None:
        self._interfaces = dict(interfaces)
        self._receive = receive
        self._sockets: dict[tuple[int, Kind], tuple[socket.socket, int]] = {}
        """With the interface's index: one that was made anew is another."""
        self._with_channels: frozenset[int] = frozenset()
        self._watcher: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """To be called in the event loop."""
        self._look()
        self._watcher = asyncio.get_running_loop().call_later(RETRY_S, self.start)

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        for key in list(self._sockets):
            self._close(*key)

    def hear_channels(self, ports: Collection[int]) -> None:
        """Of these ports, from now on."""
        self._with_channels = frozenset(ports)
        self._look()

    def send(self, port: int, frame: bytes) -> None:
        """Lost where the port does not exist or is down."""
        held = self._sockets.get((port, Kind.NEIGHBOUR))
        if held is None:
            return
        try:
            held[0].send(frame)
        except OSError as error:
            log.debug("line port %d: %s", port, error)

    def drain(self) -> None:
        """Receive all that waits on channels, now."""
        for port, kind in list(self._sockets):
            if kind is Kind.CHANNELS:
                self._readable(port, kind)

    def _look(self) -> None:
        """Interfaces come and go with their fibre and with the switch's namespace."""
        for port, name in self._interfaces.items():
            index = _index(name)
            for kind in Kind:
                held = self._sockets.get((port, kind))
                wanted = index is not None and (kind is Kind.NEIGHBOUR or port in self._with_channels)
                if held is not None and (held[1] != index or not wanted):
                    self._close(port, kind)
                if wanted and index is not None and (port, kind) not in self._sockets:
                    self._open(port, kind, name, index)

    def _open(self, port: int, kind: Kind, name: str, index: int) -> None:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        try:
            opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            _attach_filter(opened, kind)
            opened.bind((name, ETHERTYPE))
        except OSError as error:
            log.debug("line port %d: %s", port, error)
            opened.close()
            return
        self._sockets[port, kind] = opened, index
        if kind is Kind.NEIGHBOUR:
            asyncio.get_running_loop().add_reader(opened.fileno(), self._readable, port, kind)

    def _close(self, port: int, kind: Kind) -> None:
        held, _ = self._sockets.pop((port, kind))
        asyncio.get_running_loop().remove_reader(held.fileno())
        held.close()

    def _readable(self, port: int, kind: Kind) -> None:
        held = self._sockets.get((port, kind))
        while held is not None:
            try:
                frame, (_, _, direction, *_) = held[0].recvfrom(LARGEST_FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                # ENETDOWN is told once when the interface goes down; the socket goes on when it is up again.
                log.debug("line port %d: %s", port, error)
                return
            if direction != socket.PACKET_OUTGOING and len(frame) >= HEADER_BYTES:
                self._receive(port, frame)


def _attach_filter(opened: socket.socket, kind: Kind) -> None:
    """By destination address: the neighbour's, or any other."""
    neighbour, other = (0xFFFF, 0) if kind is Kind.NEIGHBOUR else (0, 0xFFFF)
    program = (
        (_LOAD_WORD, 0, 0, 0),
        (_JUMP_EQUAL, 0, 3, NEIGHBOUR >> 16),
        (_LOAD_HALF, 0, 0, 4),
        (_JUMP_EQUAL, 0, 1, NEIGHBOUR & 0xFFFF),
        (_RETURN, 0, 0, neighbour),
        (_RETURN, 0, 0, other),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None
